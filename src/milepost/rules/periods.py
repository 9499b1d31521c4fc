"""Periods of a target group: made, added and moved (contract §4, "Dates", "Generated periods", "Edits").

A bare date that is what a response wrote for an instant stands for that instant, so what was read can
be sent back unchanged although responses have no times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

from milepost.errors import TARGET_PERIOD_NOT_FOUND, Refusal
from milepost.rules.calendar import (
    Window,
    generated_windows,
    interval,
    overlapping,
    parse_end,
    parse_start,
    written_date,
    written_end_date,
)
from milepost.rules.checks import (
    DESCRIPTION_CHARACTERS_MAX,
    check_given,
    check_label,
    check_text,
    placed,
    refuse,
)
from milepost.rules.definitions import Actor, Period, Target, TargetGroup, TargetValue
from milepost.rules.drafts import PERIODS_MAX, PeriodDraft, said
from milepost.rules.windows import closes_at, delayed


def new_periods(
    drafts: Sequence[PeriodDraft],
    zone: ZoneInfo,
    ids: Iterator[int],
    actor: Actor,
    existing: Sequence[Period] = (),
) -> tuple[Period, ...] | Refusal:
    """A period for each draft, in the order sent, beside the group's `existing` ones.

    Past ones are accepted. Refused: what overlaps, a name that the group has, more than 100 periods.
    """
    if len(drafts) + len(existing) > PERIODS_MAX:
        return refuse("periods", f"a group has at most {PERIODS_MAX}")
    names = {period.ref_code for period in existing}
    number = max((period.number for period in existing), default=0)
    made = []
    for index, draft in enumerate(drafts):
        at = f"periods[{index}]"
        refusal = _check_draft(draft, at) or check_given(draft.ref_code, f"{at}.refCode")
        if refusal is not None:
            return refusal
        ref_code = draft.ref_code or ""
        if ref_code in names:
            return refuse(f"{at}.refCode", "another period of the group has it")
        names.add(ref_code)
        window = _read_window(draft, zone, at)
        if isinstance(window, Refusal):
            return window
        made.append(
            Period(
                next(ids),
                number + index + 1,
                ref_code,
                window.starts_at,
                window.ends_at,
                said(draft.description, ""),
                active=said(draft.active, True),
                created=actor,
                updated=actor,
            )
        )
    places = {period.id: f"periods[{index}]" for index, period in enumerate(made)}
    return _check_overlap([*existing, *made], places) or tuple(made)


def generated_periods(
    group: TargetGroup, starts_at: datetime, ids: Iterator[int], actor: Actor
) -> tuple[Period, ...] | Refusal:
    """The `recurring_cycles` periods of a group for which none were sent, from `starts_at` on.

    Contract §4, "Generated periods": CUSTOM and counts below 1 are refused. For cyclic windows they
    are placeholders, described as such (§2.2).
    """
    length = interval(group.frequency_type, group.frequency)
    windows: tuple[Window, ...] | Refusal
    if isinstance(length, Refusal):
        windows = length
    else:
        windows = generated_windows(starts_at, length, group.recurring_cycles, group.zone)
    if isinstance(windows, Refusal):
        return replace(windows, detail=f"periods: none are sent; {windows.detail}")
    return tuple(
        Period(
            next(ids),
            number,
            f"PERIOD_G_{group.id}_{number}",
            window.starts_at,
            window.ends_at,
            "" if group.is_fixed else "CYCLIC TARGET PERIOD",
            created=actor,
            updated=actor,
        )
        for number, window in enumerate(windows, start=1)
    )


def add_periods(
    group: TargetGroup, drafts: Sequence[PeriodDraft], ids: Iterator[int], actor: Actor
) -> TargetGroup | Refusal:
    """The group with more periods (POST …/targetPeriods); a streak's are fixed (§3.5, EDS).

    In them every target asks for what it asks for in the group's last period.
    """
    if group.is_streak:
        return refuse("periods", "a streak's are fixed")
    if not drafts:
        return refuse("periods", "is empty")
    made = new_periods(drafts, group.zone, ids, actor, group.periods)
    if isinstance(made, Refusal):
        return made
    targets = tuple(_continued(target, group.periods, made, ids) for target in group.targets)
    return replace(with_periods(group, (*group.periods, *made)), targets=targets, updated=actor)


def edit_periods(
    group: TargetGroup, drafts: Sequence[PeriodDraft], actor: Actor
) -> TargetGroup | Refusal:
    """The group with changed periods (PUT …/targetPeriods); absent fields stay (§3.5, UTP).

    A running period's end may move, a later one's start and end too, an ended one's neither; no end
    moves to `actor.at` or before, and no period past another, for coverage follows their order. A
    period is named by id, else by `refCode`, which only changes while it has not started; an unknown
    one → 310019. A streak's are fixed: what is sent must be what is there.
    """
    changed = dict(group.periods_by_id)
    places: dict[int, str] = {}
    for index, draft in enumerate(drafts):
        at = f"periods[{index}]"
        period = find_period(group, draft)
        if period is None:
            refusal = Refusal(TARGET_PERIOD_NOT_FOUND)
            return placed(refusal, at) if len(drafts) > 1 else refusal
        if period.id in places:
            return refuse(at, f"is the same period as {places[period.id]}")
        places[period.id] = at
        after = _changed(group, period, draft, actor, at)
        if isinstance(after, Refusal):
            return after
        changed[period.id] = after
    periods = tuple(changed.values())
    wrong = (
        _check_names(periods, places)
        or _check_overlap(periods, places)
        or _check_order(group.periods, changed, places)
    )
    if wrong is not None:
        return wrong
    edited = with_periods(group, periods)
    return replace(edited, updated=actor) if edited != group else group


def with_periods(group: TargetGroup, periods: Sequence[Period]) -> TargetGroup:
    """The group with these periods: in order of their start, counted, and its window around them."""
    in_order = tuple(sorted(periods, key=lambda period: (period.starts_at, period.number)))
    if not in_order:
        return replace(group, periods=(), total_periods=0)
    return replace(
        group,
        periods=in_order,
        total_periods=len(in_order),
        cycle_starts_at=in_order[0].starts_at,
        cycle_ends_at=max(period.ends_at for period in in_order),
    )


def with_closings(before: TargetGroup | None, after: TargetGroup, now: datetime) -> TargetGroup:
    """The group after an edit at `now`, its periods with the instants at which they close (rule 8).

    A closed period stays closed, whatever the delay is now. An open one closes at its end plus the
    delay, but not before the edit: what counted until then was in time.
    """
    known = before.periods_by_id if before is not None else {}
    periods = []
    for period in after.periods:
        closing = delayed(after, period.ends_at)
        earlier = known.get(period.id)
        if before is not None and earlier is not None:
            closed_at = closes_at(before, earlier)
            closing = closed_at if closed_at <= now else max(closing, now)
        if closing != closes_at(after, period) or earlier is None:
            period = replace(period, closes_at=closing)  # noqa: PLW2901 - the same one, closing
        periods.append(period)
    return replace(after, periods=tuple(periods))


def find_period(group: TargetGroup, draft: PeriodDraft) -> Period | None:
    """The group's period that a draft names: by its id, else by its name."""
    if draft.id is not None:
        return group.periods_by_id.get(draft.id)
    return next((period for period in group.periods if period.ref_code == draft.ref_code), None)


