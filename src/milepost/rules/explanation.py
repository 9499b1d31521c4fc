"""Why a customer stands where they stand: journal entries as sentences for marketers (contract §5).

An activity's entry has a line for each target in which it counted or did not and for each promotion that
paid for it or did not, and one line if it counted nowhere. Every other entry has one line, or one for each
earned record that it is about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from milepost.rules.activities import EVENT, RETURN, TRANSACTION, TRANSACTION_ADD
from milepost.rules.activity_sentences import tell_effect, tell_no_target
from milepost.rules.calendar import written_instant
from milepost.rules.definitions import (
    GENERIC,
    TARGET_COMPLETED,
    Definitions,
    Promotion,
    Target,
    listened_events,
)
from milepost.rules.effects import Effect, Entry, PromotionEffect
from milepost.rules.frozen import dataclass
from milepost.rules.promotion_sentences import tell_payment, tell_promotion
from milepost.rules.reasons import ACTIVITY, HIDDEN_WHATS, REDEEMED, counted
from milepost.rules.scene import Scene, records_of, scene_of
from milepost.rules.sentences import kept_rewards, reward_of, tell_entry


@dataclass(frozen=True, slots=True)
class Explanation:
    """One line of a customer's explanation.

    `value` and `target_value` are the cycle's, right after what happened, `before` its value until
    then; None for streaks' enrolments and where no cycle is meant. `amount` is what an activity
    changed. `activity_id` names the activity that this is about or that caused it, `occurred_at` is
    its date where it is about one. `attempt` is the streak's, or the cycle's of a milestone. `reward`
    has `name`, `type` and `value`; `kept_rewards` names those of what was un-achieved, which stay
    (rule 11). `promotion_id` is of what happened in a promotion, `issual_id` the enrolment there and
    `earn_id` the earned record; target and cycle are then those of the achieved target that it was asked
    to pay for, if it was, and None with a reward.
    """

    at: datetime
    what: str
    reason: str
    why: str
    target_group_id: int | None
    target_id: int | None
    period_ref_code: str | None
    streak_level: str | None
    attempt: int | None
    activity_id: str | None
    occurred_at: datetime | None
    amount: Decimal | None
    before: Decimal | None
    value: Decimal | None
    target_value: Decimal | None
    reward: Mapping[str, object] | None = None
    kept_rewards: tuple[str, ...] | None = None
    promotion_id: int | None = None
    issual_id: int | None = None
    earn_id: int | None = None

    def fields(self) -> dict[str, object]:
        """The fields on the wire, ready for JSON but for decimals, which are numbers there."""
        return {
            "at": written_instant(self.at),
            "what": self.what,
            "reason": self.reason,
            "why": self.why,
            "targetGroupId": self.target_group_id,
            "targetRuleId": self.target_id,
            "periodRefCode": self.period_ref_code,
            "streakLevel": self.streak_level,
            "attempt": self.attempt,
            "activityId": self.activity_id,
            "occurredAt": written_instant(self.occurred_at) if self.occurred_at else None,
            "amount": self.amount,
            "before": self.before,
            "value": self.value,
            "targetValue": self.target_value,
            "reward": self.reward,
            "keptRewards": self.kept_rewards,
            "promotionId": self.promotion_id,
            "issualId": self.issual_id,
            "earnedId": self.earn_id,
        }


def explain(
    entry: Entry,
    definitions: Definitions,
    target_id: int | None = None,
    promotion_id: int | None = None,
) -> list[Explanation]:
    """The entry, as loaded from the journal, in plain English; never fails on what was deleted since.

    With `target_id` only what concerns that target; of a unified group what this member tipped. An
    activity that the target might have counted but that arrived while the customer had never been in
    it is told as NOT_ENROLLED, although the journal keeps no line for it. With `promotion_id` only what
    concerns that promotion; an activity that it passed over is told as NOT_EARNED or OUTSIDE_PROMOTION.
    Nothing for `HIDDEN_WHATS`.

    `entry.details` may hold what JSON gives back: numbers, lists, and amounts as text.
    """
    if entry.what in HIDDEN_WHATS:
        return []
    if entry.what == ACTIVITY:
        return [
            _effect_line(scene)
            for scene in _activity_scenes(entry, definitions, target_id, promotion_id)
        ]
    scene = scene_of(entry, definitions)
    if promotion_id is not None and scene.promotion_id != promotion_id:
        return []
    if target_id is not None and not _concerns(scene, target_id):
        return []
    return [_entry_line(each) for each in records_of(scene)]


def _concerns(scene: Scene, target_id: int) -> bool:
    """Whether an entry is about the target; a group's own is about each of its targets."""
    if scene.promotion_id is not None:
        return False
    if scene.target_id is not None:
        return scene.target_id == target_id
    return scene.group is not None and target_id in scene.group.targets_by_id


