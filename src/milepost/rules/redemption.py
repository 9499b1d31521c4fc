"""Collecting: what promotions pay for an activity, or for an achieved target (contract §7).

A generic promotion pays everybody for what is dated within it; the others pay who was issued them, for
what is dated from then to before the record's expiry, oldest record first. Each pays once for a thing.
Returns take nothing back.

First everything is looked at and nothing is changed, so that an activity which is rejected has no effect.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from milepost.errors import Refusal
from milepost.rules.activities import EVENT, RETURN, TRANSACTION_ADD, ZERO, Activity
from milepost.rules.book import Book, Completion, Paid
from milepost.rules.calendar import EARLIEST_AT, LATEST_AT
from milepost.rules.coverage import Members
from milepost.rules.definitions import (
    TARGET_COMPLETED,
    UNLIMITED,
    Criteria,
    Definitions,
    Promotion,
    RedemptionLimit,
)
from milepost.rules.effects import Earn, PromotionEffect, Redemption, Usage
from milepost.rules.holdings import (
    REVOKED,
    WINDOWS,
    Holding,
    Lookback,
    Redeemed,
    Standings,
    count_within,
    customer_limits,
    windows_of_all,
)
from milepost.rules.matching import Evaluate
from milepost.rules.progress import count_points
from milepost.rules.rewards import counts_points_of, grant_of_promotion


class Occasion(NamedTuple):
    """Something that promotions may pay for. `at` is its date, `paid_for` its key for good.

    `activity` is what expressions read: of a completion, an event that is made of it.
    """

    at: datetime
    paid_for: str
    activity: Activity
    completion: Completion | None = None


class Payment(NamedTuple):
    """A redemption that was decided on: of `earn`, or of nobody's record in a generic promotion."""

    promotion: Promotion
    occasion: Occasion
    earn: Earn | None


@dataclass(slots=True)
class HoldingsNeeded:
    """What has to be loaded of promotions before a batch is decided.

    `spans`: by customer id, between which dates records may be collected from; of the promotions
    `promotion_ids`. `redeemed`: by (customer id, promotion id), since when redemptions have to be known
    one by one. `counted`: promotions whose use by everybody matters; `overall`: for what of it windows
    look back over everybody's redemptions.
    """

    spans: dict[int, tuple[datetime, datetime]] = field(default_factory=dict)
    promotion_ids: set[int] = field(default_factory=set)
    redeemed: dict[tuple[int, int], datetime] = field(default_factory=dict)
    counted: set[int] = field(default_factory=set)
    overall: dict[int, Lookback] = field(default_factory=dict)


def holdings_needed(
    definitions: Definitions, occasions: Iterable[tuple[int, str, datetime, datetime]]
) -> HoldingsNeeded:
    """What occasions need, each a (customer id, name of the event, first date, last date)."""
    needed = HoldingsNeeded()
    for customer, event, first, last in occasions:
        generic = definitions.generic_promotions.get(event)
        for promotion in generic.between(first, last) if generic is not None else ():
            _need(needed, definitions, promotion, customer, first, last)
        issued = definitions.issued_promotions.get(event)
        if issued:
            begin, end = needed.spans.get(customer, (first, last))
            needed.spans[customer] = min(begin, first), max(end, last)
            needed.promotion_ids |= issued
            for promotion_id in issued:
                promotion = definitions.promotions[promotion_id]
                _need(needed, definitions, promotion, customer, first, last)
    return needed


def _need(
    needed: HoldingsNeeded,
    definitions: Definitions,
    promotion: Promotion,
    customer: int,
    first: datetime,
    last: datetime,
) -> None:
    if promotion.is_counted:
        needed.counted.add(promotion.id)
    looks_back = [
        WINDOWS[limit.window] for limit in promotion.redemption_limits if limit.window is not None
    ]
    by_key = promotion.id in definitions.promotions_paid_by_key
    if by_key or customer_limits(promotion):
        since = first - max(looks_back) if looks_back else LATEST_AT
        if by_key:
            since = EARLIEST_AT
        key = customer, promotion.id
        needed.redeemed[key] = min(since, needed.redeemed.get(key, since))
    at_all = windows_of_all(promotion)
    if at_all:
        lookback = needed.overall.get(promotion.id)
        if lookback is None:
            longest = max(WINDOWS[limit.window] for limit in at_all if limit.window is not None)
            most = max(int(limit.most) for limit in at_all)
            lookback = needed.overall[promotion.id] = Lookback(longest, most)
        lookback.dates.add((first, last))


