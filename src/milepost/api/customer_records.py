"""What happened to a customer, and what they were granted: explanation, rewards, points (contract §5)."""

from __future__ import annotations

from decimal import Decimal

from litestar import Response, get

from milepost.api import queries, wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, declare, reading_tenant, runner_of
from milepost.api.target_group_views import Number, View
from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, INVALID_USER, Refused
from milepost.rules.calendar import written_instant
from milepost.rules.definitions import Definitions, listened_events
from milepost.rules.explanation import explain, paid_event
from milepost.runner import Moment
from milepost.store.views import (
    Focus,
    JournalLine,
    Page,
    PointsLine,
    RewardLine,
    load_journal,
    load_points,
    load_rewards,
)

LIMIT_MAX = 10_000
LIMIT_DEFAULT = 1_000


class RewardOfView(View):
    """What was granted."""

    name: str
    type: str
    value: Number


class ExplanationView(View):
    """One thing that happened to the customer. `reason` is a stable code, `why` a sentence.

    `entryId` is the cursor of `before` and `after`. It rises with each entry of the journal; the lines
    of one activity, one for each target, share it. `activityId` names the activity that the line is
    about or that caused it; `occurredAt`, `amount` and `before` are of lines about one. `keptRewards`
    names the rewards of what was un-achieved, which stay. `promotionId` is of what happened in a
    promotion, `issualId` the enrolment there and `earnedId` the earned record; target and cycle are then
    those of the achieved target that it was asked to pay for. Fields are null where they say nothing.
    """

    entry_id: int
    at: str
    what: str
    reason: str
    why: str
    target_group_id: int | None
    target_rule_id: int | None
    period_ref_code: str | None
    streak_level: str | None
    attempt: int | None
    activity_id: str | None
    occurred_at: str | None
    amount: Number | None
    before: Number | None
    value: Number | None
    target_value: Number | None
    reward: RewardOfView | None
    kept_rewards: list[str] | None
    promotion_id: int | None
    issual_id: int | None
    earned_id: int | None


class GrantedRewardView(View):
    """A reward that was granted; `rewardId` is the cursor of `before` and `after`."""

    reward_id: int
    target_group_id: int | None
    target_rule_id: int | None
    period_ref_code: str | None
    streak_level: str | None
    attempt: int
    promotion_id: int | None
    name: str
    type: str
    value: Number
    reference: str | None
    granted_at: str
    cause: str


class PointsOfTargetView(View):
    """The points that rewards of one target brought or, with null target fields, one promotion."""

    target_group_id: int | None
    target_rule_id: int | None
    promotion_id: int | None
    points: Number


class PointsView(View):
    """A customer's points: `balance` is the sum of the POINTS rewards of the ledger."""

    balance: Number
    targets: list[PointsOfTargetView]


def page_query(cursor: str, what: str) -> dict[str, str]:
    """The query parameters of a list that grows, by the name of its cursor and what it counts."""
    return {
        "limit": f"{what} at most, 1 to {LIMIT_MAX:,} (default {LIMIT_DEFAULT:,})",
        "before": f"a line's {cursor}: the last {what} before it; absent: the last of all",
        "after": f"a line's {cursor}: the first {what} after it",
    }


@get(
    "/milepost/v1/customers/{customer_id:str}/explanation",
    opt=declare(
        "Target Loyalty",
        answer=wire.Envelope[list[ExplanationView]],
        errors=(INVALID_INPUT, INVALID_USER),
        query={
            "targetId": "only this target: the `{targetId}` of the paths (default: everything)",
            "promotionId": "only this promotion (default: everything); not with targetId",
            **page_query("entryId", "entries"),
        },
    ),
)
async def customer_explanation(request: ApiRequest, customer_id: PathId) -> Response[bytes]:
    """What happened to a customer and why, oldest first."""
    customer = wire.integer(customer_id, "customerId")
    target_id = queries.optional_integer(request, "targetId")
    promotion_id = queries.optional_integer(request, "promotionId")
    if target_id is not None and promotion_id is not None:
        raise Refused(INVALID_INPUT, "targetId and promotionId exclude each other.")
    page = page_of(request)

    async def query(
        tx: Tx, tenant: Tenant, moment: Moment
    ) -> tuple[list[JournalLine], Moment] | None:
        focus = _focus(moment.definitions, target_id, promotion_id)
        found = await load_journal(tx, tenant, customer, page, focus)
        return (found, moment) if found is not None else None

    read = await runner_of(request).read(await reading_tenant(request), query)
    if read is None:
        raise Refused(INVALID_USER)
    lines, moment = read
    return wire.answer(
        [
            {"entryId": line.id, **told.fields()}
            for line in lines
            for told in explain(line.entry, moment.definitions, target_id, promotion_id)
        ]
    )


