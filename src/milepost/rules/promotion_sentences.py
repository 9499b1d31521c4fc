"""What happened in a promotion, and why it did not pay and what would have helped, in a sentence or two.

Dates of promotions are those of the organisation's calendar. To enrol, to issue and to pay are the
marketer's words: what was issued is an earned record on the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from milepost.rules.activities import TRANSACTION_ADD
from milepost.rules.definitions import (
    ENROL_AND_ISSUE,
    TARGET_COMPLETED,
    UNLIMITED,
    Actor,
    Promotion,
    RedemptionLimit,
)
from milepost.rules.reasons import REDEEMED
from milepost.rules.scene import Scene, first_date, last_date, plain
from milepost.rules.sentences import reward_of

_TAKES_ISSUE = "To pay anything it has to be issued by then."
_WINDOWS = {"DAILY": "within 24 hours", "WEEKLY": "within 7 days", "MONTHLY": "within 30 days"}


def tell_promotion(scene: Scene) -> str:
    """The sentence of an entry about a promotion, whose details are listed in `rules/issuing.py` and
    `rules/rewards.py`; of one about several earned records, that of the scene's.
    """
    sentence = _SENTENCES.get((scene.entry.what, scene.reason), _unknown)
    return sentence(scene)


def tell_payment(scene: Scene) -> str:
    """The sentence of what a promotion made of an activity, or of an achieved target."""
    thing = f"The completion of {scene.place}" if scene.period_id is not None else scene.activity
    if scene.reason == REDEEMED:
        record = f" from earned record {scene.earn_id}" if scene.earn_id is not None else ""
        return f"{thing} was paid by {_name(scene)}{record}."
    reason = _NOT_PAID.get(scene.reason, _unknown_reason)
    return f"{thing} was not paid by {_name(scene)}: {reason(scene)}."


def _name(scene: Scene) -> str:
    if scene.promotion is None:
        return f"promotion {scene.promotion_id}"
    return f"promotion '{scene.promotion.name}'"


def _until(scene: Scene) -> str:
    """` until 30 Jun 2026`, that day included; with its time unless it is a whole day."""
    at = scene.instant("expiresAt")
    return f" until {last_date(at, scene.zone)}" if at is not None else ""


def _enrolled(scene: Scene) -> str:
    return f"Enrolled in {_name(scene)}{_until(scene)}. {_TAKES_ISSUE}"


def _re_enrolled(scene: Scene) -> str:
    replaced = scene.details.get("replaces")
    instead = f", in place of enrolment {replaced}" if replaced is not None else ""
    return f"Enrolled again in {_name(scene)}{_until(scene)}{instead}. {_TAKES_ISSUE}"


def _earned(scene: Scene) -> str:
    return f"Issued {_name(scene)}{_until(scene)}. {_pays(scene.promotion)}"


def _pays(promotion: Promotion | None) -> str:
    """What a promotion pays for, by its settings of today."""
    criteria = promotion.criteria if promotion is not None else None
    if promotion is None or criteria is None or not promotion.pays:
        return "By today's settings it pays nothing."
    meets = " that meets its criteria" if criteria.expression != "true" else ""
    thing = {TRANSACTION_ADD: "a purchase", TARGET_COMPLETED: "an achieved target"}.get(
        criteria.event, f"an event '{criteria.event}'"
    )
    return f"It pays {_often(promotion)} for {thing}{meets} from now to then."


def _often(promotion: Promotion) -> str:
    most = promotion.limits.redemptions_per_earn
    if most == UNLIMITED:
        return "any number of times"
    return "once" if most == 1 else f"up to {most} times"


def _enrolment_revoked(scene: Scene) -> str:
    at = scene.instant("issuedAt")
    since = f" of {first_date(at, scene.zone)}" if at is not None else ""
    return (
        f"The enrolment{since} in {_name(scene)}, good{_until(scene)}, was revoked. "
        "To be issued it takes a new enrolment."
    )


def _enrolment_expired(scene: Scene) -> str:
    promotion = scene.promotion
    if promotion is not None and scene.at >= promotion.ends_at:
        return f"The enrolment in {_name(scene)} expired with the promotion."
    return f"The enrolment in {_name(scene)} expired. To be issued it takes a new enrolment."


def _earn_revoked(scene: Scene) -> str:
    at = scene.instant("earnedAt")
    since = f" on {first_date(at, scene.zone)}" if at is not None else ""
    return (
        f"What was issued of {_name(scene)}{since}, good{_until(scene)}, was revoked: it pays nothing "
        "any more. What it has paid stays."
    )


def _earn_expired(scene: Scene) -> str:
    times, promotion = scene.details.get("redemptions"), scene.promotion
    paid = {0: "without having paid", 1: "after it had paid once"}.get(
        times if isinstance(times, int) else 0, f"after it had paid {times} times"
    )
    late = ""
    if promotion is not None and isinstance(times, int) and promotion.pays:
        most = promotion.limits.redemptions_per_earn
        if most == UNLIMITED or times < most:
            late = " What is dated before that is still paid when it arrives."
    return f"What was issued of {_name(scene)} expired {paid}.{late}"


def _rewarded(scene: Scene) -> str:
    reward = reward_of(scene)
    value, uncapped = scene.decimal("value"), scene.decimal("uncapped")
    capped = ""
    if uncapped is not None and uncapped != value:
        capped = f" instead of {plain(uncapped)}, for a limit on points was reached"
    thing = f"activity '{scene.activity_id}'"
    if scene.period_id is not None:
        thing = f"the completion of {scene.place}"
    elif scene.occurred_at is not None:
        thing += f" of {first_date(scene.occurred_at, scene.zone)}"
    return (
        f"Granted '{reward['name']}' ({str(reward['type']).lower()}, {plain(value)}{capped}), because "
        f"{_name(scene)} paid for {thing}."
    )


def _unknown(scene: Scene) -> str:
    """For a code that a newer release wrote."""
    what = scene.entry.what.lower().replace("_", " ")
    return f"Noted for {_name(scene)}: {what}, reason {scene.reason}."


_SENTENCES: Mapping[tuple[str, str], Callable[[Scene], str]] = {
    ("ENROLLED", "PROMOTION_ENROLLED"): _enrolled,
    ("ENROLLED", "PROMOTION_RE_ENROLLED"): _re_enrolled,
    ("UNENROLLED", "PROMOTION_ENROLMENT_REVOKED"): _enrolment_revoked,
    ("UNENROLLED", "PROMOTION_ENROLMENT_EXPIRED"): _enrolment_expired,
    ("ACHIEVED", "PROMOTION_EARNED"): _earned,
    ("UNACHIEVED", "PROMOTION_EARN_REVOKED"): _earn_revoked,
    ("UNACHIEVED", "PROMOTION_EARN_EXPIRED"): _earn_expired,
    ("REWARDED", "PROMOTION_REWARD"): _rewarded,
}


def _inactive(scene: Scene) -> str:
    return (
        "the promotion was switched off, paused or stopped then. "
        "What happens while it is active can be paid"
    )


def _criteria_not_met(scene: Scene) -> str:
    return f"it doesn't meet the promotion's criteria{_criteria(scene)}"


def _expression_failed(scene: Scene) -> str:
    return f"the promotion's criteria could not be evaluated for it{_criteria(scene)}"


def _criteria(scene: Scene) -> str:
    criteria = scene.promotion.criteria if scene.promotion is not None else None
    return f". Today they are {criteria.expression}" if criteria is not None else ""


def _used_up(scene: Scene) -> str:
    today = f", which today is {_often(scene.promotion)}" if scene.promotion is not None else ""
    return (
        f"what the customer had been issued for its date had paid all that it may{today}. "
        "One more issue before that date would have paid"
    )


def _customer_limit(scene: Scene) -> str:
    return "it had paid the customer all that it may" + _limits(scene, "a customer", "CUSTOMER")


def _promotion_limit(scene: Scene) -> str:
    return "it had paid all customers together all that it may" + _limits(
        scene, "all customers together", "PROMOTION"
    )


def _limits(scene: Scene, whose: str, scope: str) -> str:
    """Today's limits of that scope, and what helps."""
    promotion = scene.promotion
    limits = promotion.redemption_limits if promotion is not None else ()
    found = [limit for limit in limits if limit.on == scope]
    if not found:
        return ""
    told = " and ".join(_limit(limit) for limit in found)
    helps = ""
    if all(limit.window is not None for limit in found):
        helps = ". What is dated that much later can be paid again"
    return f". Today's limit for {whose} is {told}{helps}"