def read_start(text: str, zone: ZoneInfo, at: str) -> datetime | Refusal:
    """The instant at which what starts on the text of the field `at` starts."""
    return _placed_before(parse_start(text, zone), at)


def read_end(text: str, zone: ZoneInfo, at: str) -> datetime | Refusal:
    """The exclusive instant at which what ends on the text of the field `at` ends."""
    return _placed_before(parse_end(text, zone), at)


def _placed_before(read: datetime | Refusal, at: str) -> datetime | Refusal:
    return replace(read, detail=f"{at}: {read.detail}") if isinstance(read, Refusal) else read


def _check_draft(draft: PeriodDraft, at: str) -> Refusal | None:
    return check_label(draft.ref_code, f"{at}.refCode") or check_text(
        draft.description, f"{at}.description", DESCRIPTION_CHARACTERS_MAX
    )


def _read_window(draft: PeriodDraft, zone: ZoneInfo, at: str) -> Window | Refusal:
    if draft.start_date is None:
        return refuse(f"{at}.startDate", "is required")
    if draft.end_date is None:
        return refuse(f"{at}.endDate", "is required")
    starts_at = read_start(draft.start_date, zone, f"{at}.startDate")
    if isinstance(starts_at, Refusal):
        return starts_at
    ends_at = read_end(draft.end_date, zone, f"{at}.endDate")
    if isinstance(ends_at, Refusal):
        return ends_at
    return _window(starts_at, ends_at, at)


