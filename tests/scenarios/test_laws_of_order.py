"""Laws of arrival: in any order that the rules allow, in any cut, however often, the state is the same.

A history has some parts. In each, activities of the days so far arrive; then customers may leave or
enter, and the clock moves on. Two customers live through the same history, and only how it is sent
differs. Returns come after their sales, and what counts only once a day is no sale: that a return
takes back a visit makes its order matter.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.harness import Org, Service
from tests.scenarios.vocabulary import (
    SALES,
    Challenge,
    data,
    days,
    deed,
    define_milestone,
    define_streak,
    giving_back,
    item,
    period,
    post,
    sale,
    statuses,
    stream,
)

DAYS = 8
FIRST = date(2026, 6, 1)
ATTRIBUTE = {"targetEntity": "EVENT", "targetType": "EVENT_ATTRIBUTE", "eventName": "played"}
Activity = dict[str, Any]
Send = Callable[[Org, Sequence[Activity], random.Random], None]


@dataclass(frozen=True)
class Part:
    """What arrives on a day, and what the customers do after it in every challenge."""

    day: int
    activities: list[Activity]
    then: str


def in_another_order(org: Org, activities: Sequence[Activity], chance: random.Random) -> None:
    """Send them in any order in which returns come after their sales."""
    waiting = chance.sample(activities, len(activities))
    sent: list[Activity] = []
    while waiting:
        unsold = {each["id"] for each in waiting}
        ready = [each for each in waiting if each.get("returnOf") not in unsold]
        sent.append(ready[0])
        waiting.remove(ready[0])
    assert set(statuses(stream(org, *sent))) <= {"ACCEPTED"}


def in_two_halves(org: Org, activities: Sequence[Activity], chance: random.Random) -> None:
    """Send the first ones in one call and the others in another."""
    cut = chance.randint(0, len(activities))
    results = [*post(org, *activities[:cut]), *stream(org, *activities[cut:])]
    assert set(statuses(results)) <= {"ACCEPTED"}


def everything_twice(org: Org, activities: Sequence[Activity], chance: random.Random) -> None:
    """Send everything, and everything again; some of it in one call."""
    results = post(org, *activities, *activities[: chance.randint(0, len(activities))])
    assert set(statuses(results[: len(activities)])) <= {"ACCEPTED"}
    assert set(statuses(results[len(activities) :])) <= {"DUPLICATE"}
    assert set(statuses(stream(org, *activities))) <= {"DUPLICATE"}


@st.composite
def histories(draw: st.DrawFn) -> list[Part]:
    """Up to four parts, a day or more apart, of sales, their returns in thirds, and games."""
    parts: list[Part] = []
    left: dict[str, tuple[int, int, str]] = {}
    now = draw(st.integers(0, 1))
    while now < DAYS and len(parts) < 4:
        arriving: list[Activity] = []
        for number in range(draw(st.integers(0, 6))):
            identity = f"{len(parts)}-{number}"
            on = _on(draw(st.integers(max(0, now - 4), now)), draw(st.integers(0, 11)))
            kind = draw(st.sampled_from(["sale", "sale", "return", "played"]))
            if kind == "played":
                points = draw(st.integers(1, 9))
                arriving.append(deed(0, "played", on, points=points) | {"id": identity})
            elif kind == "return" and left:
                sold = draw(st.sampled_from(sorted(left)))
                third, times, on = left.pop(sold)
                arriving.append(giving_back(0, sold, third, on, id=identity))
                if times > 1:
                    left[sold] = third, times - 1, on
            else:
                third = draw(st.integers(1, 40))
                lines = [item("A", 2 * third), item("B", third)]
                arriving.append(sale(0, 3 * third, on, id=identity, lineItems=lines))
                left[identity] = third, 3, on
        then = draw(st.sampled_from(["", "", "leave", "enter", "enter anew", "leave and enter"]))
        parts.append(Part(now, arriving, then))
        now += draw(st.integers(1, 3))
    return parts


@pytest.mark.parametrize("send", [in_another_order, in_two_halves, everything_twice])
# Without shrinking: a history takes half a second, and a small one is found soon enough by hand.
@settings(max_examples=5, deadline=None, phases=(Phase.reuse, Phase.generate))
@given(parts=histories(), seed=st.integers(0, 2**16))
def test_a_history_comes_to_the_same_however_it_arrives(
    service: Service, send: Send, parts: list[Part], seed: int
) -> None:
    org, chance = service.new_org(), random.Random(seed)
    challenges = [*define_challenges(org)]
    ann, ben = org.register(), org.register()
    for challenge in challenges:
        assert challenge.enrol(ann) == challenge.enrol(ben)
    for part in parts:
        org.move_clock(_on(part.day, 12))
        if part.activities:
            assert set(statuses(post(org, *_of(ann, part)))) == {"ACCEPTED"}
            send(org, _of(ben, part), chance)
        assert change(challenges, ann, part.then) == change(challenges, ben, part.then)
    returned = any(each["type"] == "RETURN" for part in parts for each in part.activities)
    for later in (_on(DAYS, 0), _on(DAYS + 10, 0)):
        org.move_clock(later)
        before = state(org, ann, returned=returned)
        assert before == state(org, ben, returned=returned)
        again = [each for part in parts for each in (*_of(ann, part), *_of(ben, part))]
        assert set(statuses(stream(org, *again))) <= {"DUPLICATE"}
        assert state(org, ann, returned=returned) == before


def define_challenges(org: Org) -> tuple[Challenge, ...]:
    """Two milestones of two cycles each way, a streak of days, and what counts by items and by days."""
    cycles = [
        period("c1", FIRST, FIRST + timedelta(days=2)),
        period("c2", FIRST + timedelta(days=3), FIRST + timedelta(days=DAYS)),
    ]
    items = {"targetEntity": "LINEITEM", "expression": "currentLineItem.sku == 'A'"}
    visits = {"targetEntity": "EVENT", "targetType": "VISIT", "eventName": "played"}
    best = {"aggregateWindow": {"windowType": "MAX"}, "extendedFieldInfo": {"name": "points"}}
    late = {"settlementDelayDays": 3, "rewardAllocation": "PERIOD_END"}
    return (
        define_milestone(org, asked=100, periods=cycles, target=SALES),
        define_milestone(org, asked=60, periods=cycles, target=items, **late),  # type: ignore[arg-type]
        define_milestone(
            org, asked=100, periods=cycles, trackFromEnrolmentDate=True, settlementDelayDays=1
        ),
        define_streak(org, levels=(2, 3), periods=days(DAYS, FIRST), settlementDelayDays=2),
        define_milestone(org, asked=2, periods=cycles, target=visits, settlementDelayDays=9),
        define_milestone(
            org, asked=12, periods=cycles, target={**ATTRIBUTE, **best}, settlementDelayDays=9
        ),
    )


def change(challenges: Sequence[Challenge], customer: int, then: str) -> list[int]:
    """Let the customer leave or enter each of the challenges; answers the outcomes."""
    done = []
    for challenge in challenges:
        if then.startswith("leave"):
            done.append(challenge.unenrol(customer))
        if then.endswith("enter"):
            done.append(challenge.enrol(customer))
        if then == "enter anew":
            done.append(challenge.enrol(customer, initialBalance=5, resetStreakStatus=True))
    return done


def state(org: Org, customer: int, *, returned: bool) -> list[Any]:
    """All that a customer can see.

    With returns among it, when a cycle was achieved, and whether it was at all in between and so
    rewarded at once, depends on what came first.
    """
    view = data(org.get(f"/v3/users/{customer}/targetGroups?includeInactive=true"))
    granted = data(org.get(f"/milepost/v1/customers/{customer}/rewards"))
    told = data(org.get(f"/milepost/v1/customers/{customer}/explanation"))
    rows = [
        (row["targetRuleId"], row["periodRefCode"], row["targetId"] is None,
         row["targetAchievedValue"],
         bool(row["targetAchievedDateTimeISO"]) if returned else row["targetAchievedDateTimeISO"])
        for group in view["targetGroups"] for row in group["targets"]
    ]  # fmt: skip
    levels = [
        (level["streakName"], level["status"], level["currentCount"])
        for group in view["targetGroups"] for level in group.get("streaks") or ()
    ]  # fmt: skip
    kept = sorted(
        (each["targetRuleId"], each["streakLevel"] or each["periodRefCode"], each["attempt"],
         each["grantedAt"])
        for each in granted if not returned or each["cause"] == "SETTLEMENT"
    )  # fmt: skip
    due = sorted(
        (each["targetRuleId"], each["periodRefCode"], each["what"], each["reason"], each["at"])
        for each in told if each["what"] in ("SETTLED", "BROKEN", "ENROLLED", "UNENROLLED")
    )  # fmt: skip
    return [rows, levels, kept, due]


def _of(customer: int, part: Part) -> list[Activity]:
    return [each | {"customerId": customer} for each in part.activities]


def _on(day: int, hour: int) -> str:
    at = datetime(FIRST.year, FIRST.month, FIRST.day) + timedelta(days=day, hours=hour)  # noqa: DTZ001
    return f"{at.isoformat()}Z"
