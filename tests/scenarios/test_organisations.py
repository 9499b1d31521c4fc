"""Organisations are worlds of their own; a connected hierarchy shares its customers and its clock."""

from __future__ import annotations

from tests.harness import Org, Service
from tests.scenarios.vocabulary import (
    ACCEPTED,
    GROUP_NOT_FOUND,
    INVALID_USER,
    NOT_ENROLLED,
    SALES,
    TARGET_NOT_FOUND,
    define_group,
    define_milestone,
    months,
    names,
    outcome,
)

CUSTOMER = 345651201


def test_two_organisations_may_have_the_same_customer_ids_and_see_nothing_of_each_other(
    service: Service, org: Org
) -> None:
    other = service.new_org()
    here, there = define_milestone(org), define_milestone(other)
    assert org.register(CUSTOMER) == CUSTOMER
    # Somebody of this id exists, but not here.
    assert there.enrol(CUSTOMER, "c1") == INVALID_USER
    assert other.register(CUSTOMER) == CUSTOMER

    assert here.enrol(CUSTOMER, "c1", initialBalance=1000) == ACCEPTED
    assert here.covered(CUSTOMER) == names(1, 5)
    assert there.covered(CUSTOMER) == []
    assert there.rewards(CUSTOMER) == []
    assert there.journal(CUSTOMER) == []
    assert there.unenrol(CUSTOMER) == NOT_ENROLLED
    assert there.enrol(CUSTOMER, "c2", initialBalance=20) == ACCEPTED
    assert here.values(CUSTOMER) == [1000, 0, 0, 0, 0]
    assert there.values(CUSTOMER) == [0, 20, 0, 0, 0]
    assert there.unenrol(CUSTOMER) == ACCEPTED
    assert here.covered(CUSTOMER) == names(1, 5)


def test_another_organisations_groups_and_targets_are_unknown(service: Service, org: Org) -> None:
    other = service.new_org()
    here, there = define_milestone(org), define_milestone(other)
    org.register(CUSTOMER)
    other.register(CUSTOMER)
    for call in (org.enrol, org.unenrol):
        assert outcome(call(there.group_id, there.target_id, CUSTOMER), CUSTOMER) == GROUP_NOT_FOUND
        assert outcome(call(here.group_id, there.target_id, CUSTOMER), CUSTOMER) == TARGET_NOT_FOUND
    assert there.covered(CUSTOMER) == []


def test_each_organisation_goes_by_its_own_clock(service: Service, org: Org) -> None:
    later = service.new_org(now="2026-08-15T00:00:00Z")
    for each, covered in ((org, names(1, 5)), (later, names(3, 5))):
        abc, ann = define_milestone(each), each.register()
        assert abc.enrol(ann) == ACCEPTED
        assert abc.covered(ann) == covered
    later.move_clock("2026-11-15T00:00:00Z")
    assert org.now() == "2026-06-01T00:00:00Z"


def test_a_connected_hierarchy_shares_its_customers_but_not_their_enrolments(
    service: Service, org: Org
) -> None:
    child = service.new_org(now=None, sandbox=None, parentOrgId=org.id)
    ours, theirs = define_milestone(org), define_milestone(child)
    ann, ben = org.register(), child.register()
    for customer in (ann, ben):
        assert ours.enrol(customer, "c1", initialBalance=10) == ACCEPTED
        assert theirs.enrol(customer, "c2", initialBalance=20) == ACCEPTED
        assert ours.values(customer) == [10, 0, 0, 0, 0]
        assert theirs.values(customer) == [0, 20, 0, 0, 0]
        assert len(ours.journal(customer)) == len(theirs.journal(customer)) == 1
    assert outcome(child.enrol(ours.group_id, ours.target_id, ann), ann) == GROUP_NOT_FOUND


def test_a_child_goes_by_its_parents_clock(service: Service, org: Org) -> None:
    child = service.new_org(now=None, sandbox=None, parentOrgId=org.id)
    theirs, ann = define_milestone(child), org.register()
    org.move_clock("2026-07-15T00:00:00Z")
    assert child.now() == org.now()
    assert theirs.enrol(ann) == ACCEPTED
    assert theirs.covered(ann) == names(2, 5)


def test_in_a_unified_group_each_target_has_members_of_its_own(org: Org) -> None:
    first, second = define_group(
        org, 100, SALES, SALES, trackingType="UNIFIED", combinationType="ALL", periods=months(5)
    )
    ann = org.register()
    assert first.enrol(ann, "c2") == ACCEPTED
    assert second.enrol(ann, "c1") == ACCEPTED
    assert first.covered(ann) == names(2, 5)
    assert first.unenrol(ann) == ACCEPTED
    assert second.covered(ann) == names(1, 5)
