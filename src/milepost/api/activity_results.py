"""Activities handed to the one action behind them all, and what its outcomes look like (contract §5)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Literal

from litestar import Response
from msgspec import UNSET, UnsetType

from milepost.actions.activities import RECORD
from milepost.api import wire
from milepost.api.activity_bodies import Unreadable
from milepost.api.origins import origin
from milepost.api.requests import ApiRequest
from milepost.api.routes import write_all
from milepost.api.target_group_views import Number, View
from milepost.coalescer import Coalescer
from milepost.database import Tenant
from milepost.errors import UNAVAILABLE, Refusal, Refused
from milepost.rules.activities import Activity
from milepost.rules.book import CountedEffect, Paid
from milepost.rules.recording import RecordActivity, Recorded

Outcome = Recorded | Refusal


class EffectView(View):
    """What the activity did to one cycle of one target. `rewards` are the ids of those it granted."""

    target_group_id: int
    target_rule_id: int
    period_ref_code: str
    before: Number
    after: Number
    achieved: bool
    rewards: list[int]


class PaidView(View):
    """What a promotion paid, from an earned record or (null) to everybody. `rewards` are their ids."""

    promotion_id: int
    earned_id: int | None
    rewards: list[int]


class ResultView(View):
    """The result of one activity. `id` is null where it could not be read.

    `promotions` is there if any paid for the activity, or for a target that it achieved.
    """

    id: str | None
    status: Literal["ACCEPTED", "DUPLICATE", "REJECTED"]
    errors: list[wire.ErrorItem] | None
    effects: list[EffectView]
    promotions: list[PaidView] | UnsetType = UNSET


async def submit(
    coalescer: Coalescer, tenant: Tenant, activities: Sequence[Activity]
) -> list[Outcome]:
    """An outcome per activity, in order. To repeat is safe: what was saved already is a DUPLICATE."""
    return list(await coalescer.submit_all(RECORD, tenant, _commands(activities)))


async def record(
    request: ApiRequest,
    tenant: Tenant,
    activities: Sequence[Activity],
    render: Callable[[Sequence[Outcome]], Response[bytes]],
) -> Response[bytes]:
    """Record the activities of one call, and answer what `render` makes of their outcomes, in order.

    Raises 503 if none of them was done.
    """
    return await write_all(
        request,
        RECORD,
        tenant,
        _commands(activities),
        lambda outcomes: render(_repeatable(activities, outcomes)),
    )


def _commands(activities: Sequence[Activity]) -> list[RecordActivity]:
    whose = origin()
    return [RecordActivity(activity, whose) for activity in activities]


def _repeatable(activities: Sequence[Activity], recorded: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes, with `UNAVAILABLE` for all that should be repeated; raises 503 if none was done."""
    outcomes = list(recorded)
    if outcomes and all(unavailable(outcome) for outcome in outcomes):
        raise Refused(UNAVAILABLE)
    for place in undone(activities, outcomes):
        outcomes[place] = Refusal(UNAVAILABLE)
    return outcomes


def unavailable(outcome: Outcome) -> bool:
    """Whether it was not done for want of a database or of room, and may be sent again."""
    return isinstance(outcome, Refusal) and outcome.error is UNAVAILABLE


def undone(
    activities: Sequence[Activity],
    outcomes: Sequence[Outcome],
    missed_customers: Collection[int] = (),
) -> list[int]:
    """The places of those that should be repeated: not done, or refused where that may be the cause.

    A return is refused when its sale was not done, so with an activity goes all that was refused
    behind it of the same customer. `missed_customers` have one that was before all of these.
    """
    missed = set(missed_customers)
    places = []
    for place, (activity, outcome) in enumerate(zip(activities, outcomes, strict=True)):
        if isinstance(outcome, Refusal):
            if outcome.error is UNAVAILABLE:
                missed.add(activity.customer_id)
            if activity.customer_id in missed:
                places.append(place)
    return places


def results(
    decoded: Sequence[Activity | Unreadable], outcomes: Sequence[Outcome]
) -> list[ResultView]:
    """A result per element; `outcomes` are those of the elements that could be read, in order."""
    recorded = iter(outcomes)
    return [
        _rejected(each.id, each.refusal) if isinstance(each, Unreadable)
        else _result(each.id, next(recorded))
        for each in decoded
    ]  # fmt: skip


def _result(identity: str, outcome: Outcome) -> ResultView:
    if isinstance(outcome, Refusal):
        return _rejected(identity, outcome)
    return ResultView(
        identity,
        outcome.status,
        None,
        [_effect(each) for each in outcome.effects],
        [_paid(each) for each in outcome.paid] or UNSET,
    )


def _rejected(identity: str | None, refusal: Refusal) -> ResultView:
    item = wire.ErrorItem(refusal.error.code, refusal.message)
    return ResultView(identity, "REJECTED", [item], [])


def _effect(effect: CountedEffect) -> EffectView:
    return EffectView(
        effect.group.id,
        effect.target.id,
        effect.period.ref_code,
        effect.before,
        effect.after,
        effect.achieved,
        [reward.id for reward in effect.rewards],
    )


def _paid(paid: Paid) -> PaidView:
    return PaidView(paid.promotion.id, paid.earn_id, [reward.id for reward in paid.rewards])
