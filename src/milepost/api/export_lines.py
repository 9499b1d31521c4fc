"""The lines of an export: what each kind of them holds (docs/privacy.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from milepost.api.customer_records import ExplanationView, GrantedRewardView, reward_view
from milepost.api.target_group_views import Number, View
from milepost.rules.activities import Activity
from milepost.rules.calendar import written_instant
from milepost.rules.coverage import Enrolment
from milepost.rules.definitions import Definitions
from milepost.rules.effects import Earn, Issual, Redemption
from milepost.rules.explanation import explain
from milepost.store.views import JournalLine, Person, Standing
from milepost.store.views import RewardLine as GrantedReward


class CustomerLine(View, tag_field="kind", tag="customer"):
    """The customer."""

    customer_id: int
    loyalty_type: str
    registered_at: str


class IdentifierView(View):
    """What finds the customer."""

    type: str
    value: str


class ProfileLine(View, tag_field="kind", tag="profile"):
    """The customer in one source, as registered."""

    source: str
    account_id: str
    first_name: str
    last_name: str
    identifiers: list[IdentifierView]
    comm_channels: Sequence[Mapping[str, Any]]
    fields: Mapping[str, Any]


class EnrolmentLine(View, tag_field="kind", tag="enrolment"):
    """One uninterrupted enrolment in a target; `leftAt` is null while it lasts."""

    target_group_id: int | None
    target_rule_id: int
    from_period_id: int | None
    attempt: int
    enrolled_at: str
    left_at: str | None


class ProgressLine(View, tag_field="kind", tag="progress"):
    """What the customer has achieved in one cycle of a target."""

    target_group_id: int | None
    target_rule_id: int
    period_id: int
    period_ref_code: str | None
    attempt: int
    value: Number
    own_target_value: Number | None
    achieved_at: str | None


class LevelLine(View, tag_field="kind", tag="streakLevel"):
    """A streak level that was reached; `achievedAt` is null after a return took it back."""

    target_rule_id: int
    streak_level_id: int
    attempt: int
    achieved_at: str | None


class PromotionEnrolmentLine(View, tag_field="kind", tag="promotionEnrolment"):
    """An enrolment in a promotion, or (`isDummy`) the one that issuing one directly makes."""

    promotion_id: int
    issual_id: int
    issued_at: str
    expires_at: str
    is_dummy: bool
    ended_at: str | None
    ended_as: str | None


class EarnedLine(View, tag_field="kind", tag="earnedPromotion"):
    """A promotion that the customer was issued, and what it has paid so far."""

    promotion_id: int
    earned_id: int
    issual_id: int
    earned_at: str
    expires_at: str
    redemptions: int
    points: Number
    ended_at: str | None
    ended_as: str | None


class RedemptionLine(View, tag_field="kind", tag="redemption"):
    """What a promotion paid, once, for an activity or an achieved target."""

    promotion_id: int
    earned_id: int | None
    paid_for: str
    occurred_at: str
    redeemed_at: str
    points: Number


class RewardLine(GrantedRewardView, tag_field="kind", tag="reward"):
    """A reward that was granted."""


class LineItemView(View):
    """One line of a bill."""

    sku: str
    quantity: Number
    net_amount: Number
    gross_amount: Number
    attributes: Mapping[str, Any]


class ActivityLine(View, tag_field="kind", tag="activity"):
    """What the customer did, as it was received."""

    id: str
    type: str
    event_name: str
    occurred_at: str
    net_amount: Number
    gross_amount: Number
    store_id: int | None
    zone_id: int | None
    concept_id: int | None
    line_items: list[LineItemView]
    attributes: Mapping[str, Any]
    return_of: str | None


class ExplanationLine(ExplanationView, tag_field="kind", tag="explanation"):
    """One thing that happened, and why."""


class EndLine(View, tag_field="kind", tag="end"):
    """The last line: there were `lines` before it."""

    lines: int


ExportLine = (
    CustomerLine
    | ProfileLine
    | EnrolmentLine
    | ProgressLine
    | LevelLine
    | PromotionEnrolmentLine
    | EarnedLine
    | RedemptionLine
    | RewardLine
    | ActivityLine
    | ExplanationLine
    | EndLine
)


def standing_lines(standing: Standing, definitions: Definitions) -> list[object]:
    """Who the customer is, and where they stand in every target."""
    person = standing.person
    lines: list[object] = [
        CustomerLine(
            customer_id=person.id,
            loyalty_type=person.loyalty_type,
            registered_at=written_instant(person.created_at),
        ),
        *_profile_lines(person),
    ]
    for target_id, enrolment in sorted(standing.enrolments.items()):
        lines += _enrolment_lines(target_id, enrolment, definitions)
    return lines


def issual_lines(issual: Issual, _: Definitions) -> list[object]:
    """The line of an enrolment in a promotion."""
    return [
        PromotionEnrolmentLine(
            promotion_id=issual.promotion_id,
            issual_id=issual.id,
            issued_at=written_instant(issual.issued_at),
            expires_at=written_instant(issual.expires_at),
            is_dummy=issual.is_dummy,
            ended_at=_written(issual.ended_at),
            ended_as=issual.ended_as,
        )
    ]


def earn_lines(earn: Earn, _: Definitions) -> list[object]:
    """The line of a promotion that was issued."""
    return [
        EarnedLine(
            promotion_id=earn.promotion_id,
            earned_id=earn.id,
            issual_id=earn.issual_id,
            earned_at=written_instant(earn.earned_at),
            expires_at=written_instant(earn.expires_at),
            redemptions=earn.redemptions,
            points=earn.points,
            ended_at=_written(earn.ended_at),
            ended_as=earn.ended_as,
        )
    ]


def redemption_lines(redemption: Redemption, _: Definitions) -> list[object]:
    """The line of what a promotion paid."""
    return [
        RedemptionLine(
            promotion_id=redemption.promotion_id,
            earned_id=redemption.earn_id,
            paid_for=redemption.paid_for,
            occurred_at=written_instant(redemption.occurred_at),
            redeemed_at=written_instant(redemption.redeemed_at),
            points=redemption.points,
        )
    ]


def reward_lines(reward: GrantedReward, _: Definitions) -> list[object]:
    """The line of a reward."""
    return [reward_view(reward, RewardLine)]


def activity_lines(activity: Activity, _: Definitions) -> list[object]:
    """The line of an activity."""
    return [
        ActivityLine(
            id=activity.id,
            type=activity.type,
            event_name=activity.event_name,
            occurred_at=written_instant(activity.occurred_at),
            net_amount=activity.net_amount,
            gross_amount=activity.gross_amount,
            store_id=activity.store_id,
            zone_id=activity.zone_id,
            concept_id=activity.concept_id,
            line_items=[
                LineItemView(
                    sku=item.sku,
                    quantity=item.quantity,
                    net_amount=item.net_amount,
                    gross_amount=item.gross_amount,
                    attributes=item.attributes,
                )
                for item in activity.line_items
            ],
            attributes=activity.attributes,
            return_of=activity.return_of,
        )
    ]


def explanation_lines(line: JournalLine, definitions: Definitions) -> list[object]:
    """The lines that explain an entry of the journal."""
    return [
        {"kind": "explanation", "entryId": line.id, **told.fields()}
        for told in explain(line.entry, definitions)
    ]


def _profile_lines(person: Person) -> list[object]:
    return [
        ProfileLine(
            source=profile.source,
            account_id=profile.account_id,
            first_name=profile.first_name,
            last_name=profile.last_name,
            identifiers=[
                IdentifierView(type=each.kind, value=each.value) for each in profile.identifiers
            ],
            comm_channels=profile.comm_channels,
            fields=profile.fields,
        )
        for profile in person.profiles
    ]


def _enrolment_lines(
    target_id: int, enrolment: Enrolment, definitions: Definitions
) -> list[object]:
    group = definitions.groups_by_target.get(target_id)
    group_id = group.id if group is not None else None
    periods = group.periods_by_id if group is not None else {}
    lines: list[object] = [
        EnrolmentLine(
            target_group_id=group_id,
            target_rule_id=target_id,
            from_period_id=stint.from_period_id,
            attempt=stint.attempt,
            enrolled_at=written_instant(stint.enrolled_at),
            left_at=_written(stint.left_at),
        )
        for stint in enrolment.stints
    ]
    lines += [
        ProgressLine(
            target_group_id=group_id,
            target_rule_id=target_id,
            period_id=row.period_id,
            period_ref_code=periods[row.period_id].ref_code if row.period_id in periods else None,
            attempt=row.attempt,
            value=row.value,
            own_target_value=row.own_target_value,
            achieved_at=_written(row.achieved_at),
        )
        for _, row in sorted(enrolment.progress.items())
    ]
    lines += [
        LevelLine(
            target_rule_id=target_id,
            streak_level_id=level.level_id,
            attempt=level.attempt,
            achieved_at=_written(level.achieved_at),
        )
        for _, level in sorted(enrolment.levels.items())
    ]
    return lines


def _written(at: datetime | None) -> str | None:
    return written_instant(at) if at is not None else None
