"""Notifications about promotions: what became of a customer in one, and that one was saved (domain:
promotions §7).

An enrolment is `issued` on the wire, and what is issued is `earned`. A direct promotion takes no enrolment,
so its dummy is not notified (§8, Q22). Dates without time are those of the organisation's calendar.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from milepost.rules.calendar import written_date, written_end_date
from milepost.rules.definitions import (
    TARGET_COMPLETED,
    UNLIMITED,
    Definitions,
    Promotion,
    RedemptionLimit,
)
from milepost.rules.envelopes import Data, Notification, event_id, milliseconds
from milepost.rules.gateway_promotions import NAMES_OF_USES
from milepost.rules.notification_blocks import About, request_id, triggering_activity
from milepost.rules.promotions import allocate_points_on, source_type, status
from milepost.rules.scene import Scene, records_of

_MILLISECOND = timedelta(milliseconds=1)


def of_promotion(about: About, scene: Scene) -> Iterator[tuple[str, Data]]:
    """The notification of an entry about a promotion; what expires and what is paid has none."""
    make = _MAKERS.get(scene.reason)
    if make is not None:
        yield make(about, scene)


def promotion_saved(
    definitions: Definitions,
    promotion: Promotion,
    what: str,
    revision: int,
    at: datetime,
    request_id: str,
) -> Notification:
    """`promotionCreated`, or `promotionUpdated`, of a promotion as it was saved at `revision`.

    `what` is CREATED or UPDATED. The end is the last millisecond that is included.
    """
    criteria, org_id = promotion.criteria, definitions.org_id
    created, updated = promotion.created, promotion.updated
    event = criteria.event if criteria is not None else None
    data: Data = {
        "loyaltyProgramId": promotion.program_id,
        "promotionId": promotion.id,
        "promotionName": promotion.name,
        "promotionStartDate": milliseconds(promotion.starts_at),
        "promotionEndDate": milliseconds(promotion.ends_at - _MILLISECOND),
        "externalIdentifier": promotion.identifier or "",
        "type": allocate_points_on(promotion),
        "status": "ACTIVE" if status(promotion, at) in ("LIVE", "UPCOMING") else "INACTIVE",
        "sourceType": source_type(promotion),
        "description": promotion.description,
        "customFields": _custom_fields(promotion),
        "linkedEventId": None,
        "linkedEventName": "TargetCompleted" if event == TARGET_COMPLETED else event,
        "createdOn": milliseconds(created.at if created is not None else at),
        "updatedOn": milliseconds(updated.at if updated is not None else at),
        "updatedBy": updated.credential_id if updated is not None else None,
        "linkedTargetGroupVsTargetRuleIdMap": _linked_targets(definitions, promotion),
    }
    return Notification(
        event_id(f"{org_id}/promotion/{revision}"),
        "promotionCreated" if what == "CREATED" else "promotionUpdated",
        at,
        revision,
        request_id or str(revision),
        data,
    )


def _linked_targets(definitions: Definitions, promotion: Promotion) -> dict[str, list[int]]:
    """The targets of the criteria by the id of their group; of a group as a whole there is none."""
    criteria = promotion.criteria
    found: dict[str, list[int]] = {}
    for group_id in criteria.target_group_ids if criteria is not None else ():
        found[str(group_id)] = []
    for target_id in criteria.target_ids if criteria is not None else ():
        group = definitions.groups_by_target.get(target_id)
        if group is not None:  # else deleted since
            found.setdefault(str(group.id), []).append(target_id)
    return found


def _issued(about: About, scene: Scene) -> tuple[str, Data]:
    return (
        "promotionIssued",
        {
            **_head(scene),
            **_offered(scene),
            **_issued_dates(scene, scene.at),
            **_issue_restrictions(scene),
            **_redemption_restrictions(scene),
            "issualId": scene.details.get("issual"),
            **_triggered(about, "enrolmentIntoPromotion", "ENROL_VIA_API"),
        },
    )


def _earned(about: About, scene: Scene) -> tuple[str, Data]:
    promotion = scene.promotion
    criteria = promotion.criteria if promotion is not None else None
    return (
        "promotionEarned",
        {
            **_head(scene),
            **_offered(scene),
            **_earned_dates(scene, scene.at),
            "issualId": scene.details.get("issual"),
            "earnedId": scene.earn_id,
            **_earn_restrictions(scene),
            **_redemption_restrictions(scene),
            "earnCriteria": criteria.expression if criteria is not None else None,
            **_triggered(about, "issueOfPromotion", "EARN_VIA_API"),
        },
    )


def _issued_revoked(about: About, scene: Scene) -> tuple[str, Data]:
    return (
        "revokeIssuedPromotion",
        {
            **_head(scene),
            **_issued_dates(scene, scene.instant("issuedAt")),
            **_issue_restrictions(scene),
            **_redemption_restrictions(scene),
            "revokedIssualId": scene.details.get("issual"),
            **_triggered(about, "revocationOfPromotionEnrolment", "REVOKE_ENROL_VIA_API"),
        },
    )


def _earned_revoked(about: About, scene: Scene) -> tuple[str, Data]:
    return (
        "revokeEarnedPromotion",
        {
            **_head(scene),
            "revokedEarnedPromotionDetails": [
                {
                    "revokedEarnedId": record.earn_id,
                    **_earned_dates(record, record.instant("earnedAt")),
                }
                for record in records_of(scene)
            ],
            **_earn_restrictions(scene),
            **_redemption_restrictions(scene),
            **_triggered(about, "revocationOfPromotionIssue", "REVOKE_EARN_VIA_API"),
        },
    )


_MAKERS: Mapping[str, Callable[[About, Scene], tuple[str, Data]]] = {
    "PROMOTION_ENROLLED": _issued,
    "PROMOTION_RE_ENROLLED": _issued,
    "PROMOTION_EARNED": _earned,
    "PROMOTION_ENROLMENT_REVOKED": _issued_revoked,
    "PROMOTION_EARN_REVOKED": _earned_revoked,
}


def _head(scene: Scene) -> Data:
    """What every notification says of the promotion; null for one that is not known."""
    promotion, zone = scene.promotion, scene.zone
    if promotion is None:
        nothing = dict.fromkeys(
            (
                "loyaltyProgramId", "promotionName", "promotionStartDate", "promotionEndDate",
                "promotionDescription",
            )
        )  # fmt: skip
        return {**nothing, "promotionId": scene.promotion_id, "customFields": []}
    return {
        "loyaltyProgramId": promotion.program_id,
        "promotionId": promotion.id,
        "promotionName": promotion.name,
        "promotionStartDate": written_date(promotion.starts_at, zone),
        "promotionEndDate": written_end_date(promotion.ends_at, zone),
        "promotionDescription": promotion.description,
        "customFields": _custom_fields(promotion),
    }


def _offered(scene: Scene) -> Data:
    """The promotion's true type (§8, Q23), and how the customer came to it."""
    promotion = scene.promotion
    return {
        "pointsOfferType": promotion.type if promotion is not None else None,
        "promotionEarnSource": "API",
    }


