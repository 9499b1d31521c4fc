"""A customer's notifications, as brands receive them (domain: milestones §6)."""

from __future__ import annotations

from typing import Any

from litestar import Response, get

from milepost.api import wire
from milepost.api.customer_records import LIMIT_MAX, page_of, page_query
from milepost.api.routes import ApiRequest, PathId, caller_of, declare, runner_of
from milepost.api.target_group_views import View
from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, INVALID_USER, Refused
from milepost.rules.envelopes import Notification, enriched_envelope, raw_envelope
from milepost.rules.notifications import notifications
from milepost.runner import Moment
from milepost.store.views import Page, load_occurrences

_ENVELOPES = {"raw": raw_envelope, "enriched": enriched_envelope}


class NotificationView(View):
    """A notification in the raw envelope. `eventId` is the same however often it is sent or read.

    `eventLogId` is the journal's entry, which several notifications may share: the cursor of `before`
    and `after`. The enriched envelope has the same `data` in `attributes`.
    """

    event_name: str
    event_log_id: int
    event_id: str
    org_id: int
    ref_id: str
    api_request_id: str
    created_at: int
    loyalty_event_id: str
    trace_attributes: dict[str, Any]
    data: dict[str, Any]


@get(
    "/milepost/v1/customers/{customer_id:str}/notifications",
    opt=declare(
        "Target Loyalty",
        answer=wire.Envelope[list[NotificationView]],
        errors=(INVALID_INPUT, INVALID_USER),
        query={
            "envelope": "raw (default) or enriched",
            **page_query("eventLogId", "entries"),
        },
    ),
)
async def customer_notifications(request: ApiRequest, customer_id: PathId) -> Response[bytes]:
    """What brands are notified of about a customer, oldest first.

    Nothing has to be subscribed to: they follow from the journal, so what happened before is there too.
    """
    customer = wire.integer(customer_id, "customerId")
    page = page_of(request)
    name = request.query_params.get("envelope", "").strip().lower() or "raw"
    envelope = _ENVELOPES.get(name)
    if envelope is None:
        raise Refused(INVALID_INPUT, f"envelope must be one of {', '.join(_ENVELOPES)}.")

    async def query(tx: Tx, tenant: Tenant, moment: Moment) -> list[Notification] | None:
        return await _load(tx, tenant, customer, page, moment)

    tenant = caller_of(request).tenant
    found = await runner_of(request).read(tenant, query)
    if found is None:
        raise Refused(INVALID_USER)
    return wire.answer([envelope(each, tenant.org_id) for each in found])


async def _load(
    tx: Tx, tenant: Tenant, customer: int, page: Page, moment: Moment
) -> list[Notification] | None:
    """The notifications of a page; of the next entries that have any, so that nothing means the end."""
    scan = page
    while True:
        loaded = await load_occurrences(tx, tenant, customer, scan)
        if loaded is None:
            return None
        recipient, occurrences = loaded
        telling = [
            found
            for occurrence in occurrences
            if (found := notifications(occurrence, recipient, moment.definitions))
        ]
        if telling or len(occurrences) < scan.limit:
            near = telling[: page.limit] if page.after is not None else telling[-page.limit :]
            return [notification for found in near for notification in found]
        # Long stretches that tell nothing are passed in large steps, however small the page is.
        if page.after is not None:
            scan = Page(LIMIT_MAX, after=occurrences[-1].id)
        else:
            scan = Page(LIMIT_MAX, before=occurrences[0].id)


ROUTES = (customer_notifications,)
