"""The clock passes the ends of cycles: rewards, breaks and settlements (contract §2, §4 rules 7–11)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from milepost.rules.calendar import local_midnight, written_instant
from tests.harness import Org, Service, contents
from tests.scenarios.vocabulary import (
    ACCEPTED,
    Challenge,
    data,
    days,
    define_milestone,
    define_streak,
    months,
)

_ids = count(1)


def spend(org: Org, customer: int, amount: float, at: str) -> dict[str, Any]:
    """One transaction; answers its result."""
    sent = {
        "id": f"tx-{next(_ids)}",
        "customerId": customer,
        "type": "TRANSACTION",
        "occurredAt": at,
    }
    (result,) = data(org.post("/milepost/v1/activities", [{**sent, "netAmount": amount}]))
    assert result["status"] == "ACCEPTED", result
    return dict(result)


def pays_at_the_end(org: Org, **group: Any) -> tuple[Challenge, int]:
    """A milestone of months that pays when a month is settled, with a new customer enrolled in it."""
    milestone, ann = define_milestone(org, rewardAllocation="PERIOD_END", **group), org.register()
    assert milestone.enrol(ann, "c1") == ACCEPTED
    return milestone, ann


def settled(milestone: Challenge, customer: int) -> list[tuple[str, str, str]]:
    """Instant, reason and cycle of each settlement and period-end reward, oldest first."""
    return [
        (line["at"], line["reason"], line["periodRefCode"])
        for line in milestone.journal(customer)
        if line["what"] in ("SETTLED", "REWARDED", "BROKEN")
    ]


JULY = "2026-07-01T00:00:00.000Z"
AUGUST = "2026-08-01T00:00:00.000Z"


def test_a_period_end_reward_comes_with_the_end_of_its_cycle_however_far_the_clock_is_moved(
    org: Org,
) -> None:
    milestone, ann = pays_at_the_end(org)
    spend(org, ann, 1000, "2026-06-01T00:00:00Z")
    org.move_clock("2026-06-30T23:59:59.999Z")
    assert milestone.rewards(ann) == []
    org.move_clock("2026-08-15T12:00:00Z")
    assert settled(milestone, ann) == [
        (JULY, "PERIOD_END", "c1"),
        (JULY, "SETTLED_ACHIEVED", "c1"),
        (AUGUST, "SETTLED_UNACHIEVED", "c2"),
    ]
    path = f"/milepost/v1/customers/{ann}/rewards"
    (reward,) = data(org.get(path))
    assert (reward["grantedAt"], reward["cause"]) == (JULY, "SETTLEMENT")


def test_the_reward_of_c2_still_comes_to_who_leaves_in_the_first_second_of_c3(org: Org) -> None:
    milestone, ann = pays_at_the_end(org, settlementDelayDays=2)
    org.move_clock("2026-07-10T00:00:00Z")
    spend(org, ann, 1000, "2026-07-09T00:00:00Z")
    org.move_clock("2026-08-01T00:00:00.500Z")
    assert milestone.unenrol(ann) == ACCEPTED
    assert milestone.rewards(ann) == []
    org.move_clock("2026-09-10T00:00:00Z")
    assert [cycle for _, cycle, _ in milestone.rewards(ann)] == ["c2"]
    assert milestone.covered(ann) == ["c1", "c2"]


def test_late_activity_counts_until_settlement_and_not_from_it_on(org: Org) -> None:
    milestone, ann = pays_at_the_end(org, settlementDelayDays=2)
    org.move_clock("2026-07-02T23:59:59.999Z")
    spend(org, ann, 900, "2026-06-30T23:59:59.999Z")
    assert milestone.value(ann, "c1") == 900
    org.move_clock("2026-07-03T00:00:00Z")
    spend(org, ann, 900, "2026-06-30T23:59:59.999Z")
    assert milestone.value(ann, "c1") == 900
    assert settled(milestone, ann) == [("2026-07-03T00:00:00.000Z", "SETTLED_UNACHIEVED", "c1")]


def test_raising_the_delay_never_reopens_a_closed_cycle(org: Org) -> None:
    milestone, ann = pays_at_the_end(org)
    org.move_clock("2026-07-01T00:00:00Z")
    milestone.change(settlementDelayDays=20)
    spend(org, ann, 1000, "2026-06-15T00:00:00Z")
    assert milestone.value(ann, "c1") == 0
    org.move_clock("2026-08-25T00:00:00Z")
    assert [(at, cycle) for at, _, cycle in settled(milestone, ann)] == [
        (JULY, "c1"),
        ("2026-08-21T00:00:00.000Z", "c2"),
    ]


def test_a_moved_end_moves_the_settlement(org: Org) -> None:
    milestone, ann = pays_at_the_end(org, cycles=1)
    milestone.move_end("c1", "2026-06-20")
    org.move_clock("2026-06-25T00:00:00Z")
    assert settled(milestone, ann) == [("2026-06-21T00:00:00.000Z", "SETTLED_UNACHIEVED", "c1")]


def test_a_delay_lowered_below_what_has_passed_settles_with_the_edit(org: Org) -> None:
    milestone, ann = pays_at_the_end(org, settlementDelayDays=10)
    org.move_clock("2026-07-05T00:00:00Z")
    milestone.change(settlementDelayDays=1)
    org.move_clock("2026-07-05T00:00:00Z")
    assert settled(milestone, ann) == [("2026-07-05T00:00:00.000Z", "SETTLED_UNACHIEVED", "c1")]


def test_periods_added_with_past_dates_are_not_settled_for_times_before_they_were_made(
    org: Org,
) -> None:
    org.move_clock("2026-08-20T00:00:00Z")
    milestone, ann = define_milestone(org, rewardAllocation="PERIOD_END"), org.register()
    assert milestone.enrol(ann) == ACCEPTED
    org.move_clock("2026-09-01T00:00:00Z")
    assert [cycle for *_, cycle in settled(milestone, ann)] == ["c3"]


def test_while_a_group_is_inactive_settlement_still_runs(org: Org) -> None:
    milestone, ann = pays_at_the_end(org)
    spend(org, ann, 1000, "2026-06-01T00:00:00Z")
    milestone.change(active=False)
    org.move_clock("2026-07-01T00:00:00Z")
    assert [reason for _, reason, _ in settled(milestone, ann)] == [
        "PERIOD_END",
        "SETTLED_ACHIEVED",
    ]


def test_a_missed_cycle_breaks_a_streak_at_its_end_and_only_once(org: Org) -> None:
    streak, ann = define_streak(org), org.register()
    assert streak.enrol(ann) == ACCEPTED
    for day in ("2026-06-01", "2026-06-02"):
        org.move_clock(f"{day}T12:00:00Z")
        spend(org, ann, 10, f"{day}T11:00:00Z")
    org.move_clock("2026-06-06T00:00:00Z")
    broken = [line for line in streak.journal(ann) if line["what"] == "BROKEN"]
    assert [(line["at"], line["periodRefCode"]) for line in broken] == [
        ("2026-06-04T00:00:00.000Z", "c3")
    ]
    assert streak.counter(ann) == 0


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Asia/Beirut"])
def test_daily_cycles_are_settled_at_local_midnight_over_a_change_of_the_clock(
    service: Service, zone: str
) -> None:
    """In Beirut the clock goes forward at midnight, so that day begins at one o'clock."""
    org = service.new_org(timeZone=zone, now="2026-03-01T12:00:00Z")
    first = date(2026, 3, 2)
    milestone = define_milestone(org, periods=days(60, first), rewardAllocation="PERIOD_END")
    ann = org.register()
    assert milestone.enrol(ann, "c1") == ACCEPTED
    org.move_clock("2026-05-15T00:00:00Z")
    midnights = [
        written_instant(local_midnight(first + timedelta(days=n), ZoneInfo(zone)))
        for n in range(1, 61)
    ]
    assert [at for at, *_ in settled(milestone, ann)] == midnights


