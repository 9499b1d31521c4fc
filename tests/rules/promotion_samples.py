"""Promotions in short, for the tests of the rules; the `Desk` where they are issued is in `desk.py`."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from milepost.errors import Refusal
from milepost.rules.activities import Activity, LineItem
from milepost.rules.definitions import (
    ENROL_AND_ISSUE,
    TARGET_COMPLETED,
    UNLIMITED,
    Criteria,
    Definitions,
    Expiry,
    Limits,
    Program,
    Promotion,
    RedemptionLimit,
    RewardDefinition,
    TargetGroup,
)
from tests.rules.samples import CONDITIONS, FAILURE, day

PROGRAM, PROMOTION = 469, 21
OTHER_PROGRAM = 2714
COFFEE = RewardDefinition("Coffee", "COUPON", Decimal(1), "coffee")


def offer(
    kind: str = ENROL_AND_ISSUE,
    *,
    promotion_id: int = PROMOTION,
    starts: float = 0,
    ends: float = 100,
    event: str | None = "TransactionAdd",
    expression: str = "true",
    groups: tuple[int, ...] = (),
    targets: tuple[int, ...] = (),
    issuals: int = 1,
    earns: int = 1,
    of_all: int = UNLIMITED,
    each: int = 1,
    limits: tuple[RedemptionLimit, ...] = (),
    rewards: tuple[RewardDefinition, ...] = (COFFEE,),
    **others: object,
) -> Promotion:
    """A promotion from one day to another: of each record it is collected `each` times. `event` None: it
    has no criteria.
    """
    made = Promotion(
        promotion_id,
        PROGRAM,
        f"Offer {promotion_id}",
        kind,
        day(starts),
        day(ends),
        limits=Limits(issuals, earns, of_all, each),
        criteria=Criteria(event, expression, groups, targets) if event is not None else None,
        rewards=rewards,
        redemption_limits=limits,
    )
    return replace(made, **others)  # type: ignore[arg-type]


def completion(kind: str = "GENERIC", **others: object) -> Promotion:
    """A promotion that pays for achieved targets."""
    return offer(kind, event=TARGET_COMPLETED, **others)  # type: ignore[arg-type]


def points(number: int, name: str = "Points") -> RewardDefinition:
    return RewardDefinition(name, "POINTS", Decimal(number))


def at_most(kpi: str, on: str, most: int, window: str | None = None) -> RedemptionLimit:
    return RedemptionLimit(kpi, on, Decimal(most), window)


def days(number: int) -> Expiry:
    return Expiry("CUSTOM", number)


def offering(
    *parts: Promotion | TargetGroup, zone: str = "UTC", restores: bool = False
) -> Definitions:
    """An organisation with these promotions and target groups."""
    return Definitions(
        1001,
        1,
        zone,
        {each.id: each for each in parts if isinstance(each, TargetGroup)},
        programs={
            PROGRAM: Program(PROGRAM, "Club"),
            OTHER_PROGRAM: Program(OTHER_PROGRAM, "Other"),
        },
        promotions={each.id: each for each in parts if isinstance(each, Promotion)},
        revokes_restore_limits=restores,
    )


def evaluate(expression: str, activity: Activity, item: LineItem | None) -> bool | Refusal:
    """Also `currentEvent.name=…` of a value that is a text, `at once`, and `reaches` a streak's level."""
    read = activity.attributes
    match expression.split():
        case ["at", "once"]:
            return bool(read["isTargetAchievedEvent"])
        case ["reaches", level]:
            levels = read["streakLevels"]
            assert isinstance(levels, list)
            return level in levels
        case ["is", name, wanted]:
            return str(read[name]) == wanted if name in read else FAILURE
    return CONDITIONS[expression](activity, item)
