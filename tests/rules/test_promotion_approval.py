"""The way of a promotion through its approval: domain: promotions §1.3 (v3 states), §3.8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest

from milepost.errors import (
    INVALID_INPUT,
    PROMOTION_IDENTIFIER_TAKEN,
    PROMOTION_NAME_TAKEN,
    Error,
    Refusal,
)
from milepost.rules.definitions import (
    DIRECT,
    TARGET_COMPLETED,
    UNLIMITED,
    Actor,
    Criteria,
    Expiry,
    Limits,
    Promotion,
)
from milepost.rules.promotion_edits import (
    STATES_ASKED,
    LimitsDraft,
    PromotionDraft,
    change_state,
    discard_draft,
    edit_promotion,
    replace_promotion,
    review,
)
from milepost.rules.promotions import approval_status, status
from tests.rules.drafts import accepted, refused
from tests.rules.promotion_samples import (
    COFFEE,
    OTHER_PROGRAM,
    PROMOTION,
    at_most,
    days,
    offer,
    offering,
)
from tests.rules.samples import GROUP, TICK, day, milestone

BOB, CAROL = Actor(2, day(10)), Actor(3, day(11))
STATES = ("DRAFT", "PENDING_APPROVAL", "ACTIVE", "PAUSED", "STOPPED")
PUBLISHED = ("ACTIVE", "PAUSED")
SUBMIT = ("PENDING_APPROVAL", BOB)
PURCHASE = Criteria("TransactionAdd")
SAID = PromotionDraft(name="New name", starts_at=day(0), ends_at=day(50), criteria=PURCHASE)
"""A replacement of `offer()` by what is shorter and gives nothing."""


def replaced(promotion: Promotion, *others: Promotion, **fields: Any) -> Promotion | Refusal:
    """`replace_promotion` by Bob, on day 10, with `SAID` and `fields`."""
    definitions = offering(milestone(), promotion, *others)
    return replace_promotion(definitions, promotion, replace(SAID, **fields), BOB)


def with_draft(state: str = "DRAFT", *, of: str = "ACTIVE", **fields: Any) -> Promotion:
    """A published promotion whose draft, in `state`, is called New name and ends on day 50."""
    draft = offer(name="New name", ends=50, state=state, **fields)
    return offer(state=of, draft=draft)


def approved(promotion: Promotion, *others: Promotion, by: Actor = CAROL) -> Promotion | Refusal:
    return review(offering(milestone(), promotion, *others), promotion, by, approve=True)


def rejected(promotion: Promotion, comment: str | None = None) -> Promotion | Refusal:
    return review(offering(promotion), promotion, CAROL, approve=False, comment=comment)


# The steps

STEPS = {
    ("DRAFT", "PENDING_APPROVAL"),
    ("ACTIVE", "PAUSED"),
    ("ACTIVE", "STOPPED"),
    ("PAUSED", "ACTIVE"),
    ("PAUSED", "STOPPED"),
}


@pytest.mark.parametrize(("state", "asked"), [*product(STATES, STATES_ASKED)])
def test_a_promotion_is_submitted_paused_resumed_and_stopped_and_nothing_else(
    state: str, asked: str
) -> None:
    before = offer(state=state)
    after = change_state(before, asked, BOB)
    if (state, asked) in STEPS:
        assert after == replace(before, state=asked, updated=BOB)
    else:
        assert refused(after) == f"A promotion that is {state} cannot be {asked}."


@pytest.mark.parametrize("asked", ["", "DRAFT", "active", "LIVE", "EXPIRED", "REJECTED"])
@pytest.mark.parametrize("state", STATES)
def test_a_state_that_cannot_be_asked_for_is_refused(state: str, asked: str) -> None:
    assert refused(change_state(offer(state=state), asked, BOB)).startswith(
        "status: must be one of"
    )


@pytest.mark.parametrize("state", STATES)
def test_only_what_waits_for_approval_can_be_reviewed(state: str) -> None:
    before = offer(state=state)
    if state == "PENDING_APPROVAL":
        assert approved(before) == replace(before, state="ACTIVE", updated=CAROL)
        assert rejected(before) == replace(before, state="DRAFT", updated=CAROL)
    else:
        assert "Only what is PENDING_APPROVAL" in refused(approved(before))
        assert "Only what is PENDING_APPROVAL" in refused(rejected(before))


def test_a_draft_that_is_submitted_and_approved_is_live() -> None:
    draft = offer(state="DRAFT")
    submitted = accepted(change_state(draft, "PENDING_APPROVAL", BOB))
    live = accepted(approved(submitted))
    found = [(status(each, day(20)), each.is_on) for each in (draft, submitted, live)]
    assert found == [("PENDING", False), ("PENDING", False), ("LIVE", True)]


def test_what_is_rejected_can_be_submitted_again() -> None:
    again = accepted(change_state(accepted(rejected(offer(state="PENDING_APPROVAL"))), *SUBMIT))
    assert accepted(approved(again)).state == "ACTIVE"


# The draft of a published promotion


@pytest.mark.parametrize("state", PUBLISHED)
def test_the_draft_of_a_published_promotion_is_submitted_while_that_goes_on(state: str) -> None:
    before = with_draft(of=state)
    assert before.draft is not None
    after = accepted(change_state(before, *SUBMIT))
    waiting = replace(before.draft, state="PENDING_APPROVAL", updated=BOB)
    assert after == replace(before, draft=waiting, updated=BOB)
    assert "submitted already" in refused(change_state(after, *SUBMIT))


@pytest.mark.parametrize("state", PUBLISHED)
def test_an_approved_draft_takes_effect_and_the_promotion_stays_what_it_was_otherwise(
    state: str,
) -> None:
    after = accepted(approved(with_draft("PENDING_APPROVAL", of=state)))
    assert (after.name, after.ends_at) == ("New name", day(50))
    assert (after.state, after.draft, after.id, after.updated) == (state, None, PROMOTION, CAROL)


def test_a_rejected_draft_is_a_draft_again_and_changes_nothing() -> None:
    before = with_draft("PENDING_APPROVAL")
    assert before.draft is not None
    after = accepted(rejected(before))
    again = replace(before.draft, state="DRAFT", updated=CAROL)
    assert after == replace(before, draft=again, updated=CAROL)


def test_a_draft_that_was_not_submitted_cannot_be_approved() -> None:
    assert "Only what is PENDING_APPROVAL" in refused(approved(with_draft("DRAFT")))


def test_a_draft_that_is_discarded_is_gone() -> None:
    for state in ("DRAFT", "PENDING_APPROVAL"):
        before = with_draft(state)
        assert discard_draft(before, BOB) == replace(before, draft=None, updated=BOB)


@pytest.mark.parametrize("state", STATES)
def test_only_a_draft_of_a_published_promotion_can_be_discarded(state: str) -> None:
    assert refused(discard_draft(offer(state=state), BOB)) == "The promotion has no draft."


def test_to_stop_is_for_good_and_takes_the_draft_along() -> None:
    for state, waiting in product(PUBLISHED, ("DRAFT", "PENDING_APPROVAL")):
        stopped = accepted(change_state(with_draft(waiting, of=state), "STOPPED", BOB))
        assert (stopped.state, stopped.draft) == ("STOPPED", None)
        refused(approved(stopped))
        assert "stopped" in refused(replaced(stopped))


@pytest.mark.parametrize("asked", ["PAUSED", "STOPPED", "ACTIVE"])
def test_a_draft_does_not_hinder_pausing_and_resuming(asked: str) -> None:
    before = with_draft("PENDING_APPROVAL", of="PAUSED" if asked == "ACTIVE" else "ACTIVE")
    after = accepted(change_state(before, asked, BOB))
    assert after.state == asked
    assert after.draft == (None if asked == "STOPPED" else before.draft)


BROKEN: dict[str, tuple[dict[str, Any], tuple[Promotion, ...], Error, str]] = {
    "its name": ({}, (offer(promotion_id=22, name="new NAME"),), PROMOTION_NAME_TAKEN, ""),
    "its identifier": (
        {"identifier": "x"},
        (offer(promotion_id=22, identifier="x"),),
        PROMOTION_IDENTIFIER_TAKEN,
        "",
    ),
    "its target group": (
        {"criteria": Criteria(TARGET_COMPLETED, target_group_ids=(99,))},
        (),
        INVALID_INPUT,
        "no target group",
    ),
}


@pytest.mark.parametrize(("fields", "others", "error", "reason"), BROKEN.values(), ids=BROKEN)
def test_a_draft_is_checked_anew_when_it_is_approved(
    fields: dict[str, Any], others: tuple[Promotion, ...], error: Error, reason: str
) -> None:
    before = with_draft("PENDING_APPROVAL", **fields)
    assert reason in refused(approved(before, *others), error)
    accepted(rejected(before))


def test_a_draft_cannot_move_a_start_that_has_come_meanwhile() -> None:
    before = replace(with_draft("PENDING_APPROVAL", starts_at=day(20)), starts_at=day(11))
    assert "startDate: has come" in refused(approved(before, by=Actor(3, day(11))))
    in_time = accepted(approved(before, by=Actor(3, day(11) - TICK)))
    assert in_time.starts_at == day(20)
    accepted(rejected(before))


def test_approval_leaves_alone_whether_the_promotion_is_switched_off() -> None:
    draft = with_draft("PENDING_APPROVAL")
    off = accepted(edit_promotion(offering(draft), draft, PromotionDraft(active=False), BOB))
    assert accepted(approved(off)).active is False


def test_a_plain_edit_changes_the_promotion_and_not_its_draft() -> None:
    before = with_draft("PENDING_APPROVAL")
    after = edit_promotion(offering(before), before, PromotionDraft(description="Plain"), BOB)
    assert accepted(after) == replace(before, description="Plain", updated=BOB)


# Comments


def test_the_last_comment_is_kept_with_what_was_commented_on() -> None:
    submitted = accepted(change_state(offer(state="DRAFT"), *SUBMIT, "Ready"))
    sent_back = accepted(rejected(submitted, "Please shorten it"))
    found = [each.vendor["comment"] for each in (submitted, sent_back)]
    assert found == ["Ready", "Please shorten it"]
    assert accepted(change_state(sent_back, *SUBMIT)).vendor["comment"] == "Please shorten it"


def test_a_comment_on_a_draft_is_the_drafts() -> None:
    before = with_draft("DRAFT")
    submitted = accepted(change_state(before, *SUBMIT, "Ready"))
    sent_back = accepted(rejected(submitted, "No"))
    for after, comment in ((submitted, "Ready"), (sent_back, "No")):
        assert after.draft is not None
        assert after.draft.vendor == {"comment": comment}
        assert after.vendor == {}
    done = review(offering(submitted), submitted, CAROL, approve=True, comment="Yes")
    assert accepted(done).vendor == {"comment": "Yes"}


@pytest.mark.parametrize(("comment", "is_refused"), [("x" * 150, False), ("x" * 151, True)])
def test_a_comment_has_up_to_150_characters(comment: str, is_refused: bool) -> None:
    waiting = offer(state="PENDING_APPROVAL")
    found = (
        change_state(offer(state="DRAFT"), *SUBMIT, comment),
        change_state(with_draft(), *SUBMIT, comment),
        change_state(offer(), "PAUSED", BOB, comment),
        rejected(waiting, comment),
        review(offering(waiting), waiting, CAROL, approve=True, comment=comment),
    )
    assert [isinstance(each, Refusal) for each in found] == [is_refused] * 5


# Replacement


def test_what_a_replacement_does_not_say_takes_its_default() -> None:
    before = offer(
        state="DRAFT",
        description="Old",
        identifier="mine",
        issuals=5,
        earns=6,
        of_all=7,
        each=8,
        limits=(at_most("TIMES", "CUSTOMER", 1),),
        issual_expiry=days(3),
        earn_expiry=days(4),
        metadata=({"key": "a"},),
        rewards=(COFFEE,),
    )
    after = accepted(replaced(before))
    assert after == Promotion(
        before.id,
        before.program_id,
        "New name",
        before.type,
        day(0),
        day(50),
        identifier="mine",
        state="DRAFT",
        limits=Limits(1, 1, UNLIMITED, 1),
        issual_expiry=Expiry("PROMOTION"),
        earn_expiry=Expiry("PROMOTION"),
        criteria=PURCHASE,
        updated=BOB,
    )


def test_a_replacement_says_the_rest() -> None:
    said: dict[str, Any] = {
        "description": "New",
        "identifier": "yours",
        "issual_expiry": days(3),
        "earn_expiry": days(4),
        "redemption_limits": (at_most("TIMES", "CUSTOMER", 1),),
        "metadata": ({"key": "a"},),
        "rewards": (COFFEE,),
        "criteria": replace(PURCHASE, expression="large"),
    }
    after = accepted(
        replaced(offer(state="DRAFT"), limits=LimitsDraft(earns_per_customer=9), **said)
    )
    assert {name: getattr(after, name) for name in said} == said
    assert after.limits == Limits(1, 9, UNLIMITED, 1)


def test_a_replacement_names_the_vendor_fields_that_change() -> None:
    before = offer(state="DRAFT", vendor={"a": 1, "b": 2})
    assert accepted(replaced(before, vendor={"b": None, "c": 3})).vendor == {"a": 1, "c": 3}


def test_a_replacement_leaves_alone_whether_the_promotion_is_switched_off() -> None:
    assert accepted(replaced(offer(state="DRAFT", active=False))).active is False


@pytest.mark.parametrize("missing", ["name", "starts_at", "ends_at"])
def test_a_replacement_needs_a_name_and_both_dates(missing: str) -> None:
    assert "required" in refused(replaced(offer(state="DRAFT"), **{missing: None}))


@pytest.mark.parametrize("state", ["DRAFT", "PENDING_APPROVAL"])
def test_before_it_is_published_the_promotion_itself_is_replaced_and_is_a_draft(state: str) -> None:
    after = accepted(replaced(offer(state=state)))
    assert (after.name, after.state, after.draft) == ("New name", "DRAFT", None)


@pytest.mark.parametrize("state", PUBLISHED)
def test_the_replacement_of_a_published_promotion_waits_as_its_draft(state: str) -> None:
    before = offer(state=state, identifier="mine", created=Actor(1, day(0)))
    after = accepted(replaced(before))
    assert replace(after, draft=None, updated=before.updated) == before
    assert after.draft is not None
    assert (after.draft.name, after.draft.state, after.draft.id) == ("New name", "DRAFT", before.id)
    assert after.draft.identifier == "mine"
    live = accepted(approved(accepted(change_state(after, *SUBMIT))))
    assert live == replace(after.draft, state=state, updated=CAROL)


@pytest.mark.parametrize("state", ["DRAFT", "PENDING_APPROVAL"])
def test_a_draft_that_is_replaced_has_to_be_submitted_anew(state: str) -> None:
    after = accepted(replaced(with_draft(state), name="Newer"))
    assert after.draft is not None
    assert (after.draft.name, after.draft.state) == ("Newer", "DRAFT")


def test_a_replacement_by_the_same_draft_changes_nothing() -> None:
    for before in (offer(state="DRAFT"), offer(), offer(state="PENDING_APPROVAL")):
        once = accepted(replaced(before))
        assert once != before
        assert replaced(once) == once


def test_a_stopped_promotion_cannot_be_replaced() -> None:
    assert refused(replaced(offer(state="STOPPED"))) == "A stopped promotion cannot be changed."


@pytest.mark.parametrize("state", ["DRAFT", "ACTIVE"])
@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"promotion_id": PROMOTION + 1}, "promotionId"),
        ({"program_id": OTHER_PROGRAM}, "programId: cannot be changed"),
        ({"type": DIRECT}, "type: cannot be changed"),
        ({"criteria": Criteria("runLogged")}, "event: cannot be changed"),
        ({"criteria": None}, "event: cannot be changed"),
        ({"name": " "}, "name: must not be blank"),
        ({"ends_at": day(0)}, "endDate"),
        ({"limits": LimitsDraft(0)}, "limits.issualsPerCustomer"),
    ],
)
def test_a_replacement_keeps_what_never_changes_and_is_checked_at_once(
    state: str, fields: dict[str, Any], reason: str
) -> None:
    assert refused(replaced(offer(state=state), **fields)).startswith(reason)


def test_a_replacement_takes_no_name_of_another() -> None:
    for state in ("DRAFT", "ACTIVE"):
        other = offer(promotion_id=22, name="NEW NAME")
        refused(replaced(offer(state=state), other), PROMOTION_NAME_TAKEN)


def test_what_listens_to_nothing_yet_may_be_given_an_event() -> None:
    for state in ("DRAFT", "ACTIVE"):
        accepted(replaced(offer(state=state, event=None)))


def test_a_replacement_moves_no_start_that_has_come() -> None:
    assert "startDate: has come" in refused(replaced(offer(), starts_at=day(1)))
    assert accepted(replaced(offer(state="DRAFT"), starts_at=day(1))).starts_at == day(1)
    later = accepted(replaced(offer(starts=20), starts_at=day(30)))
    assert later.draft is not None
    assert (later.starts_at, later.draft.starts_at) == (day(20), day(30))


def test_a_replacement_keeps_criteria_that_name_what_has_been_deleted_since() -> None:
    gone = Criteria(TARGET_COMPLETED, target_group_ids=(99,))
    for state in ("DRAFT", "ACTIVE"):
        accepted(replaced(offer(state=state, criteria=gone), criteria=gone))
        there = Criteria(TARGET_COMPLETED, target_group_ids=(GROUP,))
        accepted(replaced(offer(state=state, criteria=gone), criteria=there))
        other = Criteria(TARGET_COMPLETED, target_group_ids=(98,))
        refused(replaced(offer(state=state, criteria=gone), criteria=other))


def test_two_drafts_may_want_one_name_and_the_first_to_be_approved_gets_it() -> None:
    first = accepted(replaced(offer()))
    second = accepted(replaced(offer(promotion_id=22), first))
    first, second = (accepted(change_state(each, *SUBMIT)) for each in (first, second))
    live = accepted(approved(first, second))
    refused(approved(second, live), PROMOTION_NAME_TAKEN)


# The status that is shown


@pytest.mark.parametrize(
    ("make", "during", "after"),
    [
        (lambda: offer(state="DRAFT"), "DRAFT", "DRAFT"),
        (lambda: offer(state="PENDING_APPROVAL"), "PENDING_APPROVAL", "PENDING_APPROVAL"),
        (offer, "ACTIVE", "EXPIRED"),
        (lambda: offer(state="PAUSED"), "PAUSED", "EXPIRED"),
        (lambda: offer(state="STOPPED"), "STOPPED", "STOPPED"),
        (lambda: offer(active=False), "INACTIVE", "EXPIRED"),
        (lambda: offer(active=False, state="DRAFT"), "DRAFT", "DRAFT"),
        (lambda: with_draft("PENDING_APPROVAL"), "ACTIVE", "EXPIRED"),
    ],
)
def test_the_status_is_the_state_until_what_was_published_has_ended(
    make: Callable[[], Promotion], during: str, after: str
) -> None:
    found = [approval_status(make(), at) for at in (day(-1), day(100) - TICK, day(100))]
    assert found == [during, during, after]
