"""How a customer's cycles, values and levels are shown (domain: milestones §2.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from msgspec import UNSET, UnsetType

from milepost.api.target_group_views import (
    AttributionView,
    Number,
    View,
    attribution_instant,
    attribution_of,
    written_value,
)
from milepost.rules.calendar import (
    written_date,
    written_end_date,
    written_instant,
    written_instant_offset,
)
from milepost.rules.customers import Profile
from milepost.rules.definitions import TargetGroup
from milepost.rules.views import GroupRows, LevelRow, Row
from milepost.runner import Moment
from milepost.store.views import Person


class ChannelView(View):
    """A channel that the customer can be written to by."""

    type: str | None
    account_id: str
    value: str | None
    primary: bool
    verified: bool
    subscribed: bool
    attributes: dict[str, Any]


class IdentifierView(View):
    """An identifier of the customer in the profile's source."""

    type: str
    value: str


class ProfileView(View):
    """The customer in one source. `orgSourceId` means nothing here; payloads have always had it."""

    first_name: str
    last_name: str
    identifiers: list[IdentifierView]
    comm_channels: list[ChannelView]
    source: str
    account_id: str
    user_id: int
    org_source_id: int = -1


class RegistrationView(View):
    """When the customer was registered."""

    created_on: str
    created_on_iso: str


class LoyaltyInfoView(View):
    """`loyaltyType` is loyalty or non_loyalty."""

    attribution: RegistrationView
    loyalty_type: str
    lifetime_purchases: int = 0


class CustomerView(View):
    """Who the customer is."""

    id: int
    profiles: list[ProfileView]
    loyalty_info: LoyaltyInfoView
    custom_fields: dict[str, Any]


class ThresholdView(View):
    """A sub-target of the cycle; `triggerValue` is absolute, percentages are already reckoned."""

    id: int
    trigger_name: str
    trigger_value: Number
    is_achieved: bool


class UserTargetView(View, kw_only=True):
    """The customer in one target and one cycle. `targetRuleId` is the `{targetId}` of the paths.

    `targetId` is the id of this row: null if the customer is not enrolled in the cycle; then the value
    is 0 and `enrolledOn` the time of the request. `orgId` under the v3.1 prefixes only.
    """

    target_id: int | None
    org_id: int | UnsetType = UNSET
    period_id: int
    period_ref_code: str
    period_start_date: str
    period_end_date: str
    target_value: Number
    target_achieved_value: Number
    target_name: str
    target_type: str
    target_entity: str
    target_rule_id: int
    enrolled_on: str
    enrolled_on_iso: str
    event_name: str
    period_start_date_with_time_stamp: str
    period_start_date_with_time_stamp_iso: str
    period_end_date_with_time_stamp: str
    period_end_date_with_time_stamp_iso: str
    target_achieved_date_time: str | None
    target_achieved_date_time_iso: str | None
    current_period: bool
    milestones: list[ThresholdView] | None
    program_id: int | UnsetType = UNSET
    alternate_currency_identifier: str | UnsetType = UNSET


class UserStreakView(View):
    """A level of a streak; `status` is ACHIEVED, DROPPED or INPROGRESS.

    `currentCount` is the streak's counter, the same on every level.
    """

    user_streak_id: int | None
    streak_id: int
    streak_name: str
    status: str
    current_count: int
    total_target_count_of_sequence: int
    streak_achieved_user_target_id: int | UnsetType = UNSET
    streak_achieved_date_time: str | UnsetType = UNSET
    streak_achieved_date_time_iso: str | UnsetType = UNSET


class UserTargetGroupView(View, kw_only=True):
    """A target group with the customer's cycles in it; `streaks` has every level of a streak."""

    id: int
    attribution: AttributionView
    name: str
    preferred_till_id: int
    targets: list[UserTargetView]
    streaks: list[UserStreakView] | UnsetType = UNSET
    target_evaluation_type: str
    tracking_type: str


class UserTargetGroupsView(View):
    """A customer with the target groups of the organisation."""

    user_id: int
    customer: CustomerView
    target_groups: list[UserTargetGroupView]


def user_target_groups_view(
    person: Person, groups: Iterable[GroupRows], moment: Moment, org_id: int | UnsetType
) -> UserTargetGroupsView:
    """The customer with the rows of `groups`, as of the moment; `org_id` if the rows shall have it."""
    return UserTargetGroupsView(
        user_id=person.id,
        customer=_customer_view(person, moment),
        target_groups=[_group_view(group, org_id, moment.now) for group in groups],
    )


def _customer_view(person: Person, moment: Moment) -> CustomerView:
    created_on, created_on_iso = _instant(person.created_at, ZoneInfo(moment.definitions.time_zone))
    custom_fields: dict[str, Any] = {}
    for profile in person.profiles:
        custom_fields = {**profile.fields, **custom_fields}
    return CustomerView(
        id=person.id,
        profiles=[_profile_view(person, profile) for profile in person.profiles],
        loyalty_info=LoyaltyInfoView(
            attribution=RegistrationView(created_on=created_on, created_on_iso=created_on_iso),
            loyalty_type=person.loyalty_type,
        ),
        custom_fields=custom_fields,
    )