@get(
    "/milepost/v1/customers/{customer_id:str}/rewards",
    opt=declare(
        "Target Loyalty",
        answer=wire.Envelope[list[GrantedRewardView]],
        errors=(INVALID_INPUT, INVALID_USER),
        query=page_query("rewardId", "rewards"),
    ),
)
async def customer_rewards(request: ApiRequest, customer_id: PathId) -> Response[bytes]:
    """The rewards that a customer was granted, oldest first."""
    customer = wire.integer(customer_id, "customerId")
    page = page_of(request)

    async def query(tx: Tx, tenant: Tenant, _: Moment) -> list[RewardLine] | None:
        return await load_rewards(tx, tenant, customer, page)

    lines = await runner_of(request).read(await reading_tenant(request), query)
    if lines is None:
        raise Refused(INVALID_USER)
    return wire.answer([reward_view(line) for line in lines])


@get(
    "/milepost/v1/customers/{customer_id:str}/points",
    opt=declare(
        "Target Loyalty",
        answer=wire.Envelope[PointsView],
        errors=(INVALID_INPUT, INVALID_USER),
    ),
)
async def customer_points(request: ApiRequest, customer_id: PathId) -> Response[bytes]:
    """A customer's balance of points, and what each target and each promotion brought."""
    customer = wire.integer(customer_id, "customerId")

    async def query(tx: Tx, tenant: Tenant, _: Moment) -> list[PointsLine] | None:
        return await load_points(tx, tenant, customer)

    lines = await runner_of(request).read(await reading_tenant(request), query)
    if lines is None:
        raise Refused(INVALID_USER)
    return wire.answer(
        PointsView(
            balance=sum((line.points for line in lines), Decimal(0)),
            targets=[
                PointsOfTargetView(
                    target_group_id=line.target_group_id,
                    target_rule_id=line.target_id,
                    promotion_id=line.promotion_id,
                    points=line.points,
                )
                for line in lines
            ],
        )
    )


def page_of(request: ApiRequest) -> Page:
    """The page of a list that grows that a caller asks for; raises 300004 if it cannot be."""
    limit = queries.integer(request, "limit", LIMIT_DEFAULT, 1, LIMIT_MAX)
    before = queries.optional_integer(request, "before")
    after = queries.optional_integer(request, "after")
    if before is not None and after is not None:
        raise Refused(INVALID_INPUT, "before and after exclude each other.")
    return Page(limit, before, after)


def _focus(
    definitions: Definitions, target_id: int | None, promotion_id: int | None
) -> Focus | None:
    if promotion_id is not None:
        promotion = definitions.promotions.get(promotion_id)
        event = paid_event(promotion) if promotion is not None else None
        return Focus(promotion_id=promotion_id, event_names=(event,) if event is not None else ())
    if target_id is None:
        return None
    group = definitions.groups_by_target.get(target_id)
    if group is None:
        return Focus(target_id)
    return Focus(target_id, listened_events(group.targets_by_id[target_id]))


def reward_view(
    line: RewardLine, kind: type[GrantedRewardView] = GrantedRewardView
) -> GrantedRewardView:
    """A reward as it is shown, or a kind of view that has the same fields."""
    return kind(
        reward_id=line.reward_id,
        target_group_id=line.target_group_id,
        target_rule_id=line.target_id,
        period_ref_code=line.period_ref_code,
        streak_level=line.streak_level,
        attempt=line.attempt,
        promotion_id=line.promotion_id,
        name=line.name,
        type=line.type,
        value=line.value,
        reference=line.reference,
        granted_at=written_instant(line.granted_at),
        cause=line.cause,
    )


ROUTES = (customer_explanation, customer_rewards, customer_points)