def occasion_of(activity: Activity) -> Occasion:
    """An activity as an occasion."""
    return Occasion(activity.occurred_at, f"activity {activity.id}", activity)


def plan_redemptions(
    definitions: Definitions,
    members: Members,
    customer_id: int,
    occasion: Occasion,
    evaluate: Evaluate,
) -> list[Payment | PromotionEffect] | Refusal:
    """What promotions pay for an occasion, or an effect that says why one pays nothing.

    A refusal if an expression fails. Promotions whose dates don't fit and, but for generic ones, that
    the customer was not issued for the date, are passed over; and so is what was paid for already.
    """
    if not _can_be_paid(occasion):
        return []
    planned: list[Payment | PromotionEffect] = []
    standings = members.standings
    for promotion, holding in _candidates(definitions, standings, customer_id, occasion):
        found = _payment(promotion, holding, standings, occasion, evaluate)
        if isinstance(found, Refusal):
            return found
        if found is None:
            continue
        planned.append(found if isinstance(found, Payment) else _effect(promotion, found, occasion))
    return planned


def can_be_redeemed(
    promotion: Promotion, holding: Holding, standings: Standings, at: datetime
) -> bool:
    """Whether something that happens now would be paid if it met the criteria."""
    if not promotion.pays or not promotion.is_on:
        return False
    earn: Earn | None = None
    if promotion.type != "GENERIC":
        left = [each for each in holding.live_earns(at) if not _is_used_up(promotion, each)]
        if not left:
            return False
        earn = left[0]
    elif not promotion.starts_at <= at < promotion.ends_at:
        return False
    return _limit_reached(promotion, holding, standings, at, earn) is None


def redeem(book: Book, planned: Iterable[Payment | PromotionEffect]) -> None:
    """Do what was planned: grant, count, and note for each promotion what came of it."""
    for each in planned:
        if isinstance(each, PromotionEffect):
            book.promotion_effects.append(each)
            if each.reason == "PROMOTION_LIMIT_REACHED":
                book.changes.leans_on.add(each.promotion_id)
        else:
            _pay(book, each)


def follow_up(book: Book) -> None:
    """Let what was granted and achieved have its consequences: points count, promotions pay.

    That ends: points for a points target count nowhere, and all else is achieved once per attempt.
    """
    while book.points or book.completions:
        count_points(book)
        completions, book.completions = book.completions, []
        for completion in completions:
            occasion = _completed(book, completion)
            planned = plan_redemptions(
                book.definitions,
                book.members,
                book.changes.customer_id,
                occasion,
                book.evaluate,
            )
            assert not isinstance(planned, Refusal)
            redeem(book, planned)


def _can_be_paid(occasion: Occasion) -> bool:
    """Whether anything is paid for such an occasion: not for returns, nor for a behavioural event that
    bears the name of something that it is not.
    """
    activity = occasion.activity
    if activity.type == EVENT and occasion.completion is None:
        return activity.event_name not in (TRANSACTION_ADD, TARGET_COMPLETED)
    return activity.type != RETURN


def _candidates(
    definitions: Definitions, standings: Standings, customer_id: int, occasion: Occasion
) -> Iterator[tuple[Promotion, Holding]]:
    """The promotions that listen to the occasion and whose dates, or records, include its date."""
    event = occasion.activity.event_name
    generic = definitions.generic_promotions.get(event)
    for promotion in generic.at(occasion.at) if generic is not None else ():
        if _concerns(promotion, occasion.completion):
            yield promotion, standings.holding(customer_id, promotion.id)
    issued = definitions.issued_promotions.get(event, frozenset())
    held = standings.holdings.get(customer_id, {})
    for promotion_id in sorted(held.keys() & issued):
        promotion = definitions.promotions[promotion_id]
        if _concerns(promotion, occasion.completion):
            yield promotion, held[promotion_id]


def _concerns(promotion: Promotion, completion: Completion | None) -> bool:
    """Whether a promotion pays for the completion of this target; of anything else it always may.

    A unified group counts as a whole, unless its targets are named one by one.
    """
    if completion is None:
        return True
    criteria = promotion.criteria
    assert criteria is not None
    if criteria.target_group_ids and completion.group.id not in criteria.target_group_ids:
        return False
    if criteria.target_ids:
        return completion.target is not None and completion.target.id in criteria.target_ids
    return completion.target is None or completion.group.tracking_type != "UNIFIED"


