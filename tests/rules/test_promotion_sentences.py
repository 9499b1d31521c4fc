"""What happened in promotions, and why they did not pay, as sentences: contract §5, "explanation", and §7."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from milepost.rules.definitions import (
    DIRECT,
    ENROL_AND_ISSUE,
    GENERIC,
    TARGET_COMPLETED,
    UNLIMITED,
    Actor,
    Promotion,
    TargetGroup,
)
from milepost.rules.effects import Entry, PromotionEffect
from milepost.rules.explanation import Explanation, explain
from milepost.rules.reasons import PROMOTION_REASONS
from tests.rules.desk import Desk
from tests.rules.entries import activity, loaded
from tests.rules.promotion_samples import (
    PROMOTION,
    at_most,
    completion,
    days,
    offer,
    offering,
    points,
)
from tests.rules.samples import CUSTOMER, day, milestone, unified

DETAILS: dict[tuple[str, str], dict[str, object]] = {
    ("ENROLLED", "PROMOTION_ENROLLED"): {"issual": 3, "expiresAt": "2026-06-06T12:41:55+00:00"},
    ("ENROLLED", "PROMOTION_RE_ENROLLED"): {"issual": 4, "expiresAt": "2026-07-01T00:00:00+00:00"},
    ("ACHIEVED", "PROMOTION_EARNED"): {
        "earn": 8, "issual": 3, "expiresAt": "2026-06-06T12:41:55+00:00",
    },
    ("UNENROLLED", "PROMOTION_ENROLMENT_REVOKED"): {
        "issual": 3, "issuedAt": "2026-06-01T12:41:55+00:00", "expiresAt": "2026-07-01T00:00:00+00:00",
    },
    ("UNENROLLED", "PROMOTION_ENROLMENT_EXPIRED"): {"issual": 3},
    ("UNACHIEVED", "PROMOTION_EARN_REVOKED"): {
        "earns": [8], "earnedAt": ["2026-06-01T12:41:55+00:00"], "expiresAt": ["2026-07-01T00:00:00+00:00"],
    },
    ("UNACHIEVED", "PROMOTION_EARN_EXPIRED"): {"earns": [8], "redemptions": 0},
    ("REWARDED", "PROMOTION_REWARD"): {
        "earn": 8, "paidFor": "activity tx-1", "occurredAt": "2026-06-02T10:00:00+00:00", "attempt": 1,
        "name": "Coffee", "type": "COUPON", "value": "1", "ordinal": 0, "activity": "tx-1",
    },
}  # fmt: skip
"""By what and reason: the details as the rules write them."""


def entry(what: str, reason: str, at_days: float = 5, **details: object) -> Entry:
    found = {"promotion": PROMOTION, **DETAILS[what, reason], **details}
    return Entry(day(at_days), what, reason, details=found)


def told(entry: Entry, *parts: Promotion | TargetGroup, zone: str = "UTC") -> Explanation:
    """The one line of the entry."""
    (line,) = explain(loaded(entry), offering(*(parts or (offer(),)), zone=zone))
    return line


def why(entry: Entry, *parts: Promotion | TargetGroup, zone: str = "UTC") -> str:
    return told(entry, *parts, zone=zone).why


@pytest.mark.parametrize(
    ("entry", "promotion", "sentence"),
    [
        (
            entry("ENROLLED", "PROMOTION_ENROLLED"),
            {},
            (
                "Enrolled in promotion 'Offer 21' until 6 Jun 2026 12:41. "
                "To pay anything it has to be issued by then."
            ),
        ),
        (
            entry("ENROLLED", "PROMOTION_RE_ENROLLED", replaces=3),
            {},
            (
                "Enrolled again in promotion 'Offer 21' until 30 Jun 2026, in place of enrolment 3. "
                "To pay anything it has to be issued by then."
            ),
        ),
        (
            entry("ENROLLED", "PROMOTION_RE_ENROLLED"),
            {},
            (
                "Enrolled again in promotion 'Offer 21' until 30 Jun 2026. "
                "To pay anything it has to be issued by then."
            ),
        ),
        (
            entry("ACHIEVED", "PROMOTION_EARNED"),
            {},
            (
                "Issued promotion 'Offer 21' until 6 Jun 2026 12:41. "
                "It pays once for a purchase from now to then."
            ),
        ),
        (
            entry("ACHIEVED", "PROMOTION_EARNED"),
            {"event": "runLogged", "expression": "currentEvent.km > 5.0", "each": 3},
            (
                "Issued promotion 'Offer 21' until 6 Jun 2026 12:41. "
                "It pays up to 3 times for an event 'runLogged' that meets its criteria from now to then."
            ),
        ),
        (
            entry("ACHIEVED", "PROMOTION_EARNED"),
            {"event": TARGET_COMPLETED, "each": UNLIMITED},
            (
                "Issued promotion 'Offer 21' until 6 Jun 2026 12:41. "
                "It pays any number of times for an achieved target from now to then."
            ),
        ),
        (
            entry("ACHIEVED", "PROMOTION_EARNED"),
            {"event": None},
            (
                "Issued promotion 'Offer 21' until 6 Jun 2026 12:41. "
                "By today's settings it pays nothing."
            ),
        ),
        (
            entry("UNENROLLED", "PROMOTION_ENROLMENT_REVOKED"),
            {},
            (
                "The enrolment of 1 Jun 2026 12:41 in promotion 'Offer 21', good until 30 Jun 2026, was "
                "revoked. To be issued it takes a new enrolment."
            ),
        ),
        (
            entry("UNENROLLED", "PROMOTION_ENROLMENT_EXPIRED"),
            {},
            (
                "The enrolment in promotion 'Offer 21' expired. "
                "To be issued it takes a new enrolment."
            ),
        ),
        (
            entry("UNENROLLED", "PROMOTION_ENROLMENT_EXPIRED"),
            {"ends": 5},
            "The enrolment in promotion 'Offer 21' expired with the promotion.",
        ),
        (
            entry("UNACHIEVED", "PROMOTION_EARN_REVOKED"),
            {},
            (
                "What was issued of promotion 'Offer 21' on 1 Jun 2026 12:41, good until 30 Jun 2026, was "
                "revoked: it pays nothing any more. What it has paid stays."
            ),
        ),
        (
            entry("UNACHIEVED", "PROMOTION_EARN_EXPIRED"),
            {},
            (
                "What was issued of promotion 'Offer 21' expired without having paid. "
                "What is dated before that is still paid when it arrives."
            ),
        ),
        (
            entry("UNACHIEVED", "PROMOTION_EARN_EXPIRED", redemptions=1),
            {},
            "What was issued of promotion 'Offer 21' expired after it had paid once.",
        ),
        (
            entry("UNACHIEVED", "PROMOTION_EARN_EXPIRED", redemptions=2),
            {"each": 3},
            (
                "What was issued of promotion 'Offer 21' expired after it had paid 2 times. "
                "What is dated before that is still paid when it arrives."
            ),
        ),
        (
            entry("REWARDED", "PROMOTION_REWARD"),
            {},
            (
                "Granted 'Coffee' (coupon, 1), because promotion 'Offer 21' paid for activity 'tx-1' of "
                "2 Jun 2026 10:00."
            ),
        ),
        (
            entry("REWARDED", "PROMOTION_REWARD", type="POINTS", value="20", uncapped="50.0"),
            {},
            (
                "Granted 'Coffee' (points, 20 instead of 50, for a limit on points was reached), because "
                "promotion 'Offer 21' paid for activity 'tx-1' of 2 Jun 2026 10:00."
            ),
        ),
    ],
)
def test_what_was_done_is_told_with_names_and_dates(
    entry: Entry, promotion: dict[str, object], sentence: str
) -> None:
    line = told(entry, offer(**promotion))  # type: ignore[arg-type]
    assert line.why == sentence
    assert (line.what, line.reason) == (entry.what, entry.reason)


def test_dates_are_those_of_the_organisations_calendar() -> None:
    ends = entry("ENROLLED", "PROMOTION_ENROLLED", expiresAt="2026-06-30T18:30:00+00:00")
    assert " until 30 Jun 2026. " in why(ends, zone="Asia/Kolkata")
    assert " until 30 Jun 2026 18:30. " in why(ends)


def test_each_of_several_records_that_were_revoked_has_a_line_with_its_own_dates() -> None:
    several = entry(
        "UNACHIEVED", "PROMOTION_EARN_REVOKED", earns=[8, 9],
        earnedAt=["2026-06-01T00:00:00+00:00", "2026-06-02T00:00:00+00:00"],
        expiresAt=["2026-06-04T00:00:00+00:00", "2026-06-05T00:00:00+00:00"],
    )  # fmt: skip
    lines = explain(loaded(several), offering(offer()))
    assert [line.earn_id for line in lines] == [8, 9]
    assert "on 1 Jun 2026, good until 3 Jun 2026," in lines[0].why
    assert "on 2 Jun 2026, good until 4 Jun 2026," in lines[1].why


COUPLE = unified("SALES", "COUNT")


@pytest.mark.parametrize(
    ("paid_for", "thing"),
    [
        (
            "completion of target 70 period 701 attempt 2",
            "the completion of cycle c1 (1 Jun 2026 – 10 Jun 2026) of 'Spend 1000'",
        ),
        (
            "completion of target 75 period 701 attempt 1",
            "the completion of cycle 701 of target 75 (deleted since)",
        ),
        (
            "completion of group 8 period 801 attempt 1",
            "the completion of cycle 801 of target group 8 (deleted since)",
        ),
        (
            "completion of group 7 period 701 attempt 1",
            "the completion of cycle c1 (1 Jun 2026 – 10 Jun 2026) of 'Spend 1000'",
        ),
    ],
)
def test_a_reward_for_an_achieved_target_names_it_although_it_is_of_no_target(
    paid_for: str, thing: str
) -> None:
    reward = entry("REWARDED", "PROMOTION_REWARD", paidFor=paid_for, attempt=2)
    line = told(reward, offer(), milestone())
    assert line.why.endswith(f"because promotion 'Offer 21' paid for {thing}.")
    assert (line.target_group_id, line.target_id, line.period_ref_code) == (None, None, None)


def effect(reason: str, earn_id: int | None = None, *of: int | None) -> Entry:
    """A purchase, and what the promotion made of it; with `of` of a target that was achieved by it."""
    effects = (PromotionEffect(PROMOTION, reason, earn_id, *of),)
    return replace(activity(), promotion_effects=effects)


def not_paid(reason: str, *parts: Promotion | TargetGroup, at_days: float = 5) -> str:
    """Why the purchase of 2 June, which arrived later, was not paid; asked for the promotion."""
    entry = loaded(
        effect(reason) if reason not in ("NOT_EARNED", "OUTSIDE_PROMOTION") else activity()
    )
    entry = replace(entry, at=day(at_days))
    (line,) = explain(entry, offering(*(parts or (offer(),))), promotion_id=PROMOTION)
    assert (line.what, line.reason) == ("NOT_COUNTED", reason)
    opening = "Purchase 'tx-1' of 2 Jun 2026 10:00 was not paid by promotion 'Offer 21': "
    assert line.why.startswith(opening)
    return line.why.removeprefix(opening)


def test_what_was_paid_is_told_with_the_record_that_paid() -> None:
    assert why(effect("REDEEMED", 8)) == (
        "Purchase 'tx-1' of 2 Jun 2026 10:00 was paid by promotion 'Offer 21' from earned record 8."
    )
    assert why(effect("REDEEMED"), offer(GENERIC)) == (
        "Purchase 'tx-1' of 2 Jun 2026 10:00 was paid by promotion 'Offer 21'."
    )
    assert why(effect("REDEEMED", 8, 7, 70, 701), offer(), milestone()) == (
        "The completion of cycle c1 (1 Jun 2026 – 10 Jun 2026) of 'Spend 1000' was paid by promotion "
        "'Offer 21' from earned record 8."
    )


WEEKLY = at_most("TIMES", "CUSTOMER", 2, "WEEKLY")
MADE = Actor(1, day(1))

NOT_PAID: list[tuple[str, dict[str, object], str]] = [
    (
        "PROMOTION_INACTIVE",
        {},
        (
            "the promotion was switched off, paused or stopped then. "
            "What happens while it is active can be paid."
        ),
    ),
    (
        "CRITERIA_NOT_MET",
        {"expression": "currentTxn.value >= 50.0"},
        "it doesn't meet the promotion's criteria. Today they are currentTxn.value >= 50.0.",
    ),
    (
        "EXPRESSION_FAILED",
        {},
        "the promotion's criteria could not be evaluated for it. Today they are true.",
    ),
    (
        "REDEMPTIONS_USED_UP",
        {"each": 2},
        (
            "what the customer had been issued for its date had paid all that it may, which today is up to "
            "2 times. One more issue before that date would have paid."
        ),
    ),
    (
        "CUSTOMER_LIMIT_REACHED",
        {"limits": (WEEKLY,)},
        (
            "it had paid the customer all that it may. Today's limit for a customer is 2 times within 7 "
            "days. What is dated that much later can be paid again."
        ),
    ),
    (
        "CUSTOMER_LIMIT_REACHED",
        {"limits": (at_most("POINTS", "CUSTOMER", 1), WEEKLY, at_most("TIMES", "PROMOTION", 9))},
        (
            "it had paid the customer all that it may. Today's limit for a customer is 1 point and 2 times "
            "within 7 days."
        ),
    ),
    ("CUSTOMER_LIMIT_REACHED", {}, "it had paid the customer all that it may."),
    (
        "PROMOTION_LIMIT_REACHED",
        {"limits": (WEEKLY, at_most("TIMES", "PROMOTION", 1000, "DAILY"))},
        (
            "it had paid all customers together all that it may. Today's limit for all customers together "
            "is 1000 times within 24 hours. What is dated that much later can be paid again."
        ),
    ),
    (
        "NOT_EARNED",
        {},
        (
            "when it arrived the customer had not been issued the promotion for its date. An issue, which "
            "takes an enrolment first, pays for what is dated from then until it expires."
        ),
    ),
    (
        "NOT_EARNED",
        {"kind": DIRECT, "created": MADE, "updated": Actor(1, day(5))},
        (
            "when it arrived the customer had not been issued the promotion for its date. An issue pays "
            "for what is dated from then until it expires."
        ),
    ),
    (
        "NOT_EARNED",
        {"kind": DIRECT, "created": MADE, "updated": Actor(1, day(6.5))},
        (
            "when it arrived the customer had not been issued the promotion for its date, or the "
            "promotion, which was changed on 7 Jun 2026 12:00, paid for other things then. An issue pays "
            "for what is dated from then until it expires."
        ),
    ),
    (
        "NOT_EARNED",
        {"created": Actor(1, day(6)), "updated": Actor(1, day(7))},
        "it arrived before the promotion was made, on 7 Jun 2026.",
    ),
    (
        "OUTSIDE_PROMOTION",
        {"kind": GENERIC, "starts": 3, "ends": 30},
        "it is dated outside the promotion, which runs from 4 Jun 2026 to 30 Jun 2026.",
    ),
    (
        "OUTSIDE_PROMOTION",
        {"kind": GENERIC, "created": Actor(1, day(6)), "updated": Actor(1, day(6))},
        "it arrived before the promotion was made, on 7 Jun 2026.",
    ),
    (
        "OUTSIDE_PROMOTION",
        {"kind": GENERIC, "created": MADE, "updated": Actor(1, day(6))},
        "the promotion, which was changed on 7 Jun 2026, did not pay for such a thing when it arrived.",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "fields", "sentence"), NOT_PAID)
def test_what_was_not_paid_is_told_with_what_would_have_helped(
    reason: str, fields: dict[str, object], sentence: str
) -> None:
    kind = str(fields.get("kind", ENROL_AND_ISSUE))
    others = {key: value for key, value in fields.items() if key != "kind"}
    assert not_paid(reason, offer(kind, **others)) == sentence  # type: ignore[arg-type]


def test_every_reason_of_promotions_is_among_these() -> None:
    noted = {reason for _, reason in DETAILS} | {reason for reason, _, _ in NOT_PAID}
    assert noted | {"REDEEMED"} == set(PROMOTION_REASONS)


def test_a_completion_that_was_not_paid_is_called_so() -> None:
    entry = effect("CRITERIA_NOT_MET", None, 7, 70, 701)
    line = explain(loaded(entry), offering(offer(), milestone()))[-1]
    assert line.why == (
        "The completion of cycle c1 (1 Jun 2026 – 10 Jun 2026) of 'Spend 1000' was not paid by promotion "
        "'Offer 21': it doesn't meet the promotion's criteria. Today they are true."
    )


@pytest.mark.parametrize("key", DETAILS)
def test_a_promotion_that_is_not_known_is_named_by_its_id(key: tuple[str, str]) -> None:
    (line,) = explain(loaded(entry(*key)), offering())
    assert "promotion 21" in line.why
    assert "None" not in line.why
    assert line.promotion_id == PROMOTION
    for reason in PROMOTION_REASONS:
        (line,) = (
            each for each in explain(effect(reason), offering()) if each.reason != "NO_TARGET"
        )
        assert "promotion 21" in line.why
        assert "None" not in line.why


def test_a_code_of_a_newer_release_is_told_as_it_is() -> None:
    newer = Entry(day(5), "SETTLED", "PROMOTION_LOST", details={"promotion": PROMOTION})
    assert why(newer) == "Noted for promotion 'Offer 21': settled, reason PROMOTION_LOST."
    line = explain(effect("PROMOTION_LOST"), offering(offer()))[-1]
    assert line.what == "NOT_COUNTED"
    assert line.why.endswith("was not paid by promotion 'Offer 21': reason PROMOTION_LOST.")


# The same of real stories: the rules write what is read here.


def story(*parts: Promotion | TargetGroup) -> Desk:
    return Desk(offering(*parts), frozenset({CUSTOMER}))


def sentences(desk: Desk) -> list[str]:
    return [line.why for _, entry in desk.journal for line in explain(loaded(entry), desk.defined)]


def test_a_customers_way_through_a_promotion_can_be_read() -> None:
    desk = story(offer(issual_expiry=days(9), earn_expiry=days(5), earns=2))
    desk.enrol()
    desk.earn()
    desk.wait(1.5)
    desk.buy()
    desk.earn()
    desk.revoke_earn(2)
    desk.wait(10)
    assert sentences(desk) == [
        (
            "Enrolled in promotion 'Offer 21' until 9 Jun 2026. "
            "To pay anything it has to be issued by then."
        ),
        (
            "Issued promotion 'Offer 21' until 5 Jun 2026. "
            "It pays once for a purchase from now to then."
        ),
        (
            "Purchase 'a-1' of 2 Jun 2026 12:00 was paid by promotion 'Offer 21' from earned record 1."
        ),
        (
            "Granted 'Coffee' (coupon, 1), because promotion 'Offer 21' paid for activity 'a-1' of "
            "2 Jun 2026 12:00."
        ),
        (
            "Issued promotion 'Offer 21' until 7 Jun 2026 12:00. "
            "It pays once for a purchase from now to then."
        ),
        (
            "What was issued of promotion 'Offer 21' on 2 Jun 2026 12:00, good until 7 Jun 2026 12:00, was "
            "revoked: it pays nothing any more. What it has paid stays."
        ),
        "What was issued of promotion 'Offer 21' expired after it had paid once.",
        "The enrolment in promotion 'Offer 21' expired. To be issued it takes a new enrolment.",
    ]


@pytest.mark.parametrize("group", [milestone(rewards=()), COUPLE], ids=["milestone", "unified"])
def test_a_completion_that_was_paid_is_named_alike_in_both_lines(group: TargetGroup) -> None:
    desk = story(completion(rewards=(points(20, "Twenty"),)), group)
    for target in group.targets:
        desk.join(target.id, "c1", 1000)
    granted, paid = (line for line in sentences(desk) if "paid" in line)
    names = (paid.partition(" was paid by")[0], granted.partition("paid for ")[2].rstrip("."))
    assert {name.lower() for name in names} == {
        f"the completion of cycle c1 (1 jun 2026 – 10 jun 2026) of '{group.name.lower()}'"
    }
    assert Decimal(20) in {reward.value for reward in desk.granted}