def _limit(limit: RedemptionLimit) -> str:
    unit = "point" if limit.kpi == "POINTS" else "time"
    plural = "" if limit.most == 1 else "s"
    window = f" {_WINDOWS.get(limit.window, limit.window)}" if limit.window is not None else ""
    return f"{plain(limit.most)} {unit}{plural}{window}"


def _not_earned(scene: Scene) -> str:
    promotion = scene.promotion
    made = _made_since(scene)
    if made is not None:
        return made
    takes = ""
    if promotion is not None and promotion.type == ENROL_AND_ISSUE:
        takes = ", which takes an enrolment first,"
    changed = _changed_since(scene)
    otherwise = f", or the promotion, which was changed on {changed}, paid for other things then"
    return (
        "when it arrived the customer had not been issued the promotion for its date"
        f"{otherwise if changed else ''}. "
        f"An issue{takes} pays for what is dated from then until it expires"
    )


def _outside_promotion(scene: Scene) -> str:
    promotion, at = scene.promotion, scene.occurred_at
    if promotion is None or at is None:
        return "it is dated outside the promotion"
    if not promotion.starts_at <= at < promotion.ends_at:
        first = first_date(promotion.starts_at, scene.zone)
        last = last_date(promotion.ends_at, scene.zone)
        return f"it is dated outside the promotion, which runs from {first} to {last}"
    changed = _changed_since(scene)
    on = f", which was changed on {changed}," if changed else ""
    return _made_since(scene) or f"the promotion{on} did not pay for such a thing when it arrived"


def _made_since(scene: Scene) -> str | None:
    """That the promotion was not there yet, if it was not."""
    since = _since(scene, scene.promotion.created if scene.promotion is not None else None)
    return f"it arrived before the promotion was made, on {since}" if since else None


def _changed_since(scene: Scene) -> str | None:
    """When the promotion was last changed, if that was after what is told."""
    return _since(scene, scene.promotion.updated if scene.promotion is not None else None)


def _since(scene: Scene, actor: Actor | None) -> str | None:
    if actor is None or actor.at <= scene.at:
        return None
    return first_date(actor.at, scene.zone)


def _unknown_reason(scene: Scene) -> str:
    """For a code that a newer release wrote."""
    return f"reason {scene.reason}"


_NOT_PAID: Mapping[str, Callable[[Scene], str]] = {
    "PROMOTION_INACTIVE": _inactive,
    "CRITERIA_NOT_MET": _criteria_not_met,
    "REDEMPTIONS_USED_UP": _used_up,
    "CUSTOMER_LIMIT_REACHED": _customer_limit,
    "PROMOTION_LIMIT_REACHED": _promotion_limit,
    "EXPRESSION_FAILED": _expression_failed,
    "NOT_EARNED": _not_earned,
    "OUTSIDE_PROMOTION": _outside_promotion,
}