def _payment(
    promotion: Promotion,
    holding: Holding,
    standings: Standings,
    occasion: Occasion,
    evaluate: Evaluate,
) -> Payment | str | Refusal | None:
    """The payment, the reason code why there is none, None where there is nothing to say about it."""
    if any(each.paid_for == occasion.paid_for for each in holding.redeemed):
        return None
    earn: Earn | None = None
    if promotion.type != "GENERIC":
        covering = [
            each
            for each in holding.earns.values()
            if each.ended_as != REVOKED and each.earned_at <= occasion.at < each.expires_at
        ]
        if not covering:
            return None
        earn = next((each for each in covering if not _is_used_up(promotion, each)), None)
        if promotion.is_on and earn is None:
            return "REDEMPTIONS_USED_UP"
    if not promotion.is_on:
        return "PROMOTION_INACTIVE"
    holds = _holds(promotion, promotion.criteria, occasion, evaluate)
    if isinstance(holds, Refusal):
        return holds if occasion.completion is None else "EXPRESSION_FAILED"
    if not holds:
        return "CRITERIA_NOT_MET"
    return _limit_reached(promotion, holding, standings, occasion.at, earn) or Payment(
        promotion, occasion, earn
    )


def _holds(
    promotion: Promotion, criteria: Criteria | None, occasion: Occasion, evaluate: Evaluate
) -> bool | Refusal:
    """Whether the criteria's expression holds; a failure says whose it is."""
    assert criteria is not None
    holds = evaluate(criteria.expression, occasion.activity, None)
    if isinstance(holds, Refusal):
        detail = f"{holds.detail} It is that of promotion {promotion.id}, '{promotion.name}'."
        return replace(holds, detail=detail)
    return holds


def _limit_reached(
    promotion: Promotion,
    holding: Holding,
    standings: Standings,
    at: datetime,
    earn: Earn | None,
) -> str | None:
    """The reason code of the first limit that leaves nothing to pay."""
    for limit in promotion.redemption_limits:
        used = used_of(limit, promotion, holding, standings, at, earn)
        if _leaves_nothing(promotion, limit, used):
            by_all = limit.on == "PROMOTION"
            return "PROMOTION_LIMIT_REACHED" if by_all else "CUSTOMER_LIMIT_REACHED"
    return None


def _is_used_up(promotion: Promotion, earn: Earn) -> bool:
    """Whether a record's own limits leave nothing to collect from it; then the next one may pay."""
    most = promotion.limits.redemptions_per_earn
    if most != UNLIMITED and earn.redemptions >= most:
        return True
    return any(
        _leaves_nothing(promotion, limit, _used_of(limit, earn))
        for limit in promotion.redemption_limits
        if limit.on == "EARN"
    )


def _leaves_nothing(promotion: Promotion, limit: RedemptionLimit, used: Decimal) -> bool:
    """Whether a limit forbids another redemption. Of points it does if there is nothing but points."""
    if used < limit.most:
        return False
    return limit.kpi == "TIMES" or all(reward.type == "POINTS" for reward in promotion.rewards)


def _points_left(
    promotion: Promotion,
    holding: Holding,
    standings: Standings,
    at: datetime,
    earn: Earn | None,
) -> Decimal | None:
    """How many points the promotion's limits leave for one redemption; None: there is no limit."""
    left = [
        max(ZERO, limit.most - used_of(limit, promotion, holding, standings, at, earn))
        for limit in promotion.redemption_limits
        if limit.kpi == "POINTS"
    ]
    return min(left) if left else None


def used_of(
    limit: RedemptionLimit,
    promotion: Promotion,
    holding: Holding,
    standings: Standings,
    at: datetime,
    earn: Earn | None = None,
) -> Decimal:
    """How much of a limit was used before an event at `at`, by the record if it is one of records."""
    times = limit.kpi == "TIMES"
    match limit.on:
        case "CUSTOMER" if limit.window is not None:
            begin = at - WINDOWS[limit.window]
            found = [each for each in holding.redeemed if begin < each.occurred_at <= at]
            return Decimal(len(found)) if times else sum((each.points for each in found), ZERO)
        case "CUSTOMER":
            return Decimal(holding.times) if times else holding.points
        case "PROMOTION" if limit.window is not None:
            dates = standings.redeemed.get(promotion.id, ())
            return Decimal(count_within(dates, limit.window, at))
        case "PROMOTION":
            usage = standings.usage.get(promotion.id, Usage())
            return Decimal(usage.redemptions) if times else usage.points
        case "EARN" if earn is not None:
            return _used_of(limit, earn)
        case _:
            return ZERO


