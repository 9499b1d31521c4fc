"""The stable codes of the journal and of the explanation: what each says, and what it means.

A code never changes its meaning, because clients go by it; the sentence may be reworded. The table is
also the documentation's (docs/api.md, "Reason codes").
"""

from __future__ import annotations

from collections.abc import Mapping

from milepost.rules.frozen import dataclass

WHATS = (
    "ENROLLED",
    "UNENROLLED",
    "COUNTED",
    "NOT_COUNTED",
    "ACHIEVED",
    "UNACHIEVED",
    "BROKEN",
    "REWARDED",
    "SETTLED",
)
"""All that `what` of an explanation can be: a closed list (contract §5)."""

ACTIVITY = "ACTIVITY"
"""`what` of an activity's entry in the journal: it is explained as COUNTED and NOT_COUNTED lines."""

HIDDEN_WHATS = ("STARTED", "TARGET_VALUE")
"""Entries that are told as notifications only: nothing has happened to the customer's standing."""

NOTIFYING_WHATS = (
    "ENROLLED",
    "UNENROLLED",
    "ACHIEVED",
    "STARTED",
    "SETTLED",
    "TARGET_VALUE",
)
"""Entries that brands may be notified of, whatever their details (`rules/notifications.py`)."""


@dataclass(frozen=True, slots=True)
class Reason:
    """A code's `whats`, and what it means: a sentence for the documentation."""

    whats: tuple[str, ...]
    meaning: str


TARGET_REASONS: Mapping[str, Reason] = {
    # Enrolments
    "ENROLLED": Reason(
        ("ENROLLED",), "The customer was enrolled in the target for the first time."
    ),
    "RE_ENROLLED": Reason(
        ("ENROLLED",), "The customer had left the target and was enrolled again."
    ),
    "EXTENDED_BACK": Reason(
        ("ENROLLED",),
        "The customer was enrolled from a later cycle on and is now enrolled from an earlier one on.",
    ),
    "FIRST_ACTIVITY": Reason(
        ("ENROLLED",),
        "The target enrols by itself, and this was the customer's first activity that counts.",
    ),
    "LEFT": Reason(
        ("UNENROLLED",),
        "The customer was unenrolled: out of the running cycle and all later ones.",
    ),
    # What an activity did
    "ADDED": Reason(("COUNTED",), "The activity changed the value of the cycle of its date."),
    "RETURNED": Reason(
        ("COUNTED", "UNACHIEVED"),
        "A return took back what its sale had added, and with UNACHIEVED: the value fell below the "
        "target value.",
    ),
    "CARRIED_FORWARD": Reason(
        ("COUNTED",),
        "A return of a sale whose cycle is rewarded or closed lowered a later cycle instead.",
    ),
    "POINTS_GRANTED": Reason(
        ("COUNTED",), "Points that were granted as a reward count in a target on points."
    ),
    # Why an activity did nothing
    "NO_TARGET": Reason(
        ("NOT_COUNTED",), "The customer had never been in a target that counts such an activity."
    ),
    "GROUP_INACTIVE": Reason(
        ("NOT_COUNTED",), "The target group was inactive when the activity arrived."
    ),
    "TARGET_INACTIVE": Reason(
        ("NOT_COUNTED",), "The target was inactive when the activity arrived."
    ),
    "OUTSIDE_SCOPE": Reason(
        ("NOT_COUNTED",), "The target counts other stores, zones or concepts only."
    ),
    "NO_CYCLE": Reason(("NOT_COUNTED",), "No cycle includes the activity's date."),
    "CYCLE_INACTIVE": Reason(
        ("NOT_COUNTED",), "The cycle that includes the activity's date is deactivated."
    ),
    "CYCLE_CLOSED": Reason(
        ("NOT_COUNTED",), "The activity arrived after its cycle's end and settlement delay."
    ),
    "NOT_ENROLLED": Reason(
        ("NOT_COUNTED",),
        "The customer was not enrolled in the cycle of the activity's date when it arrived.",
    ),
    "BEFORE_ENROLMENT": Reason(
        ("NOT_COUNTED",),
        "The activity is dated before the enrolment, and the group tracks from the enrolment on.",
    ),
    "EXPRESSION_FALSE": Reason(
        ("NOT_COUNTED",), "The activity doesn't meet the target's expression."
    ),
    "NO_VALUE": Reason(("NOT_COUNTED",), "The activity has nothing of what the target counts."),
    "SAME_DAY": Reason(("NOT_COUNTED",), "A visit on that local day had counted already."),
    "NOT_BEST": Reason(
        ("NOT_COUNTED",),
        "Only the best value of each local day counts, and there was a better one.",
    ),
    "BEFORE_FIRST_CYCLE": Reason(
        ("NOT_COUNTED",), "The activity is dated before the customer's own first cycle."
    ),
    "ALL_CYCLES_OVER": Reason(("NOT_COUNTED",), "The last of the customer's own cycles is over."),
    "RETURNS_IGNORED": Reason(
        ("NOT_COUNTED",), "In this organisation returns change no target (returnsAdjustTargets)."
    ),
    "NOTHING_TO_RETURN": Reason(
        ("NOT_COUNTED",), "The sale had added nothing here, or nothing that is left to take back."
    ),
    "PARTLY_RETURNED": Reason(
        ("NOT_COUNTED",), "What is counted once goes only when the sale is fully returned."
    ),
    "EARLIER_ATTEMPT": Reason(
        ("NOT_COUNTED",), "The sale had counted in an earlier attempt, which is over."
    ),
    "ALREADY_REWARDED": Reason(
        ("NOT_COUNTED",),
        "The sale's cycle is rewarded, and the group carries returns forward instead.",
    ),
    # What followed
    "REACHED": Reason(("ACHIEVED",), "The cycle's value reached its target value."),
    "INITIAL_BALANCE": Reason(
        ("ACHIEVED",), "The initial balance alone was at or above the cycle's target value."
    ),
    "LEVEL_REACHED": Reason(("ACHIEVED",), "The streak's counter reached a level."),
    "UNIFIED_REACHED": Reason(
        ("ACHIEVED",), "The targets of a unified group met its condition in a cycle."
    ),
    "LOWER_THAT_DAY": Reason(
        ("UNACHIEVED",),
        "Only the lowest value of a day counts, and a lower one took the cycle below its target value.",
    ),
    "LEVEL_LOST": Reason(("UNACHIEVED",), "After a return a level's run no longer has its count."),
    "UNIFIED_LOST": Reason(
        ("UNACHIEVED",),
        "After a return the targets of a unified group no longer meet its condition.",
    ),
    "CYCLE_MISSED": Reason(("BROKEN",), "A cycle ended unmet, so the streak's run is over."),
    "ACHIEVED_BY_BALANCE": Reason(
        ("REWARDED",), "An immediate reward of a cycle that the initial balance achieved."
    ),
    "ACHIEVED_BY_ACTIVITY": Reason(
        ("REWARDED",), "An immediate reward of a cycle that an activity achieved."
    ),
    "LEVEL_REWARD": Reason(("REWARDED",), "A reward of a streak level."),
    "PERIOD_END": Reason(
        ("REWARDED",), "A period-end reward, granted when the achieved cycle was settled."
    ),
    "SETTLED_ACHIEVED": Reason(("SETTLED",), "The cycle was settled, achieved."),
    "SETTLED_UNACHIEVED": Reason(("SETTLED",), "The cycle was settled, not achieved."),
}
"""Of what happened in targets."""