def test_a_child_of_the_hierarchy_is_settled_by_its_parents_clock(
    service: Service, org: Org
) -> None:
    child = service.new_org(parentOrgId=org.id, sandbox=None, now=None)
    milestone, ann = pays_at_the_end(child)
    spend(child, ann, 1000, "2026-06-01T00:00:00Z")
    org.move_clock("2026-07-01T00:00:00Z")
    assert [reason for _, reason, _ in settled(milestone, ann)] == [
        "PERIOD_END",
        "SETTLED_ACHIEVED",
    ]


def test_two_sandboxes_are_settled_by_their_own_clocks(service: Service, org: Org) -> None:
    other = service.new_org()
    milestone, ann = pays_at_the_end(org)
    pays_at_the_end(other)
    other.move_clock("2026-07-01T00:00:00Z")
    assert settled(milestone, ann) == []


def test_the_same_instant_again_changes_nothing(org: Org, database_url: str) -> None:
    pays_at_the_end(org)
    org.move_clock("2026-07-01T00:00:00Z")
    before = contents(database_url)
    org.move_clock("2026-07-01T00:00:00Z")
    assert contents(database_url) == before


def test_concurrent_moves_settle_everything_once(org: Org) -> None:
    milestone = define_milestone(org, rewardAllocation="PERIOD_END", periods=months(5))
    customers = [org.register() for _ in range(5)]
    for customer in customers:
        assert milestone.enrol(customer, "c1", initialBalance=1000) == ACCEPTED
    stops = [f"2026-{month:02d}-{day:02d}T00:00:00Z" for month in range(6, 11) for day in (2, 15)]
    with ThreadPoolExecutor(10) as threads:
        answers = list(
            threads.map(lambda now: org.client.put("/milepost/v1/clock", json={"now": now}), stops)
        )
    assert answers[-1].status_code == 200
    assert {answer.status_code for answer in answers} <= {200, 400}
    for customer in customers:
        assert [cycle for *_, cycle in settled(milestone, customer)] == [
            "c1",
            "c1",
            "c2",
            "c3",
            "c4",
        ]
        assert len(milestone.rewards(customer)) == 1


def test_a_year_of_daily_cycles_in_several_groups_is_one_move(org: Org) -> None:
    """And groups that nobody is enrolled in don't count."""
    first = date(2026, 6, 1)
    groups = [
        define_milestone(
            org, periods=days(100, first + timedelta(days=100 * n)), rewardAllocation="PERIOD_END"
        )
        for n in range(3)
    ]
    for _ in range(5):
        define_streak(org, cycles=100)
    customers = [org.register() for _ in range(3)]
    for customer in customers:
        for group in groups:
            assert group.enrol(customer, "c1") == ACCEPTED
    org.move_clock("2027-06-01T00:00:00Z")
    for customer in customers:
        for group in groups:
            assert len(settled(group, customer)) == 100