def _used_of(limit: RedemptionLimit, earn: Earn) -> Decimal:
    """How much of a limit was used by one record."""
    return Decimal(earn.redemptions) if limit.kpi == "TIMES" else earn.points


def _pay(book: Book, payment: Payment) -> None:
    promotion, occasion, earn = payment
    customer_id, standings = book.changes.customer_id, book.members.standings
    holding = standings.holding(customer_id, promotion.id)
    completion = occasion.completion
    earn_id = earn.id if earn is not None else None
    rewards, points = grant_of_promotion(
        book,
        promotion,
        earn_id,
        occasion.paid_for,
        occasion.at,
        completion.attempt if completion is not None else 1,
        _points_left(promotion, holding, standings, occasion.at, earn),
        counts=completion is None or _counts_points_of(completion),
    )
    if earn is not None:
        used = replace(earn, redemptions=earn.redemptions + 1, points=earn.points + points)
        holding.earns[earn.id] = book.changes.earns[earn.id] = used
    holding.times += 1
    holding.points += points
    holding.redeemed.append(Redeemed(occasion.paid_for, occasion.at, points))
    insort(standings.redeemed.setdefault(promotion.id, []), occasion.at)
    if promotion.is_counted:
        seen = standings.seen.get(promotion.id) if windows_of_all(promotion) else None
        use(book, promotion.id, Usage(redemptions=1, points=points, seen=seen))
        if points < sum(r.value for r in promotion.rewards if r.type == "POINTS"):
            # It may have got no more because others of this batch did.
            book.changes.leans_on.add(promotion.id)
    book.changes.redemptions.append(
        Redemption(promotion.id, occasion.paid_for, earn_id, occasion.at, book.now, points)
    )
    book.promotion_effects.append(_effect(promotion, "REDEEMED", occasion, earn_id))
    book.paid.append(Paid(promotion, earn_id, rewards))


def _counts_points_of(completion: Completion) -> bool:
    """Whether points for a completion count: neither a target on points nor a group of such may feed any."""
    targets = completion.group.targets if completion.target is None else (completion.target,)
    return all(counts_points_of(target) for target in targets)


def use(book: Book, promotion_id: int, usage: Usage) -> None:
    """Count what a customer uses of a promotion that is limited for all customers together."""
    book.changes.usage.setdefault(promotion_id, Usage()).add(usage)
    book.members.standings.usage.setdefault(promotion_id, Usage()).add(usage)


def _effect(
    promotion: Promotion, reason: str, occasion: Occasion, earn_id: int | None = None
) -> PromotionEffect:
    completion = occasion.completion
    if completion is None:
        return PromotionEffect(promotion.id, reason, earn_id)
    target_id = completion.target.id if completion.target is not None else None
    return PromotionEffect(
        promotion.id, reason, earn_id, completion.group.id, target_id, completion.period.id
    )


def _completed(book: Book, completion: Completion) -> Occasion:
    """A completion as an occasion: it happens when the target's own rewards are due."""
    group, target, period = completion.group, completion.target, completion.period
    attributes: Mapping[str, object] = completion_attributes(
        completion, at_once=book.cause != "SETTLEMENT"
    )
    of = f"target {target.id}" if target is not None else f"group {group.id}"
    key = f"{of} period {period.id} attempt {completion.attempt}"
    event = Activity(
        key,
        book.changes.customer_id,
        EVENT,
        book.now,
        TARGET_COMPLETED,
        attributes=attributes,
    )
    return Occasion(book.now, f"completion of {key}", event, completion)


def completion_attributes(completion: Completion, *, at_once: bool) -> dict[str, object]:
    """What an expression reads of a completion as `currentEvent` (domain: milestones §4.8 for the names).

    `isTargetAchievedEvent` says that it is paid with the achievement and not at the settlement.
    """
    group, target = completion.group, completion.target
    return {
        "targetGroupId": group.id,
        "targetGroup": group.name,
        "targetRuleId": target.id if target is not None else None,
        "targetName": target.name if target is not None else group.name,
        "targetPeriod": completion.period.ref_code,
        "achievedValue": completion.value,
        "targetValue": completion.target_value,
        "attempt": completion.attempt,
        "isTargetAchievedEvent": at_once,
        "isUnifiedTargetAchievedEvent": target is None,
        "isStreakAchievedEvent": bool(completion.level_names),
        "streakLevels": list(completion.level_names),
    }