def _custom_fields(promotion: Promotion) -> list[Data]:
    return [{"key": each.get("key"), "value": each.get("value")} for each in promotion.metadata]


def _issued_dates(scene: Scene, issued_at: datetime | None) -> Data:
    return {
        "promotionIssuedDate": _date(issued_at, scene.zone),
        "promotionIssuedExpiryDate": _expiry_date(scene),
    }


def _earned_dates(scene: Scene, earned_at: datetime | None) -> Data:
    return {
        "promotionEarnedDate": _date(earned_at, scene.zone),
        "promotionEarnedExpiryDate": _expiry_date(scene),
    }


def _expiry_date(scene: Scene) -> str | None:
    """The day of an expiry: of one that is the promotion's end the last day that this includes."""
    at = scene.instant("expiresAt")
    if at is not None and scene.promotion is not None and at == scene.promotion.ends_at:
        return written_end_date(at, scene.zone)
    return _date(at, scene.zone)


def _date(at: datetime | None, zone: ZoneInfo) -> str | None:
    return written_date(at, zone) if at is not None else None


def _issue_restrictions(scene: Scene) -> Data:
    promotion = scene.promotion
    found = []
    if promotion is not None:
        most = promotion.limits.issuals_per_customer
        found.append(_restriction("CUSTOMER", "MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER", most))
    return {"issueRestrictions": found}


def _earn_restrictions(scene: Scene) -> Data:
    """The limits of issues, and of the points that one record pays; -1 is none."""
    promotion = scene.promotion
    found = []
    if promotion is not None:
        limits = promotion.limits
        points = [_plain(limit.most) for limit in _limits_of_record(promotion, "POINTS")]
        found = [
            _restriction("CUSTOMER", "MAX_NUMBER_OF_EARNS_PER_CUSTOMER", limits.earns_per_customer),
            _restriction(
                "CUSTOMER", "MAX_POINTS_PER_EARN_PER_CUSTOMER", min(points, default=UNLIMITED)
            ),
        ]
        if limits.earns_per_promotion != UNLIMITED:
            most = limits.earns_per_promotion
            found.append(_restriction("PROMOTION", "MAX_NUMBER_OF_EARNS_PER_PROMOTION", most))
    return {"earnRestrictions": found}


def _redemption_restrictions(scene: Scene) -> Data:
    """The limits of what is paid: of one record, of which the vendor names no scope, and the others."""
    promotion = scene.promotion
    found = []
    if promotion is not None:
        times = [_plain(limit.most) for limit in _limits_of_record(promotion, "TIMES")]
        if promotion.limits.redemptions_per_earn != UNLIMITED:
            times.append(promotion.limits.redemptions_per_earn)
        most = min(times, default=UNLIMITED)
        found.append(_redemption_restriction("", "MAX_REDEMPTIONS_PER_EARN_PER_CUSTOMER", most))
        found += [
            _redemption_restriction(limit.on, kpi, _plain(limit.most), limit.window)
            for limit in promotion.redemption_limits
            if limit.on != "EARN" and (kpi := NAMES_OF_USES.get((limit.kpi, limit.on))) is not None
        ]
    return {"redemptionRestrictions": found}


def _limits_of_record(promotion: Promotion, kpi: str) -> Iterator[RedemptionLimit]:
    return (
        limit for limit in promotion.redemption_limits if (limit.kpi, limit.on) == (kpi, "EARN")
    )


def _restriction(on: str, kpi: str, most: int | Decimal) -> Data:
    return {"limitOn": on, "kpi": kpi, "maxLimit": most}


def _redemption_restriction(
    on: str, kpi: str, most: int | Decimal, window: str | None = None
) -> Data:
    """A window moves with each event, so there is no date at which it begins anew."""
    return {
        "limitOn": on,
        "kpi": kpi,
        "restrictionType": "NON_PERIOD_BASED" if window is None else "PERIOD_BASED",
        "periodType": None if window is None else "MOVING_WINDOW",
        "periodUnit": window,
        "maxLimit": most,
        "restrictionRefreshDate": None,
    }


def _plain(most: Decimal) -> int | Decimal:
    return int(most) if most == most.to_integral_value() else most


def _triggered(about: About, name: str, key: str) -> Data:
    return {"triggeringActivity": triggering_activity(about, name, (key, request_id(about)))}
