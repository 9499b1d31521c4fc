"""A customer's view of milestones and streaks: `…/users/{userId}/…` (domain: milestones §2.5, §3.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from litestar import Response, get
from msgspec import UNSET

from milepost.api import queries, wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, declare, read_each, under_all_prefixes
from milepost.api.target_group_views import TargetView, target_view
from milepost.api.user_views import UserTargetGroupsView, user_target_groups_view
from milepost.database import Tenant, Tx
from milepost.errors import (
    CONNECTED_ORGS_NOT_SET,
    DATA_SCOPE_ALL_UNSUPPORTED,
    INVALID_ENROLMENT_TYPE,
    INVALID_INPUT,
    INVALID_USER,
    Refused,
)
from milepost.rules.calendar import EARLIEST_AT, LATEST_AT
from milepost.rules.coverage import Enrolment
from milepost.rules.definitions import ENROLMENT_METHODS
from milepost.rules.targets import TARGET_TYPES
from milepost.rules.views import Wanted, enrolled_targets, group_rows
from milepost.runner import Moment
from milepost.store.views import Standing, load_enrolments, load_standing

IDS_MAX = 1_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_ERRORS = (INVALID_INPUT, DATA_SCOPE_ALL_UNSUPPORTED, CONNECTED_ORGS_NOT_SET, INVALID_USER)


@get(
    under_all_prefixes("/users/{user_id:str}/targetGroups"),
    opt=declare(
        "Target Loyalty",
        answer=wire.Envelope[UserTargetGroupsView],
        errors=_ERRORS,
        query={
            "includeInactive": "true: every cycle of every target, enrolled in or not; "
            "false (default): the current cycles that the customer is enrolled in",
            "includeInactiveTargets": "true: with deactivated groups and targets (default false)",
            "targetRuleId": "only this target",
            "trackingDate": "epoch milliseconds: the instant whose cycles are current (default now)",
            "excludedEntities": f"without targets on any of {', '.join(TARGET_TYPES)}",
        },
    ),
)
async def user_target_groups(request: ApiRequest, user_id: PathId) -> Response[bytes]:
    """A customer's cycles, values and streak levels, by group, newest group first."""
    customer_id = wire.integer(user_id, "userId")
    every_cycle = queries.flag(request, "includeInactive")
    inactive_too = queries.flag(request, "includeInactiveTargets")
    target_id = queries.optional_integer(request, "targetRuleId")
    tracked_at = _tracking_date(request)
    excluded = queries.words(request, "excludedEntities", TARGET_TYPES)

    async def query(tx: Tx, tenant: Tenant, moment: Moment) -> tuple[Standing, Moment] | None:
        found = await load_standing(tx, tenant, customer_id)
        return (found, moment) if found is not None else None

    with_org = not request.scope["path"].startswith(("/v3/", "/users/"))
    shown: list[UserTargetGroupsView] = []
    for tenant, read in await read_each(request, query):
        if read is None:
            raise Refused(INVALID_USER)
        standing, moment = read
        wanted = Wanted(tracked_at or moment.now, every_cycle, inactive_too, target_id, excluded)
        found = group_rows(moment.definitions, standing.enrolments, wanted, moment.now)
        org_id = tenant.org_id if with_org else UNSET
        shown.append(user_target_groups_view(standing.person, found, moment, org_id))
    # The customer is the same in all of them: what differs are the groups.
    whole = shown[0]
    whole.target_groups = [group for each in shown for group in each.target_groups]
    return wire.answer(whole)


@get(
    under_all_prefixes("/users/{user_id:str}/enrolledTargets"),
    opt=declare(
        "Target Loyalty",
        answer=wire.Envelope[list[TargetView]],
        errors=(*_ERRORS, INVALID_ENROLMENT_TYPE),
        query={
            "targetRuleIds": "only these targets, divided by commas",
            "trackingDate": "epoch milliseconds: cycles that ended by then don't matter (default now)",
            "enrollmentType": f"only targets of this enrolmentMethod: {', '.join(ENROLMENT_METHODS)}",
            "includeOnlyUserCreated": "true: only groups that customers created (default false)",
        },
    ),
)
async def user_enrolled_targets(request: ApiRequest, user_id: PathId) -> Response[bytes]:
    """The targets that a customer is enrolled in for a cycle that has not ended."""
    customer_id = wire.integer(user_id, "userId")
    target_ids = frozenset(_integers(request, "targetRuleIds"))
    tracked_at = _tracking_date(request)
    user_created = queries.flag(request, "includeOnlyUserCreated")
    method = request.query_params.get("enrollmentType", "").strip().upper()
    if method and method not in ENROLMENT_METHODS:
        raise Refused(INVALID_ENROLMENT_TYPE)

    async def query(
        tx: Tx, tenant: Tenant, moment: Moment
    ) -> tuple[Mapping[int, Enrolment], Moment] | None:
        found = await load_enrolments(tx, tenant, customer_id)
        return (found, moment) if found is not None else None

    views: list[TargetView] = []
    for _, read in await read_each(request, query):
        if read is None:
            raise Refused(INVALID_USER)
        enrolments, moment = read
        views += [
            target_view(group, target)
            for group, target in enrolled_targets(
                moment.definitions, enrolments, tracked_at or moment.now
            )
            if (group.user_created or not user_created)
            and (not target_ids or target.id in target_ids)
            and method in ("", target.enrolment_method)
        ]
    for view in views:
        view.target_period_default_values_map = {}
    return wire.answer(views)


def _integers(request: ApiRequest, name: str) -> Iterator[int]:
    texts = request.query_params.getall(name, [])
    numbers = [text.strip() for part in texts for text in part.split(",") if text.strip()]
    if len(numbers) > IDS_MAX:
        raise Refused(INVALID_INPUT, f"{name} must not have more than {IDS_MAX:,} ids.")
    return (wire.integer(number, name) for number in numbers)


def _tracking_date(request: ApiRequest) -> datetime | None:
    milliseconds = queries.optional_integer(request, "trackingDate")
    if milliseconds is None:
        return None
    low, high = ((bound - _EPOCH) // _MILLISECOND for bound in (EARLIEST_AT, LATEST_AT))
    if not low <= milliseconds <= high:
        raise Refused(
            INVALID_INPUT,
            f"trackingDate must be epoch milliseconds from {EARLIEST_AT.year} to {LATEST_AT.year}.",
        )
    return _EPOCH + milliseconds * _MILLISECOND


ROUTES = (user_target_groups, user_enrolled_targets)