REDEEMED = "REDEEMED"

PROMOTION_REASONS: Mapping[str, Reason] = {
    "PROMOTION_ENROLLED": Reason(
        ("ENROLLED",), "The customer was enrolled in the promotion for the first time."
    ),
    "PROMOTION_RE_ENROLLED": Reason(
        ("ENROLLED",),
        "The customer had been enrolled in the promotion before; an enrolment that was live is replaced.",
    ),
    "PROMOTION_ENROLMENT_REVOKED": Reason(
        ("UNENROLLED",), "The enrolment in the promotion was revoked."
    ),
    "PROMOTION_ENROLMENT_EXPIRED": Reason(
        ("UNENROLLED",), "The enrolment in the promotion reached its expiry."
    ),
    "PROMOTION_EARNED": Reason(
        ("ACHIEVED",), "The customer was issued the promotion and can collect from it."
    ),
    "PROMOTION_EARN_REVOKED": Reason(
        ("UNACHIEVED",), "What the customer was issued was revoked; what it has paid stays."
    ),
    "PROMOTION_EARN_EXPIRED": Reason(
        ("UNACHIEVED",), "What the customer was issued reached its expiry."
    ),
    REDEEMED: Reason(
        ("COUNTED",), "The promotion paid for the activity, or for the achieved target."
    ),
    "PROMOTION_REWARD": Reason(("REWARDED",), "A reward that the promotion paid."),
    # Why it paid nothing
    "PROMOTION_INACTIVE": Reason(
        ("NOT_COUNTED",), "The promotion was switched off, paused or stopped then."
    ),
    "CRITERIA_NOT_MET": Reason(
        ("NOT_COUNTED",), "What happened doesn't meet the expression of the promotion's criteria."
    ),
    "EXPRESSION_FAILED": Reason(
        ("NOT_COUNTED",),
        "The expression of the promotion's criteria could not be evaluated for the achieved target.",
    ),
    "REDEMPTIONS_USED_UP": Reason(
        ("NOT_COUNTED",), "What the customer was issued for the date had paid all that it may."
    ),
    "CUSTOMER_LIMIT_REACHED": Reason(
        ("NOT_COUNTED",), "The promotion had paid the customer all that its limits allow."
    ),
    "PROMOTION_LIMIT_REACHED": Reason(
        ("NOT_COUNTED",), "The promotion had paid all customers together all that its limits allow."
    ),
    "NOT_EARNED": Reason(
        ("NOT_COUNTED",),
        "When the activity arrived, the customer held no earned record that covers its date.",
    ),
    "OUTSIDE_PROMOTION": Reason(
        ("NOT_COUNTED",),
        "The activity is dated outside the promotion, or came before that was set up to pay for it.",
    ),
}
"""Of what happened in promotions."""

REASONS: Mapping[str, Reason] = {**TARGET_REASONS, **PROMOTION_REASONS}
"""Every reason code that an explanation can have."""

COUNTED = tuple(code for code, reason in TARGET_REASONS.items() if "COUNTED" in reason.whats)
"""The codes of effects that changed a value."""


def counted(reason: str) -> bool:
    """Whether an activity's effect with this code changed the value."""
    return reason in COUNTED
