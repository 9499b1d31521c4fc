"""Which notifications follow from what happens in promotions, and what they say: domain, promotions §7."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from milepost.rules.definitions import (
    DIRECT,
    ENROL_AND_ISSUE,
    GENERIC,
    TARGET_COMPLETED,
    UNLIMITED,
    Actor,
    Criteria,
    Expiry,
    Promotion,
    TargetGroup,
)
from milepost.rules.effects import ORDINAL_BITS, Entry
from milepost.rules.envelopes import Notification, Recipient, event_id, raw_envelope
from milepost.rules.notification_blocks import Occurrence
from milepost.rules.notifications import notifications
from milepost.rules.promotion_notifications import promotion_saved
from tests.rules.desk import Desk
from tests.rules.entries import loaded
from tests.rules.promotion_samples import (
    PROGRAM,
    PROMOTION,
    at_most,
    completion,
    days,
    offer,
    offering,
    points,
)
from tests.rules.samples import CUSTOMER, GROUP, TARGET, day, milestone

ORG = 1001
RECIPIENT = Recipient(ORG, CUSTOMER, "loyalty", (), {})
METADATA = ({"key": "season", "value": "summer", "brandDefined": True},)
HEAD = {
    "loyaltyProgramId": PROGRAM,
    "promotionId": PROMOTION,
    "promotionName": "Offer 21",
    "promotionStartDate": "2026-06-01",
    "promotionEndDate": "2026-07-10",
    "promotionDescription": "For all",
    "customFields": [{"key": "season", "value": "summer"}],
}
OFFERED = {"pointsOfferType": ENROL_AND_ISSUE, "promotionEarnSource": "API"}
ISSUES = [{"limitOn": "CUSTOMER", "kpi": "MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER", "maxLimit": 3}]
EARNS = [
    {"limitOn": "CUSTOMER", "kpi": "MAX_NUMBER_OF_EARNS_PER_CUSTOMER", "maxLimit": 2},
    {"limitOn": "CUSTOMER", "kpi": "MAX_POINTS_PER_EARN_PER_CUSTOMER", "maxLimit": -1},
]


def redemption(on: str, kpi: str, most: int, unit: str | None = None) -> dict[str, object]:
    return {
        "limitOn": on,
        "kpi": kpi,
        "restrictionType": "PERIOD_BASED" if unit else "NON_PERIOD_BASED",
        "periodType": "MOVING_WINDOW" if unit else None,
        "periodUnit": unit,
        "maxLimit": most,
        "restrictionRefreshDate": None,
    }


REDEMPTIONS = [redemption("", "MAX_REDEMPTIONS_PER_EARN_PER_CUSTOMER", 1)]


def club(kind: str = ENROL_AND_ISSUE, **others: Any) -> Promotion:
    """A promotion of June until 10 July, that day included."""
    fields: dict[str, Any] = {
        "ends": 40, "issuals": 3, "earns": 2, "description": "For all", "metadata": METADATA,
    }  # fmt: skip
    return offer(kind, **{**fields, **others})


def triggering(name: str, key: str) -> dict[str, object]:
    return {
        "name": name,
        "identifiers": [{"key": key, "value": "req-1"}],
        "enteredBy": {},
        "entityInformation": {"entityType": "CUSTOMER", "entityId": CUSTOMER},
        "additionalAttributes": [],
    }


def desk_of(*parts: Promotion | TargetGroup, zone: str = "UTC") -> Desk:
    return Desk(offering(*parts, zone=zone), frozenset({CUSTOMER}))


def notified(desk: Desk) -> list[Notification]:
    """The notifications of everything that happened at the desk, each entry the next in the journal."""
    return [
        notification
        for place, (_, entry) in enumerate(desk.journal)
        for notification in notifications(
            Occurrence(5 << ORDINAL_BITS | place, 5, place, loaded(entry), None, "req-1"),
            RECIPIENT,
            desk.defined,
        )
    ]


def data(notification: Notification) -> dict[str, Any]:
    """What the notification says beside who the customer is."""
    found = dict(notification.data)
    assert found.pop("customerIdentifiers") == {"customerId": CUSTOMER, "loyaltyType": "loyalty"}
    json.dumps(found)
    return found


def test_an_enrolment_is_notified_as_issued() -> None:
    desk = desk_of(club(issual_expiry=days(5)))
    desk.wait(1.5)
    desk.enrol()
    (found,) = notified(desk)
    assert found.name == "promotionIssued"
    assert data(found) == {
        **HEAD,
        **OFFERED,
        "promotionIssuedDate": "2026-06-02",
        "promotionIssuedExpiryDate": "2026-06-07",
        "issueRestrictions": ISSUES,
        "redemptionRestrictions": REDEMPTIONS,
        "issualId": 1,
        "triggeringActivity": triggering("enrolmentIntoPromotion", "ENROL_VIA_API"),
    }


def test_an_enrolment_that_replaces_another_is_notified_alike() -> None:
    desk = desk_of(club())
    desk.enrol()
    desk.enrol()
    found = notified(desk)
    assert [each.name for each in found] == ["promotionIssued"] * 2
    assert [data(each)["issualId"] for each in found] == [1, 2]


def test_an_issue_is_notified_as_earned() -> None:
    desk = desk_of(club(expression="big", earn_expiry=days(5)))
    desk.enrol()
    desk.wait(1)
    desk.earn()
    found = notified(desk)[-1]
    assert found.name == "promotionEarned"
    assert data(found) == {
        **HEAD,
        **OFFERED,
        "promotionEarnedDate": "2026-06-02",
        "promotionEarnedExpiryDate": "2026-06-07",
        "issualId": 1,
        "earnedId": 1,
        "earnRestrictions": EARNS,
        "redemptionRestrictions": REDEMPTIONS,
        "earnCriteria": "big",
        "triggeringActivity": triggering("issueOfPromotion", "EARN_VIA_API"),
    }


def test_q22_the_issue_of_a_direct_promotion_is_notified_as_earned_only() -> None:
    desk = desk_of(club(DIRECT))
    desk.earn()
    (found,) = notified(desk)
    assert found.name == "promotionEarned"
    told = data(found)
    assert told["pointsOfferType"] == DIRECT  # Q23
    assert (told["issualId"], told["earnedId"]) == (1, 1)


def test_a_revoked_enrolment_is_notified() -> None:
    desk = desk_of(club())
    desk.enrol()
    desk.wait(2)
    desk.revoke_enrol()
    found = notified(desk)[-1]
    assert found.name == "revokeIssuedPromotion"
    assert data(found) == {
        **HEAD,
        "promotionIssuedDate": "2026-06-01",
        "promotionIssuedExpiryDate": "2026-07-10",
        "issueRestrictions": ISSUES,
        "redemptionRestrictions": REDEMPTIONS,
        "revokedIssualId": 1,
        "triggeringActivity": triggering("revocationOfPromotionEnrolment", "REVOKE_ENROL_VIA_API"),
    }


def test_records_that_are_revoked_together_are_one_notification() -> None:
    desk = desk_of(club(DIRECT, earn_expiry=days(3)))
    desk.earn()
    desk.wait(1)
    desk.earn()
    desk.revoke_earn()
    found = notified(desk)[-1]
    assert found.name == "revokeEarnedPromotion"
    assert data(found) == {
        **HEAD,
        "revokedEarnedPromotionDetails": [
            {
                "revokedEarnedId": number,
                "promotionEarnedDate": f"2026-06-0{number}",
                "promotionEarnedExpiryDate": f"2026-06-0{number + 3}",
            }
            for number in (1, 2)
        ],
        "earnRestrictions": EARNS,
        "redemptionRestrictions": REDEMPTIONS,
        "triggeringActivity": triggering("revocationOfPromotionIssue", "REVOKE_EARN_VIA_API"),
    }


def test_what_expires_and_what_is_paid_is_not_notified() -> None:
    desk = desk_of(club(issual_expiry=days(2)), completion(promotion_id=22), milestone(rewards=()))
    desk.enrol()
    desk.earn()
    desk.join(TARGET, "c1")
    desk.buy(1000)
    desk.wait(3)
    names = [each.name for each in notified(desk)]
    assert [name for name in names if "romotion" in name] == ["promotionIssued", "promotionEarned"]
    assert len(names) == 5  # and the milestone's: enrolled, updated, achieved


@pytest.mark.parametrize(
    ("zone", "issued", "expires", "last"),
    [
        ("UTC", "2026-06-01T23:00:00", "2026-07-11T00:00:00", "2026-07-10"),
        ("UTC", "2026-06-01T23:00:00", "2026-07-08T23:00:00", "2026-07-08"),
        ("Asia/Kolkata", "2026-06-01T23:00:00", "2026-07-08T23:00:00", "2026-07-09"),
        ("America/New_York", "2026-06-01T03:00:00", "2026-07-08T03:00:00", "2026-07-07"),
        # A whole number of days after a midnight is no end of a promotion.
        ("UTC", "2026-06-01T00:00:00", "2026-07-08T00:00:00", "2026-07-08"),
    ],
)
def test_dates_are_the_organisations_and_the_end_of_the_promotion_is_its_last_day(
    zone: str, issued: str, expires: str, last: str
) -> None:
    at, until = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (issued, expires))
    details = {"promotion": PROMOTION, "issual": 7, "expiresAt": until.isoformat()}
    entry = Entry(at, "ENROLLED", "PROMOTION_ENROLLED", details=details)
    (found,) = notifications(
        Occurrence(1, 1, 1, entry, None, "r"), RECIPIENT, offering(club(), zone=zone)
    )
    told = data(found)
    assert told["promotionIssuedDate"] == f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d}"
    assert told["promotionIssuedExpiryDate"] == last


def test_restrictions_have_the_stored_names_of_the_limits() -> None:
    limits = (
        at_most("POINTS", "EVENT", 10),
        at_most("POINTS", "CUSTOMER", 20, "WEEKLY"),
        at_most("POINTS", "PROMOTION", 30),
        at_most("TIMES", "CUSTOMER", 4, "MONTHLY"),
        at_most("TIMES", "PROMOTION", 5, "DAILY"),
        at_most("POINTS", "EARN", 60),
        at_most("TIMES", "EARN", 7),
    )
    desk = desk_of(
        club(DIRECT, of_all=100, each=UNLIMITED, limits=limits, rewards=(points(5),)),
    )
    desk.earn()
    told = data(notified(desk)[-1])
    assert told["earnRestrictions"] == [
        EARNS[0],
        {"limitOn": "CUSTOMER", "kpi": "MAX_POINTS_PER_EARN_PER_CUSTOMER", "maxLimit": 60},
        {"limitOn": "PROMOTION", "kpi": "MAX_NUMBER_OF_EARNS_PER_PROMOTION", "maxLimit": 100},
    ]
    assert told["redemptionRestrictions"] == [
        redemption("", "MAX_REDEMPTIONS_PER_EARN_PER_CUSTOMER", 7),
        redemption("EVENT", "MAX_ALLOWED_POINTS_PER_EVENT", 10),
        redemption("CUSTOMER", "MAX_ALLOWED_POINTS_PER_CUSTOMER", 20, "WEEKLY"),
        redemption("PROMOTION", "MAX_ALLOWED_POINTS_PER_PROMOTION", 30),
        redemption("CUSTOMER", "MAX_ALLOWED_TIMES_PER_CUSTOMER", 4, "MONTHLY"),
        redemption("PROMOTION", "MAX_ALLOWED_TIMES_PER_PROMOTION", 5, "DAILY"),
    ]


def test_a_promotion_without_criteria_has_none_and_one_that_is_not_known_only_its_id() -> None:
    desk = desk_of(club(DIRECT, event=None))
    desk.earn()
    assert data(notified(desk)[-1])["earnCriteria"] is None
    desk.defined = offering()
    told = data(notified(desk)[-1])
    assert (told["promotionId"], told["earnedId"]) == (PROMOTION, 1)
    assert (told["promotionName"], told["pointsOfferType"]) == (None, None)
    assert (told["earnRestrictions"], told["redemptionRestrictions"]) == ([], [])


# Of the organisation's own


MADE, CHANGED = Actor(11, day(1)), Actor(12, day(2.5))


def saved(promotion: Promotion, *groups: TargetGroup, at: float = 3, what: str = "CREATED") -> Any:
    """What is notified of a promotion as it was saved on a day."""
    promotion = replace(promotion, created=MADE, updated=CHANGED)
    return promotion_saved(offering(*groups), promotion, what, 17, day(at), "req-1")


def ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def test_a_saved_promotion_is_notified_with_what_it_is() -> None:
    found = saved(
        club(GENERIC, identifier="summer", vendor={"promotionSourceType": "USER_CREATED"})
    )
    assert found.name == "promotionCreated"
    assert found.data == {
        "loyaltyProgramId": PROGRAM,
        "promotionId": PROMOTION,
        "promotionName": "Offer 21",
        "promotionStartDate": ms(day(0)),
        "promotionEndDate": ms(day(40) - timedelta(milliseconds=1)),
        "externalIdentifier": "summer",
        "type": "BILL",
        "status": "ACTIVE",
        "sourceType": "USER_CREATED",
        "description": "For all",
        "customFields": [{"key": "season", "value": "summer"}],
        "linkedEventId": None,
        "linkedEventName": "TransactionAdd",
        "createdOn": ms(day(1)),
        "updatedOn": ms(day(2.5)),
        "updatedBy": 12,
        "linkedTargetGroupVsTargetRuleIdMap": {},
    }
    envelope = raw_envelope(found, ORG)
    assert (envelope["eventLogId"], envelope["createdAt"]) == (17, ms(day(3)))
    assert (envelope["apiRequestId"], envelope["refId"]) == ("req-1", "1001_req-1")


def test_its_id_follows_from_the_organisation_and_the_revision() -> None:
    assert saved(club()).id == event_id("1001/promotion/17")
    assert saved(club()).id == saved(club(active=False), what="UPDATED").id
    assert saved(club(), what="UPDATED").name == "promotionUpdated"


@pytest.mark.parametrize(
    ("fields", "at", "status"),
    [
        ({}, 3, "ACTIVE"),
        ({}, -3, "ACTIVE"),  # upcoming
        ({}, 40, "INACTIVE"),  # over
        ({"active": False}, 3, "INACTIVE"),
        ({"state": "DRAFT"}, 3, "INACTIVE"),
        ({"state": "PENDING_APPROVAL"}, 3, "INACTIVE"),
        ({"state": "PAUSED"}, 3, "INACTIVE"),
        ({"state": "STOPPED"}, 3, "INACTIVE"),
    ],
)
def test_its_status_is_active_or_inactive_and_nothing_else(
    fields: dict[str, Any], at: float, status: str
) -> None:
    assert saved(club(**fields), at=at).data["status"] == status


@pytest.mark.parametrize(
    ("event", "vendor", "named", "kind"),
    [
        ("TransactionAdd", {}, "TransactionAdd", "BILL"),
        ("TransactionAdd", {"allocatePointsOn": "LINEITEM"}, "TransactionAdd", "LINEITEM"),
        ("runLogged", {}, "runLogged", "CUSTOMER"),
        (TARGET_COMPLETED, {}, "TargetCompleted", "CUSTOMER"),
        (None, {}, None, "CUSTOMER"),
    ],
)
def test_its_event_has_the_vendors_name(
    event: str | None, vendor: dict[str, Any], named: str | None, kind: str
) -> None:
    found = saved(club(event=event, vendor=vendor)).data
    assert (found["linkedEventName"], found["type"]) == (named, kind)


@pytest.mark.parametrize(
    ("groups", "targets", "linked"),
    [
        ((), (), {}),
        ((GROUP,), (), {"7": []}),
        ((), (TARGET,), {"7": [70]}),
        ((GROUP, 8), (TARGET, 80), {"7": [70], "8": [80]}),
        ((9,), (TARGET, 4711), {"9": [], "7": [70]}),
    ],
)
def test_its_targets_are_told_by_their_groups(
    groups: tuple[int, ...], targets: tuple[int, ...], linked: dict[str, list[int]]
) -> None:
    promotion = completion(groups=groups, targets=targets)
    found = saved(promotion, milestone(), milestone(group_id=8))
    assert found.data["linkedTargetGroupVsTargetRuleIdMap"] == linked


def test_what_a_promotion_lacks_is_empty_or_null() -> None:
    bare = Promotion(1, PROGRAM, "Bare", GENERIC, day(0), day(1), issual_expiry=Expiry())
    bare = replace(bare, criteria=Criteria("runLogged"))
    found = promotion_saved(offering(), bare, "UPDATED", 3, day(0.5), "")
    assert (found.data["externalIdentifier"], found.data["sourceType"]) == ("", "PROMOTION_API")
    assert (found.data["createdOn"], found.data["updatedBy"]) == (ms(day(0.5)), None)
    assert found.request_id == "3"
