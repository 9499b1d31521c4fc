"""`GET …/milestones`: target groups, filtered and by pages (domain: milestones §3.5, GAM)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

import msgspec
from litestar import MediaType, Response, get

from milepost.api import queries, wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import declare, under_all_prefixes
from milepost.api.target_group_views import GroupView, group_view
from milepost.errors import (
    CONNECTED_ORGS_NOT_SET,
    DATA_SCOPE_ALL_UNSUPPORTED,
    INVALID_INPUT,
    Refusal,
    Refused,
)
from milepost.rules.calendar import parse_end, parse_start
from milepost.rules.definitions import TRACKING_TYPES, TargetGroup
from milepost.rules.listing import STATUSES, GroupFilter, listed_groups
from milepost.rules.targets import ALL_TARGET_TYPES
from milepost.runner import Moment

LIMIT_MAX = 1_000
_OFFSET_MAX = 1_000_000
_QUERY = {
    "start-date": "groups whose window ends after this date or date-time",
    "end-date": "groups whose window starts no later than this date or date-time",
    "status": f"any of {', '.join(STATUSES)}; an inactive group is STOPPED",
    "type": f"any of {', '.join(TRACKING_TYPES)}; STREAKS stands for both kinds of streak",
    "target-on": "KPIs, divided by commas: groups with a target of one of these targetTypes",
    "name": "a part of the name, in any case",
    "require-periods": "true: with `periods` (default false)",
    "includeUserCreatedTargetGroups": "true: with groups that customers created (default false)",
    "limit": f"groups on a page, 1 to {LIMIT_MAX} (default 10)",
    "offset": "number of the page, from 0 (default)",
}


class Pagination(msgspec.Struct):
    """`total` counts records, `offset` pages (§7-20)."""

    limit: int
    offset: int
    total: int


class MilestonePage(msgspec.Struct):
    """One page; in this envelope errors and warnings are lists."""

    data: list[GroupView]
    pagination: Pagination
    errors: list[wire.ErrorItem]
    warnings: list[wire.WarningItem]


@get(
    under_all_prefixes("/milestones"),
    opt=declare(
        "Target Loyalty",
        answer=MilestonePage,
        errors=(INVALID_INPUT, DATA_SCOPE_ALL_UNSUPPORTED, CONNECTED_ORGS_NOT_SET),
        query=_QUERY,
    ),
)
async def list_milestones(request: ApiRequest) -> Response[bytes]:
    """The target groups that pass the filters, newest first, by pages.

    A date filter without offset is local in the organisation's zone; `end-date` is inclusive.
    """
    statuses = queries.words(request, "status", STATUSES)
    tracking_types = queries.words(request, "type", TRACKING_TYPES)
    target_types = queries.words(request, "target-on", ALL_TARGET_TYPES)
    limit = queries.integer(request, "limit", 10, 1, LIMIT_MAX)
    offset = queries.integer(request, "offset", 0, 0, _OFFSET_MAX)
    with_periods = queries.flag(request, "require-periods")
    user_created_too = queries.flag(request, "includeUserCreatedTargetGroups")
    groups: list[tuple[Moment, TargetGroup]] = []
    for moment in await queries.read_moments(request):
        definitions, zone = moment.definitions, ZoneInfo(moment.definitions.time_zone)
        wanted = GroupFilter(
            statuses=statuses,
            tracking_types=tracking_types,
            target_types=target_types,
            name=request.query_params.get("name", "").strip(),
            starts_at=_date(request, "start-date", parse_start, zone),
            ends_at=_date(request, "end-date", parse_end, zone),
            user_created_too=user_created_too,
        )
        found = listed_groups(definitions.groups.values(), wanted, moment.now)
        groups += [(moment, group) for group in found]
    page = MilestonePage(
        [
            group_view(group, moment.definitions.org_id, moment.now, with_periods=with_periods)
            for moment, group in groups[offset * limit : (offset + 1) * limit]
        ],
        Pagination(limit, offset, len(groups)),
        [],
        [],
    )
    return Response(wire.encode(page), media_type=MediaType.JSON)


def _date(
    request: ApiRequest,
    name: str,
    parse: Callable[[str, ZoneInfo], datetime | Refusal],
    zone: ZoneInfo,
) -> datetime | None:
    text = request.query_params.get(name, "").strip()
    read = parse(text, zone) if text else None
    if isinstance(read, Refusal):
        raise Refused(read.error, f"{name}: {read.detail}")
    return read


ROUTES = (list_milestones,)
