"""What brands are notified of: about customers, and that promotions were saved (domain: milestones §6;
promotions §7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from litestar import Response, get

from milepost.api import wire
from milepost.api.customer_records import LIMIT_MAX, page_of, page_query
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, declare, reading_tenant, runner_of
from milepost.api.target_group_views import View
from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, INVALID_USER, Refused
from milepost.rules.envelopes import Data, Notification, enriched_envelope, raw_envelope
from milepost.rules.notifications import notifications
from milepost.rules.promotion_notifications import promotion_saved
from milepost.runner import Moment
from milepost.store.promotions import load_changes
from milepost.store.views import Page, load_occurrences

_ENVELOPES = {"raw": raw_envelope, "enriched": enriched_envelope}
_ENVELOPE_QUERY = {"envelope": "raw (default) or enriched"}


class NotificationView(View):
    """A notification in the raw envelope. `eventId` is the same however often it is sent or read.

    `eventLogId` is the journal's entry, which several notifications may share, or the revision that saved a
    promotion: the cursor of `before` and `after`. The enriched envelope has the same `data` in `attributes`.
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
        query={**_ENVELOPE_QUERY, **page_query("eventLogId", "entries")},
    ),
)
async def customer_notifications(request: ApiRequest, customer_id: PathId) -> Response[bytes]:
    """What brands are notified of about a customer, oldest first.

    Nothing has to be subscribed to: they follow from the journal, so what happened before is there too.
    """
    customer = wire.integer(customer_id, "customerId")
    page = page_of(request)
    envelope = _envelope(request)

    async def query(tx: Tx, tenant: Tenant, moment: Moment) -> list[Notification] | None:
        return await _load(tx, tenant, customer, page, moment)

    tenant = await reading_tenant(request)
    found = await runner_of(request).read(tenant, query)
    if found is None:
        raise Refused(INVALID_USER)
    return wire.answer([envelope(each, tenant.org_id) for each in found])


@get(
    "/milepost/v1/notifications",
    opt=declare(
        "Customer",
        answer=wire.Envelope[list[NotificationView]],
        errors=(INVALID_INPUT,),
        query={**_ENVELOPE_QUERY, **page_query("eventLogId", "notifications")},
    ),
)
async def organisation_notifications(request: ApiRequest) -> Response[bytes]:
    """What brands are notified of about the organisation itself, oldest first: promotions that were saved."""
    page = page_of(request)
    envelope = _envelope(request)

    async def query(tx: Tx, tenant: Tenant, moment: Moment) -> list[Notification]:
        changes = await load_changes(tx, tenant, page.limit, page.before, page.after)
        return [
            promotion_saved(
                moment.definitions,
                change.promotion,
                change.what,
                change.revision,
                change.at,
                change.request_id,
            )
            for change in changes
        ]

    tenant = await reading_tenant(request)
    found = await runner_of(request).read(tenant, query)
    return wire.answer([envelope(each, tenant.org_id) for each in found])


def _envelope(request: ApiRequest) -> Callable[[Notification, int], Data]:
    """The envelope that a caller asks for; raises 300004 for one that there is not."""
    name = request.query_params.get("envelope", "").strip().lower() or "raw"
    envelope = _ENVELOPES.get(name)
    if envelope is None:
        raise Refused(INVALID_INPUT, f"envelope must be one of {', '.join(_ENVELOPES)}.")
    return envelope


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


ROUTES = (customer_notifications, organisation_notifications)