def _profile_view(person: Person, profile: Profile) -> ProfileView:
    channels: Sequence[Mapping[str, Any]] = profile.comm_channels
    return ProfileView(
        first_name=profile.first_name,
        last_name=profile.last_name,
        identifiers=[
            IdentifierView(type=identifier.kind, value=identifier.value)
            for identifier in profile.identifiers
        ],
        comm_channels=[
            ChannelView(
                type=channel.get("type"),
                account_id=profile.account_id,
                value=channel.get("value"),
                primary=bool(channel.get("primary")),
                verified=bool(channel.get("verified")),
                subscribed=bool(channel.get("subscribed")),
                attributes=channel.get("meta") or {},
            )
            for channel in channels
        ],
        source=profile.source,
        account_id=profile.account_id,
        user_id=person.id,
    )


def _group_view(found: GroupRows, org_id: int | UnsetType, now: datetime) -> UserTargetGroupView:
    group = found.group
    return UserTargetGroupView(
        id=group.id,
        attribution=attribution_of(group.created, group.updated, group.zone),
        name=group.name,
        preferred_till_id=group.preferred_till_id,
        targets=[_row_view(group, row, org_id, now) for row in found.rows],
        streaks=[_level_view(group, level) for level in found.levels] if group.is_streak else UNSET,
        target_evaluation_type=group.evaluation_type,
        tracking_type=group.tracking_type,
    )


# Most customers are shown the same cycles, and a customer's rows share few instants: so the texts of
# both, which are most of the work of a view, are kept for a while.
@lru_cache(maxsize=4_096)
def _period_dates(starts_at: datetime, ends_at: datetime, zone: ZoneInfo) -> Mapping[str, Any]:
    """The bounds of a cycle; its end as the last instant that it includes."""
    last_at = ends_at - timedelta.resolution
    return {
        "period_start_date": written_date(starts_at, zone),
        "period_end_date": written_end_date(ends_at, zone),
        "period_start_date_with_time_stamp": written_instant(starts_at),
        "period_start_date_with_time_stamp_iso": written_instant_offset(starts_at, zone),
        "period_end_date_with_time_stamp": written_instant(last_at),
        "period_end_date_with_time_stamp_iso": written_instant_offset(last_at, zone),
    }


@lru_cache(maxsize=4_096)
def _instant(at: datetime, zone: ZoneInfo) -> tuple[str, str]:
    """An instant in the older form, and its ISO twin."""
    return attribution_instant(at), written_instant_offset(at, zone)


def _row_view(
    group: TargetGroup, row: Row, org_id: int | UnsetType, now: datetime
) -> UserTargetView:
    target, period = row.target, row.period
    enrolled_on, enrolled_on_iso = _instant(row.enrolled_at or now, group.zone)
    achieved_on, achieved_on_iso = (
        _instant(row.achieved_at, group.zone) if row.achieved_at is not None else (None, None)
    )
    thresholds = [
        ThresholdView(
            id=threshold.id,
            trigger_name=threshold.name,
            trigger_value=written_value(threshold.value),
            is_achieved=threshold.achieved,
        )
        for threshold in row.thresholds
    ]
    return UserTargetView(
        target_id=row.id,
        org_id=org_id,
        period_id=period.id,
        period_ref_code=period.ref_code,
        target_value=written_value(row.asked),
        target_achieved_value=written_value(row.value),
        target_name=target.name,
        target_type=target.target_type,
        target_entity=target.target_entity,
        target_rule_id=target.id,
        enrolled_on=enrolled_on,
        enrolled_on_iso=enrolled_on_iso,
        event_name=target.event_name,
        target_achieved_date_time=achieved_on,
        target_achieved_date_time_iso=achieved_on_iso,
        current_period=row.current,
        milestones=thresholds or None,
        **_period_dates(row.starts_at, row.ends_at, group.zone),
        **_currency(row),
    )


def _currency(row: Row) -> dict[str, Any]:
    """What only a target on an alternate currency has."""
    if row.target.target_entity != "ALTERNATE_CURRENCIES":
        return {}
    info = row.target.extended_field_info or {}
    return {
        "program_id": info.get("programId", UNSET),
        "alternate_currency_identifier": info.get("alternateCurrencyIdentifier", UNSET),
    }


def _level_view(group: TargetGroup, row: LevelRow) -> UserStreakView:
    view = UserStreakView(
        user_streak_id=row.id,
        streak_id=row.view.level.id,
        streak_name=row.view.level.name,
        status=row.view.status,
        current_count=row.view.current_count,
        total_target_count_of_sequence=row.view.total,
    )
    if row.achieved_at is not None:
        view.streak_achieved_user_target_id = UNSET if row.achieved_in is None else row.achieved_in
        view.streak_achieved_date_time, view.streak_achieved_date_time_iso = _instant(
            row.achieved_at, group.zone
        )
    return view
