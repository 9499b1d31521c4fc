"""`GET …/users/{userId}/trackedTargetEvents/{targetRuleId}` (domain: milestones §3.4, GTE)."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from litestar import MediaType, Response, get

from milepost.api import queries, wire
from milepost.api.milestones import Pagination
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, declare, read_each, under_all_prefixes
from milepost.api.target_group_views import Number, View, written_value
from milepost.database import Tenant, Tx
from milepost.errors import (
    CONNECTED_ORGS_NOT_SET,
    DATA_SCOPE_ALL_UNSUPPORTED,
    INVALID_INPUT,
    INVALID_USER,
    NO_USER_TARGET,
    TARGET_NOT_FOUND,
    TARGET_PERIOD_NOT_FOUND,
    Error,
    Refused,
)
from milepost.rules.activities import EVENT, POINTS_EARNED, RETURN, TRANSACTION
from milepost.rules.calendar import written_instant_offset
from milepost.rules.definitions import TargetGroup
from milepost.runner import Moment
from milepost.store.tracked_events import TrackedEvent, TrackedPage, load_tracked_events

LIMIT_DEFAULT = 10
LIMIT_MAX = 1_000
OFFSET_MAX = 1_000_000

_EVENT_NAMES = {
    TRANSACTION: "ADD_TRANSACTION",
    RETURN: "RETURN_BILL",
    EVENT: "GENERIC_EVENT",
    "ENROLLED": "ENROL",
    "UNENROLLED": "UNENROL",
}
_DISPLAY_NAMES = {"ENROLLED": "Enrolment", "UNENROLLED": "Unenrolment"}

_Found = tuple[TargetGroup, TrackedPage]


class TrackedEventView(View):
    """An event that counted in the target, or an enrolment in it. `targetValue` is what it brought there.

    `eventName` is GENERIC_EVENT, ADD_TRANSACTION, RETURN_BILL, ENROL or UNENROL; `uniqueId` the id of
    the activity, or of the request that enrolled. Dates without offset are the group's local ones.
    """

    event_log_id: int
    event_name: str
    customer_id: int
    event_display_name: str
    unique_id: str
    event_date: str
    event_date_iso: str
    event_processed_date: str
    event_processed_date_iso: str
    period_id: int | None
    target_group_id: int
    target_rule_id: int
    target_value: Number


class TrackedEventPage(msgspec.Struct):
    """One page; in this envelope errors and warnings are lists."""

    data: list[TrackedEventView]
    pagination: Pagination
    errors: list[wire.ErrorItem]
    warnings: list[wire.WarningItem]


@get(
    under_all_prefixes("/users/{user_id:str}/trackedTargetEvents/{target_rule_id:str}"),
    opt=declare(
        "Target Loyalty",
        answer=TrackedEventPage,
        errors=(
            INVALID_INPUT,
            DATA_SCOPE_ALL_UNSUPPORTED,
            CONNECTED_ORGS_NOT_SET,
            TARGET_NOT_FOUND,
            INVALID_USER,
            TARGET_PERIOD_NOT_FOUND,
            NO_USER_TARGET,
        ),
        query={
            "periodId": "only this cycle",
            "limit": f"events on a page, 1 to {LIMIT_MAX:,} (default {LIMIT_DEFAULT})",
            "offset": "number of the page, from 0 (default)",
        },
    ),
)
async def tracked_target_events(
    request: ApiRequest, user_id: PathId, target_rule_id: PathId
) -> Response[bytes]:
    """The events behind a customer's values in a target, in order of their dates, by pages."""
    customer_id = wire.integer(user_id, "userId")
    target_id = wire.integer(target_rule_id, "targetRuleId")
    period_id = queries.optional_integer(request, "periodId")
    limit = queries.integer(request, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX)
    offset = queries.integer(request, "offset", 0, 0, OFFSET_MAX)

    async def query(tx: Tx, tenant: Tenant, moment: Moment) -> _Found | Error:
        group = moment.definitions.groups_by_target.get(target_id)
        if group is None:
            return TARGET_NOT_FOUND
        page = await load_tracked_events(
            tx, tenant, customer_id, target_id, period_id, limit, offset * limit
        )
        if page is None:
            return INVALID_USER
        if period_id is not None and period_id not in group.periods_by_id:
            return TARGET_PERIOD_NOT_FOUND
        return (group, page) if page.enrolled else NO_USER_TARGET

    reads = [read for _, read in await read_each(request, query)]
    # The target is of one of them.
    read = next((each for each in reads if each is not TARGET_NOT_FOUND), TARGET_NOT_FOUND)
    if isinstance(read, Error):
        raise Refused(read)
    group, tracked = read
    page = TrackedEventPage(
        [_view(group, target_id, customer_id, event) for event in tracked.events],
        Pagination(limit, offset, tracked.total),
        [],
        [],
    )
    return Response(wire.encode(page), media_type=MediaType.JSON)


def _view(
    group: TargetGroup, target_id: int, customer_id: int, event: TrackedEvent
) -> TrackedEventView:
    name = _DISPLAY_NAMES.get(event.kind) or event.name or POINTS_EARNED
    return TrackedEventView(
        event_log_id=event.id,
        event_name=_EVENT_NAMES.get(event.kind, "GENERIC_EVENT"),
        customer_id=customer_id,
        event_display_name=name,
        unique_id=event.unique_id or str(event.id),
        event_date=_local(event.occurred_at, group.zone),
        event_date_iso=written_instant_offset(event.occurred_at, group.zone),
        event_processed_date=_local(event.at, group.zone),
        event_processed_date_iso=written_instant_offset(event.at, group.zone),
        period_id=event.period_id,
        target_group_id=group.id,
        target_rule_id=target_id,
        target_value=written_value(event.amount),
    )


def _local(at: datetime, zone: ZoneInfo) -> str:
    """`2031-05-01 06:10:00.0`, the fraction of a second cut to milliseconds, without zeros behind."""
    local = at.astimezone(zone)
    fraction = f"{local.microsecond // 1000:03d}".rstrip("0") or "0"
    return f"{local:%Y-%m-%d %H:%M:%S}.{fraction}"


ROUTES = (tracked_target_events,)
