"""Programs and promotions as they are defined and changed: contract §7, "A plain way in".

How they are approved is in `test_promotion_approval.py`.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from milepost.errors import (
    INVALID_PROGRAM_ID,
    PROMOTION_IDENTIFIER_TAKEN,
    PROMOTION_NAME_TAKEN,
    Refusal,
)
from milepost.rules.definitions import (
    DIRECT,
    GENERIC,
    TARGET_COMPLETED,
    UNLIMITED,
    Actor,
    Criteria,
    Definitions,
    Expiry,
    Limits,
    Program,
    Promotion,
    RewardDefinition,
)
from milepost.rules.promotion_edits import (
    PROGRAMS_MAX,
    PROMOTIONS_MAX,
    LimitsDraft,
    PromotionDraft,
    define_program,
    define_promotion,
    edit_promotion,
)
from tests.rules.drafts import accepted, refused
from tests.rules.promotion_samples import (
    COFFEE,
    OTHER_PROGRAM,
    PROGRAM,
    PROMOTION,
    at_most,
    days,
    offer,
    offering,
)
from tests.rules.samples import GROUP, TARGET, day, milestone

ALICE, BOB = Actor(1, day(0)), Actor(2, day(10))
FRESH_ID = 5001
DRAFT = PromotionDraft(PROGRAM, "Review and save", GENERIC, day(0), day(30))
SPEND = milestone()
OTHER_GROUP = milestone(group_id=8, name="Other")


def define(draft: PromotionDraft = DRAFT, *others: Promotion, **fields: Any) -> Promotion | Refusal:
    """`define_promotion` by Alice beside other promotions and two target groups."""
    definitions = offering(SPEND, OTHER_GROUP, *others)
    return define_promotion(definitions, replace(draft, **fields), FRESH_ID, ALICE)


def edit(
    promotion: Promotion, *others: Promotion, by: Actor = BOB, **fields: Any
) -> Promotion | Refusal:
    """`edit_promotion` by Bob, on day 10, with a draft that has only `fields`."""
    definitions = offering(SPEND, OTHER_GROUP, promotion, *others)
    return edit_promotion(definitions, promotion, PromotionDraft(**fields), by)


def completes(**fields: Any) -> Criteria:
    return Criteria(TARGET_COMPLETED, **fields)


# Programs


def test_a_program_has_a_name_and_an_id_and_says_who_made_it() -> None:
    made = define_program(offering(), "Coffee club", 7, ALICE)
    assert made == Program(7, "Coffee club", ALICE, ALICE)


@pytest.mark.parametrize(
    ("name", "program_id", "reason"),
    [
        ("", 7, "name: must not be blank"),
        (" \t", 7, "name: must not be blank"),
        ("x" * 256, 7, "name: must not be longer than 255 characters"),
        ("a\0b", 7, "name: holds a null byte"),
        ("a\ud800b", 7, "name: holds a null byte or a lone surrogate"),
        ("Club", PROGRAM, "programId: is taken"),
        ("Club", 0, "programId: must be above 0"),
        ("Club", -5, "programId: must be above 0"),
    ],
)
def test_a_program_is_refused_without_a_name_or_with_an_id_that_is_taken(
    name: str, program_id: int, reason: str
) -> None:
    assert reason in refused(define_program(offering(), name, program_id, ALICE))


def test_names_of_programs_need_not_differ() -> None:
    assert accepted(define_program(offering(), "Club", 7, ALICE)).name == "Club"
    assert accepted(define_program(offering(), "x" * 255, 7, ALICE)).name == "x" * 255


def test_an_organisation_has_at_most_a_thousand_programs() -> None:
    full = replace(offering(), programs={n: Program(n, "P") for n in range(1, PROGRAMS_MAX + 1)})
    assert "at most 1,000 programs" in refused(define_program(full, "One more", 2000, ALICE))
    almost = replace(offering(), programs={n: Program(n, "P") for n in range(1, PROGRAMS_MAX)})
    assert accepted(define_program(almost, "The last", 2000, ALICE)).id == 2000


# A new promotion


def test_what_is_not_said_of_a_promotion_takes_its_default() -> None:
    assert define() == Promotion(
        FRESH_ID,
        PROGRAM,
        "Review and save",
        GENERIC,
        day(0),
        day(30),
        identifier=None,
        description="",
        active=True,
        state="ACTIVE",
        limits=Limits(1, 1, UNLIMITED, 1),
        issual_expiry=Expiry("PROMOTION"),
        earn_expiry=Expiry("PROMOTION"),
        criteria=None,
        rewards=(),
        redemption_limits=(),
        metadata=(),
        vendor={},
        created=ALICE,
        updated=ALICE,
    )


def test_all_that_is_said_of_a_promotion_is_kept() -> None:
    said = PromotionDraft(
        PROGRAM,
        "Ten visits",
        DIRECT,
        day(1),
        day(2),
        "ten-visits",
        "Come ten times",
        active=False,
        limits=LimitsDraft(2, 3, 400, UNLIMITED),
        issual_expiry=days(5),
        earn_expiry=days(36_525),
        criteria=completes(
            expression="at once", target_group_ids=(GROUP, 8), target_ids=(TARGET, 80)
        ),
        rewards=(COFFEE, RewardDefinition("Points", "points", Decimal("0.5"))),
        redemption_limits=(at_most("TIMES", "CUSTOMER", 3, "WEEKLY"),),
        metadata=({"key": "colour", "value": "red"},),
        vendor={"scope": ["anything"]},
    )
    made = accepted(define(said))
    assert made == Promotion(
        FRESH_ID,
        PROGRAM,
        "Ten visits",
        DIRECT,
        day(1),
        day(2),
        "ten-visits",
        "Come ten times",
        active=False,
        limits=Limits(2, 3, 400, UNLIMITED),
        issual_expiry=days(5),
        earn_expiry=days(36_525),
        criteria=said.criteria,
        rewards=(COFFEE, RewardDefinition("Points", "POINTS", Decimal("0.5"))),
        redemption_limits=said.redemption_limits or (),
        metadata=said.metadata or (),
        vendor={"scope": ["anything"]},
        created=ALICE,
        updated=ALICE,
    )


def test_a_promotion_that_needs_approval_begins_as_a_draft() -> None:
    made = define_promotion(offering(), DRAFT, FRESH_ID, ALICE, "DRAFT")
    assert accepted(made).state == "DRAFT"


@pytest.mark.parametrize("missing", ["program_id", "name", "type", "starts_at", "ends_at"])
def test_a_promotion_needs_a_program_a_name_a_type_and_both_dates(missing: str) -> None:
    nothing: dict[str, Any] = {missing: None}
    assert "required" in refused(define(**nothing))


@pytest.mark.parametrize("kind", ["", "generic", "LOYALTY ", "LOTTERY"])
def test_a_type_is_one_of_three_to_the_letter(kind: str) -> None:
    assert refused(define(type=kind)).startswith("type: must be one of GENERIC, LOYALTY, ")


def test_a_promotion_of_a_program_that_there_is_not_is_refused() -> None:
    refused(define(program_id=1), INVALID_PROGRAM_ID)


@pytest.mark.parametrize(("promotion_id", "reason"), [(0, "above 0"), (-1, "above 0")])
def test_an_id_is_above_0(promotion_id: int, reason: str) -> None:
    assert reason in refused(define_promotion(offering(), DRAFT, promotion_id, ALICE))


def test_an_id_is_taken_once_in_an_organisation_whatever_the_program() -> None:
    other = offer(promotion_id=FRESH_ID, program_id=OTHER_PROGRAM)
    assert refused(define(DRAFT, other)) == "promotionId: is taken."


def test_an_organisation_has_at_most_ten_thousand_promotions_drafts_and_ended_ones_included() -> (
    None
):
    every = {n: offer(promotion_id=n, state="DRAFT") for n in range(1, PROMOTIONS_MAX + 1)}
    full = replace(offering(), promotions=every)
    made = define_promotion(full, DRAFT, 20_000, ALICE)
    assert "at most 10,000 promotions" in refused(made)
    del every[1]
    accepted(define_promotion(replace(full, promotions=every), DRAFT, 20_000, ALICE))


# What a promotion may be, new or changed

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a blank name": ({"name": "  "}, "name: must not be blank"),
    "no name": ({"name": ""}, "name: must not be blank"),
    "a long name": ({"name": "x" * 256}, "name: must not be longer than 255"),
    "a null byte": ({"name": "a\0"}, "name: holds a null byte"),
    "a blank identifier": ({"identifier": " "}, "promoIdentifier: must not be blank"),
    "a long identifier": ({"identifier": "x" * 256}, "promoIdentifier: must not be longer than"),
    "half an emoji": ({"identifier": "\ud83d"}, "promoIdentifier: holds a null byte or a lone"),
    "a long description": ({"description": "x" * 1001}, "description: must not be longer than"),
    "no time": ({"starts_at": day(30), "ends_at": day(30)}, "endDate: must not be before"),
    "an end before the start": ({"starts_at": day(31), "ends_at": day(30)}, "endDate: must not"),
    # Limits
    "no enrolment": ({"limits": LimitsDraft(0)}, "limits.issualsPerCustomer: must be 1 to"),
    "a negative limit": ({"limits": LimitsDraft(-2)}, "limits.issualsPerCustomer: must be"),
    "no earn": ({"limits": LimitsDraft(None, 0)}, "limits.earnsPerCustomer"),
    "no earn of all": ({"limits": LimitsDraft(None, None, 0)}, "limits.earnsPerPromotion"),
    "no redemption": ({"limits": LimitsDraft(redemptions_per_earn=0)}, "limits.redemptionsPerEarn"),
    "a limit above 10^9": (
        {"limits": LimitsDraft(10**9 + 1)},
        "limits.issualsPerCustomer: must be 1 to",
    ),
    # Expiries
    "an unknown expiry": ({"issual_expiry": Expiry("LATER")}, "issualExpiry.type: must be one of"),
    "an expiry in small letters": ({"earn_expiry": Expiry("custom", 5)}, "earnExpiry.type"),
    "an expiry without days": ({"issual_expiry": Expiry("CUSTOM")}, "issualExpiry.days: is requir"),
    "no day": ({"earn_expiry": days(0)}, "earnExpiry.days: must be 1 to 36525"),
    "more than a hundred years": ({"earn_expiry": days(36_526)}, "earnExpiry.days: must be 1 to"),
    # Criteria
    "no event": ({"criteria": Criteria("")}, "criteria.event: must not be blank"),
    "a blank event": ({"criteria": Criteria(" \n")}, "criteria.event: must not be blank"),
    "a long event": ({"criteria": Criteria("x" * 201)}, "criteria.event: must not be longer"),
    "an event that cannot be kept": ({"criteria": Criteria("a\0b")}, "criteria.event: holds"),
    "returns": ({"criteria": Criteria("ReturnBill")}, "criteria.event: names returns"),
    "returns in capitals": ({"criteria": Criteria("RETURNBILL")}, "criteria.event: names returns"),
    "groups of a purchase": (
        {"criteria": Criteria("TransactionAdd", target_group_ids=(GROUP,))},
        "criteria: takes target ids with the event TARGETCOMPLETED only",
    ),
    "targets of an event": (
        {"criteria": Criteria("runLogged", target_ids=(TARGET,))},
        "criteria: takes target ids with",
    ),
    "an unknown group": (
        {"criteria": completes(target_group_ids=(GROUP, 99))},
        "criteria.targetGroupIds: has 99, which is no target group",
    ),
    "an unknown target": (
        {"criteria": completes(target_ids=(99,))},
        "criteria.targetRuleIds: has 99, which is no target",
    ),
    "a target of another group": (
        {"criteria": completes(target_group_ids=(8,), target_ids=(TARGET,))},
        f"criteria.targetRuleIds: has {TARGET}, which is of another group",
    ),
    "101 groups": (
        {"criteria": completes(target_group_ids=(GROUP,) * 101)},
        "criteria.targetGroupIds: must not have more than 100",
    ),
    "101 targets": (
        {"criteria": completes(target_ids=(TARGET,) * 101)},
        "criteria.targetRuleIds: must not have more than 100",
    ),
    # Rewards
    "21 rewards": ({"rewards": (COFFEE,) * 21}, "rewards: must not have more than 20"),
    "a nameless reward": ({"rewards": (replace(COFFEE, name=""),)}, "rewards[0].name"),
    "an unknown reward": (
        {"rewards": (COFFEE, replace(COFFEE, type="CAR"))},
        "rewards[1].type: must be one of",
    ),
    "a negative reward": (
        {"rewards": (replace(COFFEE, value=Decimal(-1)),)},
        "rewards[0].value",
    ),
    # Limits of redemptions
    "21 limits": (
        {"redemption_limits": (at_most("TIMES", "CUSTOMER", 1),) * 21},
        "redemptionLimits: must not have more than 20",
    ),
    "an unknown kpi": (
        {"redemption_limits": (at_most("MILES", "CUSTOMER", 1),)},
        "redemptionLimits[0].kpi: must be one of TIMES, POINTS",
    ),
    "an unknown scope": (
        {"redemption_limits": (at_most("TIMES", "SHOP", 1),)},
        "redemptionLimits[0].limitOn: must be one of",
    ),
    "an unknown window": (
        {"redemption_limits": (at_most("TIMES", "CUSTOMER", 1, "YEARLY"),)},
        "redemptionLimits[0].periodUnit: must be one of DAILY, WEEKLY, MONTHLY",
    ),
    "no points": (
        {"redemption_limits": (at_most("POINTS", "CUSTOMER", 0),)},
        "redemptionLimits[0].maxLimit: must be more than 0",
    ),
    "too many points": (
        {"redemption_limits": (at_most("POINTS", "CUSTOMER", 10**15 + 1),)},
        "redemptionLimits[0].maxLimit",
    ),
    "half a time": (
        {"redemption_limits": (replace(at_most("TIMES", "CUSTOMER", 1), most=Decimal("1.5")),)},
        "redemptionLimits[0].maxLimit: must be an integer from 1",
    ),
    "a part of a time": (
        {"redemption_limits": (replace(at_most("TIMES", "CUSTOMER", 1), most=Decimal("0.5")),)},
        "redemptionLimits[0].maxLimit: must be an integer from 1",
    ),
    "times of an event": (
        {"redemption_limits": (at_most("TIMES", "EVENT", 1),)},
        "redemptionLimits[0].kpi: must be POINTS for an EVENT",
    ),
    "a window of an event": (
        {"redemption_limits": (at_most("POINTS", "EVENT", 1, "DAILY"),)},
        "redemptionLimits[0].periodUnit: goes with CUSTOMER and PROMOTION",
    ),
    "a window of a record": (
        {"redemption_limits": (at_most("TIMES", "EARN", 1, "DAILY"),)},
        "redemptionLimits[0].periodUnit: goes with CUSTOMER and PROMOTION",
    ),
    "points of all within a window": (
        {"redemption_limits": (at_most("POINTS", "PROMOTION", 1, "DAILY"),)},
        "redemptionLimits[0].periodUnit: goes with PROMOTION for up to 10,000 TIMES only",
    ),
    "too many of all within a window": (
        {"redemption_limits": (at_most("TIMES", "PROMOTION", 10_001, "MONTHLY"),)},
        "redemptionLimits[0].periodUnit: goes with PROMOTION for up to 10,000 TIMES only",
    ),
    "the second limit": (
        {"redemption_limits": (at_most("TIMES", "EARN", 1), at_most("TIMES", "EVENT", 1))},
        "redemptionLimits[1].kpi",
    ),
    # What is only kept
    "51 custom fields": (
        {"metadata": ({"key": "a", "value": 1},) * 51},
        "promotionMetadata: must not have more than 50",
    ),
    "a long custom field": (
        {"metadata": ({"key": "a", "value": "x" * 20_000},)},
        "promotionMetadata: must not be longer than",
    ),
    "a deep custom field": (
        {"metadata": ({"a": [[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]},)},
        "promotionMetadata: must not be nested deeper than",
    ),
    "a long vendor field": ({"vendor": {"a": "x" * 20_000}}, "promotion: must not be longer than"),
    "a vendor field that cannot be kept": ({"vendor": {"a\0": 1}}, "promotion: holds a null byte"),
}

ACCEPTED: dict[str, dict[str, Any]] = {
    "255 characters": {"name": "x" * 255, "identifier": "y" * 255},
    "a description of 1,000": {"description": "x" * 1000},
    "an instant": {"starts_at": day(20), "ends_at": day(20.5)},
    "no limits": {"limits": LimitsDraft(-1, -1, -1, -1)},
    "the least limits": {"limits": LimitsDraft(1, 1, 1, 1)},
    "the largest limits": {"limits": LimitsDraft(10**9, 10**9, 10**9, 10**9)},
    "expiries": {"issual_expiry": days(1), "earn_expiry": Expiry("PROMOTION", 0)},
    "any group": {"criteria": completes()},
    "groups": {"criteria": completes(target_group_ids=(GROUP, 8))},
    "targets": {"criteria": completes(target_ids=(TARGET, 80))},
    "a target of its group": {
        "criteria": completes(target_group_ids=(GROUP,), target_ids=(TARGET,))
    },
    "a behavioural event": {"criteria": Criteria("x" * 200)},
    "20 rewards": {"rewards": (COFFEE,) * 20},
    "a reward of nothing": {"rewards": (replace(COFFEE, value=Decimal(0)),)},
    "limits of a customer": {
        "redemption_limits": (
            at_most("TIMES", "CUSTOMER", 1),
            at_most("TIMES", "CUSTOMER", 10**9, "DAILY"),
            at_most("POINTS", "CUSTOMER", 10**15, "MONTHLY"),
        )
    },
    "limits of all": {
        "redemption_limits": (
            at_most("TIMES", "PROMOTION", 1_000_000),
            at_most("POINTS", "PROMOTION", 1_000_000),
            at_most("TIMES", "PROMOTION", 10_000, "WEEKLY"),
        )
    },
    "limits of a record and an event": {
        "redemption_limits": (
            at_most("TIMES", "EARN", 2),
            at_most("POINTS", "EARN", 2),
            at_most("POINTS", "EVENT", 2),
        )
    },
    "20 limits": {"redemption_limits": (at_most("TIMES", "CUSTOMER", 1),) * 20},
    "50 custom fields": {"metadata": ({"key": "a", "value": None},) * 50},
}


@pytest.mark.parametrize(("fields", "reason"), REFUSED.values(), ids=REFUSED)
def test_what_a_promotion_may_not_be_is_refused_by_its_name(
    fields: dict[str, Any], reason: str
) -> None:
    assert refused(define(**fields)).startswith(reason)
    upcoming = offer(starts=20, kind=GENERIC, criteria=None)
    assert refused(edit(upcoming, **fields)).startswith(reason)


@pytest.mark.parametrize("fields", ACCEPTED.values(), ids=ACCEPTED)
def test_what_a_promotion_may_be_up_to_its_bounds_is_kept(fields: dict[str, Any]) -> None:
    made = accepted(define(**fields))
    changed = accepted(edit(offer(starts=20, kind=GENERIC), **fields))
    for name, value in fields.items():
        if not isinstance(value, LimitsDraft):
            assert getattr(made, name) == getattr(changed, name) == value


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("TRANSACTIONADD", "TransactionAdd"),
        (" NewBill ", "TransactionAdd"),
        ("TargetCompleted", TARGET_COMPLETED),
        ("runLogged", "runLogged"),
        (" runLogged\n", "runLogged"),
    ],
)
def test_an_event_is_kept_by_its_own_name(sent: str, kept: str) -> None:
    criteria = accepted(define(criteria=Criteria(sent))).criteria
    assert criteria is not None
    assert criteria.event == kept


# What is unique


@pytest.mark.parametrize("name", ["Offer 21", "offer 21", "OFFER 21"])
def test_a_name_is_taken_once_in_a_program_in_any_case(name: str) -> None:
    refused(define(DRAFT, offer(), name=name), PROMOTION_NAME_TAKEN)
    refused(edit(offer(promotion_id=22), offer(), name=name), PROMOTION_NAME_TAKEN)


def test_an_identifier_is_taken_once_in_a_program_to_the_letter() -> None:
    taken = offer(identifier="save")
    refused(define(DRAFT, taken, identifier="save"), PROMOTION_IDENTIFIER_TAKEN)
    refused(edit(offer(promotion_id=22), taken, identifier="save"), PROMOTION_IDENTIFIER_TAKEN)
    assert accepted(define(DRAFT, taken, identifier="Save")).identifier == "Save"


def test_two_programs_may_have_the_same_names_and_identifiers() -> None:
    other = offer(program_id=OTHER_PROGRAM, name="Review and save", identifier="save")
    accepted(define(DRAFT, other, identifier="save"))


def test_promotions_without_an_identifier_are_not_alike() -> None:
    accepted(define(DRAFT, offer()))


@pytest.mark.parametrize("state", ["DRAFT", "STOPPED"])
def test_drafts_and_stopped_promotions_keep_their_names(state: str) -> None:
    refused(define(DRAFT, offer(state=state), name="Offer 21"), PROMOTION_NAME_TAKEN)


def test_a_promotion_may_keep_its_own_name_and_write_it_otherwise() -> None:
    mine = offer(identifier="mine")
    assert accepted(edit(mine, name="OFFER 21", identifier="mine")).name == "OFFER 21"


# Changes


def test_what_is_not_said_stays() -> None:
    before = offer(identifier="mine", description="Old", metadata=({"key": "a"},), vendor={"b": 1})
    after = accepted(edit(before, description="New"))
    assert after == replace(before, description="New", updated=BOB)


def test_everything_but_id_program_type_and_start_can_be_changed_while_it_runs_and_afterwards() -> (
    None
):
    said = {
        "name": "Other",
        "identifier": "other",
        "description": "Else",
        "active": False,
        "ends_at": day(12),
        "issual_expiry": days(1),
        "earn_expiry": days(2),
        "criteria": completes(),
        "rewards": (),
        "redemption_limits": (at_most("TIMES", "CUSTOMER", 1),),
        "metadata": ({"key": "a"},),
    }
    for by in (BOB, Actor(2, day(500))):
        after = accepted(edit(offer(), by=by, limits=LimitsDraft(4, 5, 6, 7), **said))
        assert {name: getattr(after, name) for name in said} == said
        assert after.limits == Limits(4, 5, 6, 7)
        assert after.updated == by


def test_a_limit_that_is_not_said_stays_when_another_is_changed() -> None:
    after = accepted(edit(offer(issuals=4, earns=5, of_all=6, each=7), limits=LimitsDraft(1)))
    assert after.limits == Limits(1, 5, 6, 7)


def test_vendor_fields_are_added_replaced_and_with_null_removed() -> None:
    before = offer(vendor={"a": 1, "b": 2, "c": 3})
    after = accepted(edit(before, vendor={"b": 4, "c": None, "d": None}))
    assert after.vendor == {"a": 1, "b": 4}


def test_an_edit_that_changes_nothing_is_none() -> None:
    before = offer(updated=ALICE)
    assert edit(before) == before
    said = PromotionDraft(
        before.program_id,
        before.name,
        before.type,
        before.starts_at,
        before.ends_at,
        promotion_id=before.id,
        rewards=before.rewards,
        criteria=before.criteria,
    )
    assert edit_promotion(offering(before), before, said, BOB) == before


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"promotion_id": PROMOTION + 1}, "promotionId: is that of another promotion"),
        ({"program_id": OTHER_PROGRAM}, "programId: cannot be changed"),
        ({"type": DIRECT}, "type: cannot be changed"),
    ],
)
@pytest.mark.parametrize("state", ["DRAFT", "PENDING_APPROVAL", "ACTIVE", "PAUSED", "STOPPED"])
def test_id_program_and_type_never_change(fields: dict[str, Any], reason: str, state: str) -> None:
    assert refused(edit(offer(state=state), **fields)).startswith(reason)


@pytest.mark.parametrize("state", ["ACTIVE", "PAUSED", "STOPPED"])
def test_a_start_can_be_changed_until_it_has_come(state: str) -> None:
    upcoming = offer(starts=10.5, state=state)
    assert accepted(edit(upcoming, starts_at=day(-300))).starts_at == day(-300)
    begins_now = offer(starts=10, state=state)
    assert "startDate: has come" in refused(edit(begins_now, starts_at=day(11)))
    assert accepted(edit(begins_now, starts_at=day(10), description="New")).starts_at == day(10)


@pytest.mark.parametrize("state", ["DRAFT", "PENDING_APPROVAL"])
def test_the_start_of_what_was_never_approved_can_always_be_changed(state: str) -> None:
    assert accepted(edit(offer(state=state), starts_at=day(50))).starts_at == day(50)


def test_a_start_never_moves_behind_the_end() -> None:
    assert "endDate" in refused(edit(offer(starts=20, ends=30), starts_at=day(30)))
    assert "endDate" in refused(edit(offer(starts=5, ends=30), ends_at=day(5)))


@pytest.mark.parametrize(
    ("state", "after"),
    [
        ("DRAFT", "DRAFT"),
        ("PENDING_APPROVAL", "DRAFT"),
        ("ACTIVE", "ACTIVE"),
        ("PAUSED", "PAUSED"),
        ("STOPPED", "STOPPED"),
    ],
)
def test_what_is_changed_while_it_waits_for_approval_has_to_be_submitted_anew(
    state: str, after: str
) -> None:
    waiting = offer(state=state)
    assert accepted(edit(waiting, description="Not what was submitted")).state == after
    assert edit(waiting, description="") == waiting


def test_criteria_that_stay_may_name_what_has_been_deleted_since() -> None:
    gone = offer(criteria=completes(target_group_ids=(99,), target_ids=(990,)))
    assert accepted(edit(gone, ends_at=day(200))).criteria == gone.criteria
    assert accepted(edit(gone, criteria=gone.criteria, ends_at=day(200))).ends_at == day(200)
    changed = completes(target_group_ids=(99,))
    assert "is no target group" in refused(edit(gone, criteria=changed))


def test_a_promotion_is_decided_by_its_own_organisation_alone() -> None:
    empty = Definitions(1002, 1, "UTC")
    refused(define_promotion(empty, DRAFT, FRESH_ID, ALICE), INVALID_PROGRAM_ID)