def _activity_scenes(
    entry: Entry, definitions: Definitions, target_id: int | None, promotion_id: int | None
) -> list[Scene]:
    """A scene for each effect that shall be told; one without effect if it counted nowhere at all."""
    effects: Sequence[Effect | PromotionEffect | None]
    if promotion_id is not None:
        effects = _effects_in_promotion(entry, definitions, promotion_id)
    elif target_id is not None:
        effects = _effects_in_target(entry, definitions, target_id)
    else:
        nowhere = "activity" in entry.details and not entry.effects
        if any(each.reason == REDEEMED for each in entry.promotion_effects):
            nowhere = False
        effects = (*((None,) if nowhere else entry.effects), *entry.promotion_effects)
    return [scene_of(entry, definitions, effect) for effect in effects]


def _effects_in_target(
    entry: Entry, definitions: Definitions, target_id: int
) -> list[Effect | PromotionEffect]:
    effects = [effect for effect in entry.effects if effect.target_id == target_id]
    if not effects:
        group = definitions.groups_by_target.get(target_id)
        if group is not None and _might_count(group.targets_by_id[target_id], entry):
            effects = [Effect(group.id, target_id, None, "NOT_ENROLLED")]
    paid = (effect for effect in entry.promotion_effects if effect.target_id == target_id)
    return [*effects, *paid]


def _effects_in_promotion(
    entry: Entry, definitions: Definitions, promotion_id: int
) -> list[PromotionEffect]:
    effects = [each for each in entry.promotion_effects if each.promotion_id == promotion_id]
    promotion = definitions.promotions.get(promotion_id)
    if effects or promotion is None or not _might_pay(promotion, entry):
        return effects
    reason = "OUTSIDE_PROMOTION" if promotion.type == GENERIC else "NOT_EARNED"
    return [PromotionEffect(promotion_id, reason)]


def paid_event(promotion: Promotion) -> str | None:
    """The event of activities that a promotion pays for; None if it pays for none."""
    criteria = promotion.criteria
    if criteria is None or not promotion.pays or not promotion.is_published:
        return None
    return criteria.event if criteria.event != TARGET_COMPLETED else None


def _might_pay(promotion: Promotion, entry: Entry) -> bool:
    """Whether the activity is of the kind that the promotion pays for.

    A behavioural event may bear the name of something that it is not; returns are not paid for.
    """
    event = paid_event(promotion)
    kind = TRANSACTION if event == TRANSACTION_ADD else EVENT
    return entry.reason == kind and entry.details.get("eventName") == event


def _might_count(target: Target, entry: Entry) -> bool:
    """Whether the activity is of the kind that the target counts.

    A return is told only where its sale was: where that counted nothing, there is nothing to add.
    """
    if entry.details.get("eventName") not in listened_events(target):
        return False
    if target.target_entity in ("TRANSACTION", "LINEITEM"):
        return entry.reason == TRANSACTION
    return entry.reason != RETURN or target.target_entity == "EVENT"


def _effect_line(scene: Scene) -> Explanation:
    if scene.promotion_id is not None:
        what = "COUNTED" if scene.reason == REDEEMED else "NOT_COUNTED"
        return _line(scene, what, scene.reason, tell_payment(scene))
    effect = scene.effect
    if effect is None:
        return _line(scene, "NOT_COUNTED", "NO_TARGET", tell_no_target(scene))
    what = "COUNTED" if counted(effect.reason) or effect.amount != 0 else "NOT_COUNTED"
    return _line(scene, what, effect.reason, tell_effect(scene))


def _entry_line(scene: Scene) -> Explanation:
    entry = scene.entry
    why = tell_entry(scene) if scene.promotion_id is None else tell_promotion(scene)
    return _line(scene, entry.what, entry.reason, why)


def _line(scene: Scene, what: str, reason: str, why: str) -> Explanation:
    rewarded, in_promotion = what == "REWARDED", scene.promotion_id is not None
    value, amount = None if rewarded else scene.value, scene.amount
    # The rewards of promotions are of no target, whatever they were paid for (contract §7).
    nowhere = rewarded and in_promotion
    issual_id = scene.details.get("issual") if in_promotion else None
    return Explanation(
        scene.at,
        what,
        reason,
        why,
        scene.group_id if not nowhere else None,
        scene.target_id if not nowhere else None,
        scene.period.ref_code if scene.period is not None and not nowhere else None,
        scene.level_name,
        scene.attempt,
        scene.activity_id,
        scene.occurred_at,
        amount,
        value - amount if value is not None and amount is not None else None,
        value,
        None if rewarded else scene.asked,
        reward_of(scene) if rewarded else None,
        kept_rewards(scene) if what == "UNACHIEVED" and not in_promotion else None,
        scene.promotion_id,
        issual_id if isinstance(issual_id, int) else None,
        scene.earn_id,
    )
