"""A promotion in the gateway's form, sent and shown: domain: promotions §1.2, §1.5, §1.6, §2.1, §3.5."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import (
    ACTION_INVALID,
    END_DATE_MISSING,
    FILTER_INVALID,
    INVALID_INPUT,
    ONE_RULESET_REQUIRED,
    RULESET_INVALID,
    SOURCE_TYPE_MISSING,
    START_DATE_MISSING,
    TARGETS_MISSING,
    Error,
    Refusal,
)
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
    RedemptionLimit,
)
from milepost.rules.gateway_promotions import (
    EARNS,
    EXPIRIES,
    ISSUALS,
    REDEMPTIONS,
    RESTRICTIONS,
    GatewayDraft,
    Restriction,
    read_gateway_draft,
)
from milepost.rules.gateway_views import (
    earning_type,
    shown_dates,
    shown_limits,
    shown_restrictions,
    shown_rulesets,
    written_update,
)
from milepost.rules.promotion_edits import LimitsDraft, PromotionDraft, define_promotion
from milepost.rules.promotions import allocate_points_on
from tests.rules.drafts import accepted, refused
from tests.rules.promotion_samples import PROGRAM, at_most, days, offer, offering
from tests.rules.samples import day

KOLKATA = ZoneInfo("Asia/Kolkata")
AMOUNT_TREE = json.dumps(
    {
        "arity": "binary_operation",
        "value": ">=",
        "operands": [
            {
                "arity": "object_dereference",
                "operands": [
                    {"arity": "name", "value": "currentTxn"},
                    {"arity": "name", "value": "value"},
                ],
            },
            {"arity": "literal", "value": "50", "type": "number"},
        ],
    }
)
SENT = GatewayDraft(
    PROGRAM,
    name="Ten visits",
    identifier="ten-visits",
    start_date="2026-06-01T12:00:00+01:00",
    end_date="2026-06-25T12:00:00+01:00",
    event="TRANSACTIONADD",
    offer_type="LOYALTY_EARNING",
    source_type="PROMOTION_API",
)
USER_CREATED = replace(
    SENT,
    source_type="USER_CREATED",
    event="TARGETCOMPLETED",
    target_group_ids=(7,),
    target_ids=(70,),
    rulesets=[{"rules": [{"exp": "true"}]}],
)


def is_cel(text: str) -> bool:
    return "!!" not in text


def read(sent: GatewayDraft = SENT, **fields: Any) -> PromotionDraft | Refusal:
    return read_gateway_draft(replace(sent, **fields), KOLKATA, is_cel)


def draft(sent: GatewayDraft = SENT, **fields: Any) -> PromotionDraft:
    return accepted(read(sent, **fields))


def rule(**fields: Any) -> list[dict[str, Any]]:
    """One ruleset with one rule."""
    return [{"rules": [fields]}]


def restricted(*restrictions: Restriction, place: str = REDEMPTIONS) -> dict[str, Any]:
    return {"restrictions": {place: restrictions}}


def limit(name: str, value: Any = 3, **fields: Any) -> Restriction:
    return Restriction(name, Decimal(value), **fields)


def weekly(name: str, value: int = 3) -> Restriction:
    return limit(
        name, value, type="PERIOD_BASED", period_type="MOVING_WINDOW", period_unit="WEEKLY"
    )


# What is meant


def test_a_promotion_is_named_and_dated_and_listens_to_its_event() -> None:
    made = draft()
    assert made == PromotionDraft(
        PROGRAM,
        "Ten visits",
        ENROL_AND_ISSUE,
        datetime(2026, 5, 31, 18, 30, tzinfo=UTC),
        datetime(2026, 6, 25, 18, 30, tzinfo=UTC),
        "ten-visits",
        limits=LimitsDraft(redemptions_per_earn=100),
        criteria=Criteria("TRANSACTIONADD"),
        redemption_limits=(),
        vendor={
            "promotionSourceType": "PROMOTION_API",
            "loyaltyEarningType": None,
            "rulesetInfos": None,
        },
    )


@pytest.mark.parametrize(
    ("start", "end", "starts_on", "ends_on"),
    [
        ("2026-06-01T00:00:00+05:30", "2026-06-02T23:59:59+05:30", 1, 3),
        ("2026-06-01T23:59:59.999+05:30", "2026-06-01T23:59:59.999+05:30", 1, 2),
        ("2026-06-01T18:29:59Z", "2026-06-01T18:30:00Z", 1, 3),
        ("2026-06-01T18:30:00Z", "2026-06-02T00:00:00+05:30", 2, 3),
    ],
)
def test_dates_become_whole_days_of_the_organisation(
    start: str, end: str, starts_on: int, ends_on: int
) -> None:
    made = draft(start_date=start, end_date=end)
    expected = [datetime(2026, 6, number, tzinfo=KOLKATA) for number in (starts_on, ends_on)]
    assert [made.starts_at, made.ends_at] == expected


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("DIRECT", "DIRECT_EARN"),
        ("direct_earn", "DIRECT_EARN"),
        ("ISSUE_AND_EARN", "ISSUE_AND_EARN"),
    ],
)
def test_how_it_is_earned_is_kept_beside_the_type_which_decides(sent: str, kept: str) -> None:
    made = draft(earning_type=sent, offer_type="loyalty")
    assert (made.type, (made.vendor or {})["loyaltyEarningType"]) == (DIRECT, kept)


def test_what_only_has_to_be_kept_is_kept() -> None:
    made = draft(kept={"allocatePointsOn": "BILL"}, rulesets=rule(exp="a", caseToActions={}))
    assert made.vendor is not None
    assert made.vendor["allocatePointsOn"] == "BILL"
    assert made.vendor["rulesetInfos"] == rule(exp="a", caseToActions={})


def test_targets_narrow_what_is_paid_for() -> None:
    assert draft(USER_CREATED).criteria == Criteria(TARGET_COMPLETED, "true", (7,), (70,))


# Conditions


@pytest.mark.parametrize(
    ("rulesets", "expression"),
    [
        (None, "true"),
        ([], "true"),
        (rule(exp="currentTxn.value >= 50.0"), "currentTxn.value >= 50.0"),
        (rule(exp="  large \n", expJSON=None), "large"),
        (rule(exp="large", expJSON=AMOUNT_TREE), "large"),
        (rule(exp="", expJSON=AMOUNT_TREE), "currentTxn.value >= 50"),
        (rule(exp=None, expJSON=AMOUNT_TREE), "currentTxn.value >= 50"),
        (rule(exp="no CEL!!", expJSON=AMOUNT_TREE), "currentTxn.value >= 50"),
        (rule(exp="no CEL!!"), "no CEL!!"),
        (rule(exp="large", expJSON="no JSON", isActive=True), "large"),
    ],
)
def test_the_condition_is_exp_where_it_is_one_and_else_the_tree(
    rulesets: Any, expression: str
) -> None:
    criteria = draft(rulesets=rulesets).criteria
    assert criteria is not None
    assert criteria.expression == expression


@pytest.mark.parametrize(
    "filters",
    [
        None,
        [],
        [{"filterName": "LoyaltyType"}, {"name": "EventSource"}],
        [{"unknown": "key"}],
        "LoyaltyType",
    ],
)
def test_known_filters_of_a_ruleset_are_kept(filters: Any) -> None:
    draft(rulesets=[{"rules": [{"exp": "true"}], "filterInfo": filters}])


ACTION = {"actionName": "Issue points", "mandatoryPropertiesValues": {"points": "5"}}
RULESETS_REFUSED: dict[str, tuple[Any, Error, str]] = {
    "two": (rule(exp="true") * 2, ONE_RULESET_REQUIRED, ""),
    "a text": ("true", RULESET_INVALID, "rulesetInfos"),
    "an object": ({"rules": []}, RULESET_INVALID, "rulesetInfos"),
    "no object": ([5], RULESET_INVALID, "rulesetInfos[0]"),
    "no rules": ([{}], RULESET_INVALID, "rules"),
    "rules as object": ([{"rules": {}}], RULESET_INVALID, "rules"),
    "no rule": ([{"rules": []}], RULESET_INVALID, "rules"),
    "two rules": ([{"rules": [{"exp": "a"}, {"exp": "b"}]}], RULESET_INVALID, "rules"),
    "a rule as text": ([{"rules": ["true"]}], RULESET_INVALID, "rules"),
    "a rule that is off": (rule(exp="true", isActive=False), RULESET_INVALID, "isActive"),
    "no condition": (rule(), RULESET_INVALID, "exp or expJSON is required"),
    "a blank condition": (rule(exp=" ", expJSON=" "), RULESET_INVALID, "exp or expJSON"),
    "a condition as number": (rule(exp=1), RULESET_INVALID, "must be texts"),
    "a tree as object": (rule(expJSON={"arity": "literal"}), RULESET_INVALID, "must be texts"),
    "a tree that is too long": (rule(expJSON="x" * 20_001), RULESET_INVALID, "too long"),
    "a tree that says nothing here": (
        rule(expJSON='{"arity": "ternary"}'),
        INVALID_INPUT,
        "cannot be translated",
    ),
    "no JSON": (rule(exp="!!", expJSON="{"), INVALID_INPUT, "cannot be translated"),
    "an unknown filter": (
        [{"rules": [{"exp": "true"}], "filterInfo": [{"filterName": "Weather"}]}],
        FILTER_INVALID,
        "LoyaltyType",
    ),
    "an unknown filter by its short key": (
        [{"rules": [{"exp": "true"}], "filterInfo": [{"name": ["LoyaltyType"]}]}],
        FILTER_INVALID,
        "",
    ),
    "a filter as text": (
        [{"rules": [{"exp": "true"}], "filterInfo": ["Weather"]}],
        FILTER_INVALID,
        "",
    ),
    "actions as list": (rule(exp="true", caseToActions=[]), RULESET_INVALID, "caseToActions"),
    "a case that is no list": (
        rule(exp="true", caseToActions={"true": ACTION}),
        RULESET_INVALID,
        "caseToActions",
    ),
    "an action as text": (
        rule(exp="true", caseToActions={"true": ["points"]}),
        ACTION_INVALID,
        "actionName",
    ),
    "an action without name": (
        rule(exp="true", caseToActions={"true": [{**ACTION, "actionName": " "}]}),
        ACTION_INVALID,
        "actionName",
    ),
    "an action without properties": (
        rule(exp="true", caseToActions={"false": [ACTION, {"actionName": "Issue points"}]}),
        ACTION_INVALID,
        "mandatoryPropertiesValues",
    ),
}


@pytest.mark.parametrize(
    ("rulesets", "error", "reason"), RULESETS_REFUSED.values(), ids=RULESETS_REFUSED
)
def test_rulesets_that_say_nothing_certain_are_refused(
    rulesets: Any, error: Error, reason: str
) -> None:
    assert reason in refused(read(rulesets=rulesets), error)


def test_actions_are_kept() -> None:
    draft(rulesets=rule(exp="true", caseToActions={"true": [ACTION, ACTION], "false": []}))


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "true", AMOUNT_TREE, "LoyaltyType", "x!!"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["rules", "exp", "expJSON", "isActive", "filterInfo", "filterName", "name",
                 "caseToActions", "true", "actionName", "mandatoryPropertiesValues"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@given(JUNK)
def test_whatever_rulesets_hold_they_are_read_or_refused(junk: Any) -> None:
    wrapped = ([{"rules": [junk]}], [{"rules": [{"exp": "true"}], "filterInfo": junk}])
    for rulesets in (junk, [junk], [{"rules": junk}], *wrapped):
        made = read(rulesets=rulesets)
        if not isinstance(made, Refusal):
            promotion = offer(vendor={"rulesetInfos": rulesets}, criteria=Criteria("a", "other"))
            assert len(shown_rulesets(promotion)) == 1


# What must be said

SAID_REFUSED: dict[str, tuple[dict[str, Any], Error, str]] = {
    "no start": ({"start_date": None}, START_DATE_MISSING, ""),
    "no end": ({"end_date": None}, END_DATE_MISSING, ""),
    "no source type": ({"source_type": None}, SOURCE_TYPE_MISSING, ""),
    "an unknown source type": ({"source_type": "UI"}, SOURCE_TYPE_MISSING, "PROMOTION_API"),
    "no name": ({"name": None}, INVALID_INPUT, "name: is required"),
    "no event": ({"event": None}, INVALID_INPUT, "eventName: is required"),
    "no type": ({"offer_type": None}, INVALID_INPUT, "pointsOfferType"),
    "an unknown type": ({"offer_type": "LOTTERY"}, INVALID_INPUT, "pointsOfferType"),
    "an unknown way to earn": ({"earning_type": "GIFT"}, INVALID_INPUT, "loyaltyEarningType"),
    "an id": ({"id": 57099}, INVALID_INPUT, "id: must be -1"),
    "a start that is no date": ({"start_date": "soon"}, INVALID_INPUT, "startDate: "),
    "a start without offset": ({"start_date": "2026-06-01"}, INVALID_INPUT, "startDate: "),
    "an end that is no date": ({"end_date": "2026-02-30T00:00:00Z"}, INVALID_INPUT, "endDate: "),
    "an end before the start on one day": (
        {"start_date": "2026-06-01T12:00:00Z", "end_date": "2026-06-01T11:00:00Z"},
        INVALID_INPUT,
        "endDate: must not be before",
    ),
    "conditions that are not known here": (
        {"conditions": [{"C1": {"kpi": "AMOUNT"}}]},
        INVALID_INPUT,
        "qualifyingConditions",
    ),
}


@pytest.mark.parametrize(("fields", "error", "reason"), SAID_REFUSED.values(), ids=SAID_REFUSED)
def test_what_must_be_said_is_refused_by_its_own_code(
    fields: dict[str, Any], error: Error, reason: str
) -> None:
    assert reason in refused(read(**fields), error)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"target_group_ids": ()}, TARGETS_MISSING),
        ({"target_ids": ()}, TARGETS_MISSING),
        ({"rulesets": []}, ONE_RULESET_REQUIRED),
        ({"rulesets": None}, ONE_RULESET_REQUIRED),
        ({"target_ids": (), "rulesets": []}, TARGETS_MISSING),
        ({"target_ids": (), "start_date": None}, START_DATE_MISSING),
        ({"end_date": None, "start_date": None}, START_DATE_MISSING),
    ],
)
def test_a_user_created_promotion_names_targets_and_has_one_ruleset(
    fields: dict[str, Any], error: Error
) -> None:
    refused(read(USER_CREATED, **fields), error)


@pytest.mark.parametrize("sent", [None, -1, 0])
def test_a_new_promotion_has_no_id_yet(sent: int | None) -> None:
    draft(id=sent, conditions=[])


# Limits

MEANT: dict[str, tuple[Restriction, LimitsDraft, tuple[RedemptionLimit, ...]]] = {
    "enrolments": (
        limit("MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER"),
        LimitsDraft(3, redemptions_per_earn=100),
        (),
    ),
    "earns": (
        limit("max_number_of_earns_per_customer", type="non_period_based"),
        LimitsDraft(None, 3, redemptions_per_earn=100),
        (),
    ),
    "earns of all": (
        limit("MAX_NUMBER_OF_EARNS_PER_PROMOTION", -1),
        LimitsDraft(None, None, -1, 100),
        (),
    ),
    "redemptions of a record": (
        limit("MAX_REDEMPTIONS_PER_EARN_PER_CUSTOMER", -1),
        LimitsDraft(redemptions_per_earn=-1),
        (),
    ),
    **{
        name: (limit(name), LimitsDraft(redemptions_per_earn=100), (at_most(kpi, on, 3),))
        for name, kpi, on in (
            ("MAX_POINTS_PER_EARN_PER_CUSTOMER", "POINTS", "EARN"),
            ("MAX_ALLOWED_POINTS_PER_EVENT", "POINTS", "EVENT"),
            ("MAX_ALLOWED_POINTS_PER_CUSTOMER", "POINTS", "CUSTOMER"),
            ("MAX_ALLOWED_POINTS_PER_PROMOTION", "POINTS", "PROMOTION"),
            ("MAX_ALLOWED_TIMES_PER_CUSTOMER", "TIMES", "CUSTOMER"),
            ("MAX_ALLOWED_TIMES_PER_PROMOTION", "TIMES", "PROMOTION"),
        )
    },
    "a week": (
        weekly("MAX_ALLOWED_TIMES_PER_CUSTOMER"),
        LimitsDraft(redemptions_per_earn=100),
        (at_most("TIMES", "CUSTOMER", 3, "WEEKLY"),),
    ),
    "a day without saying so": (
        limit("MAX_ALLOWED_POINTS_PER_CUSTOMER", period_unit="daily"),
        LimitsDraft(redemptions_per_earn=100),
        (at_most("POINTS", "CUSTOMER", 3, "DAILY"),),
    ),
    "a period that is not meant": (
        limit("MAX_ALLOWED_POINTS_PER_CUSTOMER", type="NON_PERIOD_BASED", period_unit="DAILY"),
        LimitsDraft(redemptions_per_earn=100),
        (at_most("POINTS", "CUSTOMER", 3),),
    ),
    "no limit": (
        weekly("MAX_ALLOWED_TIMES_PER_CUSTOMER", -1),
        LimitsDraft(redemptions_per_earn=100),
        (),
    ),
}


@pytest.mark.parametrize(("sent", "limits", "uses"), MEANT.values(), ids=MEANT)
@pytest.mark.parametrize("place", RESTRICTIONS)
def test_a_restriction_is_known_by_its_stored_name_in_whichever_list_it_stands(
    place: str, sent: Restriction, limits: LimitsDraft, uses: tuple[RedemptionLimit, ...]
) -> None:
    made = draft(**restricted(sent, place=place))
    assert (made.limits, made.redemption_limits) == (limits, uses)


RESTRICTIONS_REFUSED: dict[str, tuple[Restriction, str]] = {
    "an unknown name": (limit("MAX_NUMBER_OF_COFFEES"), "redemptionRestrictions[1].name"),
    "no name": (limit(""), "redemptionRestrictions[1].name"),
    "no value": (
        Restriction("MAX_ALLOWED_TIMES_PER_CUSTOMER"),
        "redemptionRestrictions[1].value: is required",
    ),
    "no number": (
        limit("MAX_ALLOWED_TIMES_PER_CUSTOMER", "sNaN"),
        "redemptionRestrictions[1].value: must be a number",
    ),
    "half an enrolment": (limit("MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER", "1.5"), "must be 1 to"),
    "endless enrolments": (limit("MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER", "Infinity"), "must be 1 to"),
    "a huge number": (limit("MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER", "1e999999"), "must be 1 to"),
    "-2": (limit("MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER", -2), "must be 1 to 1,000,000,000, or -1"),
    "enrolments a week": (
        weekly("MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER"),
        "redemptionRestrictions[1].type: must be NON_PERIOD_BASED",
    ),
    "an unknown kind": (
        limit("MAX_ALLOWED_TIMES_PER_CUSTOMER", type="SOMETIMES"),
        "redemptionRestrictions[1].type: must be PERIOD_BASED or",
    ),
    "a fixed window": (
        weekly("MAX_ALLOWED_TIMES_PER_CUSTOMER")._replace(period_type="FIXED_WINDOW"),
        "redemptionRestrictions[1].periodType: must be MOVING_WINDOW",
    ),
    "a year": (
        weekly("MAX_ALLOWED_TIMES_PER_CUSTOMER")._replace(period_unit="YEARLY"),
        "redemptionRestrictions[1].periodUnit: must be DAILY, WEEKLY, MONTHLY",
    ),
    "a period without length": (
        weekly("MAX_ALLOWED_TIMES_PER_CUSTOMER")._replace(period_unit=None),
        "redemptionRestrictions[1].periodUnit: must be",
    ),
    "another expiry": (
        limit("EARN_PROMOTION_EXPIRY_BASED_ON", type="NEVER"),
        "redemptionRestrictions[1].type: must be one of PROMOTION, CUSTOM",
    ),
    "an expiry without type": (limit("EARN_PROMOTION_EXPIRY_BASED_ON"), "[1].type: must be one"),
    "an expiry without days": (
        Restriction("EARN_PROMOTION_EXPIRY_BASED_ON", None, "CUSTOM"),
        "redemptionRestrictions[1].value: must be a number of days",
    ),
    "half a day": (
        limit("EARN_PROMOTION_EXPIRY_BASED_ON", "0.5", type="CUSTOM"),
        "redemptionRestrictions[1].value: must be a number of days",
    ),
    "the same otherwise": (
        limit("MAX_NUMBER_OF_EARNS_PER_CUSTOMER", 8),
        "redemptionRestrictions[1]: says otherwise than before",
    ),
}


@pytest.mark.parametrize(
    ("sent", "reason"), RESTRICTIONS_REFUSED.values(), ids=RESTRICTIONS_REFUSED
)
def test_a_restriction_that_is_none_is_refused_by_its_place(sent: Restriction, reason: str) -> None:
    first = limit("MAX_NUMBER_OF_EARNS_PER_CUSTOMER", 7)
    assert reason in refused(read(**restricted(first, sent)))


def test_the_flat_limits_say_some_restrictions_once_more() -> None:
    limits = {
        "pointsPerCustomer": Decimal(100),
        "numberOfTimesPerCustomer": Decimal(3),
        "totalPointsInPromotion": Decimal("1e6"),
        "totalPointsPerEventLimit": Decimal("2.5"),
    }
    uses = (
        at_most("TIMES", "CUSTOMER", 3),
        at_most("POINTS", "CUSTOMER", 100),
        RedemptionLimit("POINTS", "PROMOTION", Decimal("1e6")),
        RedemptionLimit("POINTS", "EVENT", Decimal("2.5")),
    )
    made = draft(limits=limits, **restricted(limit("MAX_ALLOWED_TIMES_PER_CUSTOMER")))
    assert made.redemption_limits == uses
    none = dict.fromkeys(limits, Decimal(-1)) | {"pointsPerCustomer": None}
    assert draft(limits=none).redemption_limits == ()
    assert "limits.pointsPerCustomer" in refused(read(limits={"pointsPerCustomer": Decimal("NaN")}))


def test_limits_that_differ_hold_side_by_side() -> None:
    made = draft(
        limits={"numberOfTimesPerCustomer": Decimal(10)},
        **restricted(
            limit("MAX_ALLOWED_TIMES_PER_CUSTOMER"), weekly("MAX_ALLOWED_TIMES_PER_CUSTOMER", 2)
        ),
    )
    assert made.redemption_limits == (
        at_most("TIMES", "CUSTOMER", 3),
        at_most("TIMES", "CUSTOMER", 2, "WEEKLY"),
        at_most("TIMES", "CUSTOMER", 10),
    )


def lapses(issual: Restriction | None = None, earn: Restriction | None = None) -> dict[str, Any]:
    return restricted(*(each for each in (issual, earn) if each is not None), place=EXPIRIES)


ISSUAL_DAYS = limit("ISSUAL_PROMOTION_EXPIRY_BASED_ON", 5, type="CUSTOM")
EARN_DAYS = limit("EARN_PROMOTION_EXPIRY_BASED_ON", 2, type="custom")
EARN_END = limit("EARN_PROMOTION_EXPIRY_BASED_ON", 10, type="PROMOTION")


@pytest.mark.parametrize(
    ("sent", "issual", "earn"),
    [
        (lapses(), None, None),
        (lapses(ISSUAL_DAYS, EARN_DAYS), days(5), days(2)),
        (lapses(ISSUAL_DAYS, EARN_END), days(5), Expiry("PROMOTION")),
        (lapses(ISSUAL_DAYS), days(5), None),
        (lapses(None, EARN_DAYS), None, days(2)),
    ],
)
def test_an_expiry_is_the_promotions_end_or_a_number_of_days(
    sent: dict[str, Any], issual: Expiry | None, earn: Expiry | None
) -> None:
    made = draft(**sent)
    assert (made.issual_expiry, made.earn_expiry) == (issual, earn)


def test_what_is_said_of_issuals_alone_also_holds_for_what_is_issued_directly() -> None:
    issuals = limit("MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER", 4)
    earns = limit("MAX_NUMBER_OF_EARNS_PER_CUSTOMER", 9)
    alone = draft(offer_type=DIRECT, **restricted(issuals, ISSUAL_DAYS))
    assert (alone.limits.earns_per_customer, alone.earn_expiry) == (4, days(5))
    both = draft(offer_type=DIRECT, **restricted(issuals, earns, ISSUAL_DAYS, EARN_DAYS))
    assert (both.limits.earns_per_customer, both.earn_expiry) == (9, days(2))
    for kind in (GENERIC, ENROL_AND_ISSUE):
        other = draft(offer_type=kind, **restricted(issuals, ISSUAL_DAYS))
        assert (other.limits.earns_per_customer, other.earn_expiry) == (None, None)


# What is shown


def defined(sent: GatewayDraft = SENT, **fields: Any) -> Promotion:
    made = draft(sent, **fields)
    return accepted(define_promotion(offering(), made, 5001, Actor(1, day(0))))


def test_limits_and_expiries_are_shown_by_their_stored_names() -> None:
    shown = shown_restrictions(
        offer(
            issuals=2,
            earns=-1,
            of_all=40,
            each=5,
            issual_expiry=days(3),
            limits=(
                at_most("TIMES", "CUSTOMER", 3, "WEEKLY"),
                at_most("POINTS", "EARN", 7),
                at_most("TIMES", "EARN", 4),
            ),
        )
    )
    forever = {"type": "NON_PERIOD_BASED"}
    assert shown == {
        ISSUALS: [limit("MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER", 2, **forever)],
        EARNS: [
            limit("MAX_NUMBER_OF_EARNS_PER_CUSTOMER", -1, **forever),
            limit("MAX_NUMBER_OF_EARNS_PER_PROMOTION", 40, **forever),
        ],
        REDEMPTIONS: [
            limit("MAX_REDEMPTIONS_PER_EARN_PER_CUSTOMER", 4, **forever),
            weekly("MAX_ALLOWED_TIMES_PER_CUSTOMER"),
            limit("MAX_POINTS_PER_EARN_PER_CUSTOMER", 7, **forever),
        ],
        EXPIRIES: [
            limit("ISSUAL_PROMOTION_EXPIRY_BASED_ON", 3, type="CUSTOM"),
            Restriction("EARN_PROMOTION_EXPIRY_BASED_ON", None, "PROMOTION"),
        ],
    }


@pytest.mark.parametrize(
    ("each", "times", "shown"),
    [(1, None, 1), (-1, None, -1), (-1, 4, 4), (3, 4, 3), (5, 4, 4)],
)
def test_the_redemptions_of_a_record_are_always_shown(
    each: int, times: int | None, shown: int
) -> None:
    for kind in (GENERIC, DIRECT, ENROL_AND_ISSUE):
        limits = (at_most("TIMES", "EARN", times),) if times is not None else ()
        (found,) = shown_restrictions(offer(kind, each=each, limits=limits))[REDEMPTIONS]
        assert found.name == "MAX_REDEMPTIONS_PER_EARN_PER_CUSTOMER"
        assert found.value == shown


def test_earns_of_all_customers_are_shown_where_they_are_limited() -> None:
    (shown,) = shown_restrictions(offer())[EARNS]
    assert shown.name == "MAX_NUMBER_OF_EARNS_PER_CUSTOMER"


def test_of_a_generic_promotion_nothing_is_issued_and_so_limited() -> None:
    shown = shown_restrictions(offer(GENERIC, of_all=40))
    assert (shown[ISSUALS], shown[EARNS], shown[EXPIRIES]) == ([], [], [])


def test_the_flat_limits_show_those_that_hold_for_ever_the_least_of_several() -> None:
    none = Decimal(UNLIMITED)
    limits = (
        at_most("TIMES", "CUSTOMER", 9),
        at_most("TIMES", "CUSTOMER", 4),
        at_most("TIMES", "CUSTOMER", 1, "DAILY"),
        at_most("POINTS", "EVENT", 50),
    )
    assert shown_limits(offer(limits=limits)) == {
        "pointsPerCustomer": none,
        "numberOfTimesPerCustomer": Decimal(4),
        "totalPointsInPromotion": none,
        "totalPointsPerEventLimit": Decimal(50),
    }


@pytest.mark.parametrize("kind", [DIRECT, ENROL_AND_ISSUE])
def test_what_is_shown_means_what_was_sent(kind: str) -> None:
    first = defined(
        offer_type=kind,
        limits={"pointsPerCustomer": Decimal(100), "totalPointsPerEventLimit": Decimal(-1)},
        **restricted(
            limit("MAX_NUMBER_OF_ISSUALS_PER_CUSTOMER", 2),
            limit("MAX_NUMBER_OF_EARNS_PER_CUSTOMER", 3),
            limit("MAX_NUMBER_OF_EARNS_PER_PROMOTION", 50),
            weekly("MAX_ALLOWED_TIMES_PER_CUSTOMER"),
            ISSUAL_DAYS,
            EARN_END,
        ),
    )
    again = defined(
        offer_type=kind, limits=shown_limits(first), restrictions=shown_restrictions(first)
    )
    assert set(again.redemption_limits) == set(first.redemption_limits)
    parts = ("limits", "issual_expiry", "earn_expiry", "starts_at", "ends_at", "type")
    assert [getattr(again, part) for part in parts] == [getattr(first, part) for part in parts]


def test_dates_are_shown_with_the_local_offset_and_the_end_inclusive() -> None:
    assert shown_dates(defined(), KOLKATA) == (
        "2026-06-01T00:00:00+05:30",
        "2026-06-25T23:59:59+05:30",
    )
    odd = offer(starts_at=day(0.5), ends_at=datetime(2026, 7, 1, 0, 0, 0, 500, tzinfo=UTC))
    assert shown_dates(odd, ZoneInfo("UTC")) == ("2026-06-01T12:00:00Z", "2026-07-01T00:00:00Z")


def test_it_is_shown_when_a_promotion_was_last_changed() -> None:
    assert written_update(defined(), KOLKATA) == "2026-06-01T05:30:00+05:30"
    assert written_update(offer(), KOLKATA) is None


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (offer(GENERIC), None),
        (offer(DIRECT), "DIRECT_EARN"),
        (offer(ENROL_AND_ISSUE), "ISSUE_AND_EARN"),
        (offer(DIRECT, vendor={"loyaltyEarningType": "ISSUE_AND_EARN"}), "ISSUE_AND_EARN"),
    ],
)
def test_how_it_is_earned_is_shown_as_it_was_sent_or_follows_from_the_type(
    made: Promotion, shown: str | None
) -> None:
    assert earning_type(made) == shown


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (offer(), "BILL"),
        (offer(event="runLogged"), "CUSTOMER"),
        (offer(event=None), "CUSTOMER"),
        (offer(vendor={"allocatePointsOn": "LINEITEM"}), "LINEITEM"),
    ],
)
def test_what_points_are_allocated_on_is_shown_as_it_was_sent_or_follows_from_the_event(
    made: Promotion, shown: str
) -> None:
    assert allocate_points_on(made) == shown


def test_rulesets_are_shown_as_they_were_sent() -> None:
    sent = [{"id": 3, "rules": [{"exp": "large", "expJSON": "{}", "priority": 1}]}]
    assert shown_rulesets(defined(rulesets=sent)) == sent
    assert shown_rulesets(offer(event=None)) == []


def test_a_promotion_that_came_otherwise_is_shown_with_a_ruleset_of_its_condition() -> None:
    (ruleset,) = shown_rulesets(offer(expression="large"))
    assert isinstance(ruleset, dict)
    assert [rule["exp"] for rule in ruleset["rules"]] == ["large"]


def test_a_condition_that_was_translated_or_changed_since_is_shown_as_it_holds() -> None:
    sent = [{"id": 3, "rules": [{"exp": None, "expJSON": AMOUNT_TREE, "priority": 1}]}]
    made = defined(rulesets=sent)
    expected = {"exp": "currentTxn.value >= 50", "priority": 1}
    assert shown_rulesets(made) == [{"id": 3, "rules": [expected]}]
    changed = replace(made, criteria=Criteria("TransactionAdd", "small"))
    assert shown_rulesets(changed) == [{"id": 3, "rules": [{"exp": "small", "priority": 1}]}]
