"""What customers notice when a marketer changes a milestone that they are in (contract §4, "Edits").

A milestone ABC has five cycles, c1 to c5: June to October 2026.
"""

from __future__ import annotations

import pytest

from tests.harness import Org
from tests.scenarios.vocabulary import (
    ACCEPTED,
    ALREADY_ENROLLED,
    GROUP_NOT_FOUND,
    NOT_ENROLLED,
    PERIOD_NOT_FOUND,
    TARGET_NOT_FOUND,
    Challenge,
    data,
    define_milestone,
    names,
)


def test_a_cycle_added_later_covers_whoever_is_enrolled_and_nobody_else(org: Org) -> None:
    abc = define_milestone(org)
    ann, ben, cid, eve = (org.register() for _ in range(4))
    assert abc.enrol(ann, "c1") == ACCEPTED
    assert abc.enrol(ben, "c5") == ACCEPTED
    assert abc.enrol(cid, "c1") == ACCEPTED
    org.move_clock("2026-08-15T00:00:00Z")
    assert abc.unenrol(cid) == ACCEPTED
    abc.add_cycle("c6", "2026-11-01", "2026-11-30")
    assert abc.covered(ann) == names(1, 6)
    assert abc.covered(ben) == names(5, 6)
    assert abc.covered(cid) == names(1, 2)
    assert abc.covered(eve) == []
    assert abc.enrol(ann, "c6") == ALREADY_ENROLLED
    assert abc.enrol(eve, "c6") == ACCEPTED
    assert abc.covered(eve) == ["c6"]
    assert abc.missing(eve, "c6") == 1000


def test_a_cycle_added_between_two_others_is_covered_by_who_enrolled_before_it(org: Org) -> None:
    spring = {"refCode": "spring", "startDate": "2026-06-01", "endDate": "2026-06-30"}
    autumn = {"refCode": "autumn", "startDate": "2026-09-01", "endDate": "2026-09-30"}
    abc = define_milestone(org, periods=[spring, autumn])
    ann, ben = org.register(), org.register()
    assert abc.enrol(ann, "spring") == ACCEPTED
    assert abc.enrol(ben, "autumn") == ACCEPTED
    abc.add_cycle("summer", "2026-07-15", "2026-08-15")
    assert abc.covered(ann) == ["spring", "summer", "autumn"]
    assert abc.covered(ben) == ["autumn"]


def test_a_longer_running_cycle_can_be_entered_and_left_until_its_new_end(org: Org) -> None:
    abc = define_milestone(org, cycles=1)
    ann, ben = org.register(), org.register()
    org.move_clock("2026-06-20T00:00:00Z")
    assert abc.enrol(ann, "c1", initialBalance=300) == ACCEPTED
    abc.move_end("c1", "2026-07-15")
    org.move_clock("2026-07-10T00:00:00Z")
    assert abc.covered(ann) == ["c1"]
    assert abc.value(ann, "c1") == 300
    assert abc.enrol(ben, "c1") == ACCEPTED
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.covered(ann) == []
    org.move_clock("2026-07-16T00:00:00Z")
    assert abc.enrol(ann, "c1") == PERIOD_NOT_FOUND
    assert abc.unenrol(ben) == NOT_ENROLLED


def test_a_shorter_running_cycle_is_over_at_its_new_end(org: Org) -> None:
    abc = define_milestone(org)
    ann, ben = org.register(), org.register()
    org.move_clock("2026-06-10T00:00:00Z")
    assert abc.enrol(ann, "c1") == ACCEPTED
    abc.move_end("c1", "2026-06-20")
    org.move_clock("2026-06-21T00:00:00Z")
    assert abc.enrol(ben, "c1") == PERIOD_NOT_FOUND
    assert abc.enrol(ben) == ACCEPTED
    assert abc.covered(ben) == names(2, 5)
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.covered(ann) == ["c1"]


def test_what_was_achieved_stays_achieved_when_more_is_asked_for(org: Org) -> None:
    abc = define_milestone(org, asked=1000)
    ann, ben = org.register(), org.register()
    assert abc.enrol(ann, "c1", initialBalance=1000) == ACCEPTED
    ask_for(abc, 1500)
    assert abc.achieved(ann) == ["c1"]
    assert abc.rewards(ann) == [("Voucher", "c1", 1)]
    assert abc.enrol(ben, "c1", initialBalance=1000) == ACCEPTED
    assert abc.achieved(ben) == []
    assert abc.missing(ben, "c1") == 500


def test_nobody_enters_or_leaves_a_group_while_it_is_deactivated(org: Org) -> None:
    abc = define_milestone(org)
    ann, ben = org.register(), org.register()
    assert abc.enrol(ann, "c1", initialBalance=300) == ACCEPTED
    abc.change(active=False)
    assert abc.enrol(ben, "c1") == GROUP_NOT_FOUND
    assert abc.unenrol(ann) == GROUP_NOT_FOUND
    view = f"/v3/users/{ann}/targetGroups?includeInactive=true"
    assert data(org.get(view))["targetGroups"] == []
    (hidden,) = data(org.get(f"{view}&includeInactiveTargets=true"))["targetGroups"]
    assert [row["targetAchievedValue"] for row in hidden["targets"]] == [300, 0, 0, 0, 0]
    # Active again, everything is as it was.
    org.move_clock("2026-07-15T00:00:00Z")
    abc.change(active=True)
    assert abc.covered(ann) == names(1, 5)
    assert abc.value(ann, "c1") == 300
    assert abc.unenrol(ann) == ACCEPTED
    assert abc.covered(ann) == ["c1"]


def test_nobody_enters_or_leaves_a_target_while_it_is_deactivated(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    path = f"/v3/targetGroups/{abc.group_id}/targets/{abc.target_id}"
    data(org.client.delete(path))
    assert abc.enrol(ann, "c1") == TARGET_NOT_FOUND
    assert abc.unenrol(ann) == TARGET_NOT_FOUND
    data(org.client.put(path, json={"active": True}))
    assert abc.covered(ann) == names(1, 5)
    assert abc.enrol(ann, "c1") == ALREADY_ENROLLED
    assert abc.unenrol(ann) == ACCEPTED


def test_a_deleted_group_is_gone_and_its_rewards_stay(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1", initialBalance=1000) == ACCEPTED
    data(org.client.delete(f"/v3/targetGroups/{abc.group_id}"))
    assert abc.enrol(ann, "c1") == GROUP_NOT_FOUND
    assert abc.unenrol(ann) == GROUP_NOT_FOUND
    assert [reward for reward, *_ in abc.rewards(ann)] == ["Voucher"]
    view = f"/v3/users/{ann}/targetGroups?includeInactive=true&includeInactiveTargets=true"
    assert data(org.get(view))["targetGroups"] == []
    # What happened is still told, though nothing of the group is known any more.
    assert len(abc.told(ann)) == 3


@pytest.mark.parametrize("how", ["renamed", "described"])
def test_an_edit_that_moves_nothing_moves_nobody(org: Org, how: str) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c2", initialBalance=20) == ACCEPTED
    before = abc.covered(ann), abc.values(ann)
    abc.change(**({"name": "XYZ"} if how == "renamed" else {"description": "Five cycles"}))
    assert (abc.covered(ann), abc.values(ann)) == before


def ask_for(abc: Challenge, value: int) -> None:
    """Let every cycle ask for another value from now on."""
    path = f"/v3/targetGroups/{abc.group_id}/targets/{abc.target_id}"
    data(abc.org.client.put(path, json={"defaultValues": [{"defaultValue": value}]}))