def _window(starts_at: datetime, ends_at: datetime, at: str) -> Window | Refusal:
    if ends_at <= starts_at:
        return refuse(f"{at}.endDate", "must be after startDate")
    return Window(starts_at, ends_at)


def _changed(
    group: TargetGroup, period: Period, draft: PeriodDraft, actor: Actor, at: str
) -> Period | Refusal:
    """One period after an edit, its neighbours not yet looked at."""
    refusal = _check_draft(draft, at)
    if refusal is not None:
        return refusal
    window = _moved(period, draft, group.zone, actor.at, at)
    if isinstance(window, Refusal):
        return window
    after = replace(
        period,
        ref_code=said(draft.ref_code, period.ref_code),
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        description=said(draft.description, period.description),
        active=said(draft.active, period.active),
    )
    if after == period:
        return period
    if group.is_streak:
        return refuse(at, "a streak's periods are fixed")
    if after.ref_code != period.ref_code and period.starts_at <= actor.at:
        return refuse(f"{at}.refCode", "cannot change once the period has started")
    if after.active != period.active and period.ended(actor.at):
        return refuse(f"{at}.active", "cannot change once the period has ended")
    return replace(after, updated=actor)


def _moved(
    period: Period, draft: PeriodDraft, zone: ZoneInfo, now: datetime, at: str
) -> Window | Refusal:
    """Where the period lies after an edit."""
    starts_at: datetime | Refusal = period.starts_at
    if draft.start_date not in (None, written_date(period.starts_at, zone)):
        starts_at = read_start(draft.start_date or "", zone, f"{at}.startDate")
    if isinstance(starts_at, Refusal):
        return starts_at
    ends_at: datetime | Refusal = period.ends_at
    if draft.end_date not in (None, written_end_date(period.ends_at, zone)):
        ends_at = read_end(draft.end_date or "", zone, f"{at}.endDate")
    if isinstance(ends_at, Refusal):
        return ends_at
    if period.ended(now) and (starts_at, ends_at) != (period.starts_at, period.ends_at):
        return refuse(at, "has ended, so its dates cannot change")
    if period.running(now) and starts_at != period.starts_at:
        return refuse(f"{at}.startDate", "the period is running, so only its end may move")
    if ends_at <= now and ends_at != period.ends_at:
        return refuse(f"{at}.endDate", "cannot move into the past")
    return _window(starts_at, ends_at, at)


def _check_names(periods: Sequence[Period], places: Mapping[int, str]) -> Refusal | None:
    """Whether two periods have one name; `places` says where each was sent, by id."""
    names = set()
    # Those sent come last: the group's own names differ, so it is one of them that is taken.
    for period in sorted(periods, key=lambda period: period.id in places):
        if period.ref_code in names:
            at = places[period.id]
            return refuse(f"{at}.refCode", "another period of the group has it")
        names.add(period.ref_code)
    return None


def _check_overlap(periods: Sequence[Period], places: Mapping[int, str]) -> Refusal | None:
    """Whether two periods share an instant; `places` says where each was sent, by id."""
    found = overlapping([Window(period.starts_at, period.ends_at) for period in periods])
    if found is None:
        return None
    # At least one of the two was sent, for the group's own never overlap.
    one, two = (periods[index].id for index in found)
    sent, other = (two, one) if two in places else (one, two)
    return refuse(places[sent], f"overlaps {places.get(other, 'another period of the group')}")


def _check_order(
    before: Sequence[Period], after: Mapping[int, Period], places: Mapping[int, str]
) -> Refusal | None:
    """Whether the periods still follow one another as they did: coverage goes by their order."""
    for one, next_one in pairwise(before):
        if after[next_one.id].starts_at < after[one.id].starts_at:
            at = places.get(next_one.id) or places[one.id]
            return refuse(at, "cannot move past another period of the group")
    return None


def _continued(
    target: Target, periods: Sequence[Period], made: Sequence[Period], ids: Iterator[int]
) -> Target:
    """The target with values for new periods: that of the last one there was."""
    value = target.values[periods[-1].id].value
    more = {period.id: TargetValue(next(ids), period.id, value) for period in made}
    return replace(target, values={**target.values, **more})
