"""What is no target group: the documented code and reason, and nothing is written."""

from __future__ import annotations

from typing import Any

import httpx
import msgspec
import pytest

from milepost.api.routes import PREFIXES
from tests.api.payloads import code, error, milestone, period, streak, target, unified
from tests.harness import Org, Service

JUNE = period("june", "2026-06-01", "2026-06-30")
JULY = period("july", "2026-07-01", "2026-07-31")
BEST_OF_WEEK = {"windowType": "MAX", "windowTimeUnit": "WEEK", "windowValue": 1}


def level(count: Any, **fields: Any) -> dict[str, Any]:
    return {"name": f"Level {count}", "targetCountOfSequence": count, **fields}


def periods(*bounds: tuple[str, str]) -> dict[str, Any]:
    """A milestone with these periods."""
    return milestone(periods=[period(f"p{n}", *each) for n, each in enumerate(bounds)])


def of_target(**fields: Any) -> dict[str, Any]:
    """A milestone whose target has these fields."""
    return milestone(targets=[target(**fields)])


def values(*sent: Any) -> dict[str, Any]:
    """A milestone whose target has these values."""
    return of_target(defaultValues=[{"defaultValue": value} for value in sent])


def of_currency(**info: Any) -> dict[str, Any]:
    """A milestone on an alternate currency."""
    return of_target(targetEntity="ALTERNATE_CURRENCIES", targetType="ALL", extendedFieldInfo=info)


def of_event(**info: Any) -> dict[str, Any]:
    """A milestone that adds up an attribute of an event."""
    return of_target(targetEntity="EVENT", targetType="EVENT_ATTRIBUTE", extendedFieldInfo=info)


def of_filter(kind: str, ids: list[int]) -> dict[str, Any]:
    """A milestone whose target has this filter."""
    return of_target(filters=[{"entityType": kind, "entityIds": ids}])


def of_unified(**fields: Any) -> dict[str, Any]:
    """A unified group with this expression."""
    return unified(unifiedTargetExpression=fields)


REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    # Names
    ("no name", milestone() | {"name": None}, 300004, "name"),
    ("a blank name", milestone() | {"name": "  "}, 300004, "name"),
    ("a padded name", milestone(name=" a"), 300004, "blank"),
    ("a long name", milestone(name="x" * 201), 300004, "200"),
    ("a long target name", of_target(name="x" * 201), 310008, "200"),
    ("a name twice", milestone(targets=[target("A"), target("a")]), 300004, "targets[1].name"),
    ("a long description", milestone(description="x" * 256), 300004, "description"),
    # Words and numbers
    ("no tracking type", milestone(trackingType=None), 300004, "trackingType"),
    ("an unknown tracking type", milestone(trackingType="LOTTERY"), 300004, "trackingType"),
    ("an unknown window", milestone(targetEvaluationType="MOON"), 300004, "targetEvaluationType"),
    ("an unknown frequency", milestone(frequencyType="FORTNIGHTLY"), 300004, "frequencyType"),
    ("an unknown allocation", milestone(rewardAllocation="LATER"), 300004, "rewardAllocation"),
    ("a negative delay", milestone(settlementDelayDays=-1), 300004, "settlementDelayDays"),
    ("a zone that is none", milestone(timeZoneName="Mars/Olympus"), 300004, "timeZoneName"),
    ("a path as zone", milestone(timeZoneName="../etc/passwd"), 300004, "timeZoneName"),
    ("a leaderboard", milestone(leaderboardEnabled=True), 310133, ""),
    (
        "a leaderboard without dates",
        milestone(leaderboardEnabled=True, targetEvaluationType="CYCLIC_WINDOW"),
        310132,
        "",
    ),
    # Periods
    ("CUSTOM without periods", milestone(frequencyType="CUSTOM"), 300004, ""),
    ("no cycle", milestone(recurringCycles=0), 300004, "recurringCycles"),
    ("fewer than no cycle", milestone(recurringCycles=-1), 300004, "recurringCycles"),
    ("too many cycles", milestone(recurringCycles=101), 300004, "recurringCycles"),
    ("no frequency to generate by", milestone(frequency=0), 300004, "frequency"),
    (
        "too many periods",
        periods(*((f"20{n // 12 + 30}-{n % 12 + 1:02}-01",) * 2 for n in range(101))),
        300004,
        "100",
    ),
    (
        "periods that share an instant",
        periods(("2026-06-01", "2026-06-30"), ("2026-06-30", "2026-07-31")),
        300004,
        "overlaps",
    ),
    (
        "an end written like the next start",
        periods(
            ("2026-06-01T00:00:00.000", "2026-07-01T00:00:00.000"),
            ("2026-07-01T00:00:00.000", "2026-07-31T23:59:59.000"),
        ),
        300004,
        "overlaps",
    ),
    (
        "a repeated refCode",
        milestone(periods=[JUNE, {**JULY, "refCode": "june"}]),
        300004,
        "refCode",
    ),
    ("no refCode", milestone(periods=[{**JUNE, "refCode": None}]), 300004, "refCode"),
    ("no end", milestone(periods=[{**JUNE, "endDate": None}]), 300004, "endDate"),
    ("an end before the start", periods(("2026-06-30", "2026-06-01")), 300004, "after startDate"),
    ("no date", periods(("soon", "2026-06-01")), 300004, "startDate"),
    ("30 February", periods(("2026-02-30", "2026-06-01")), 300004, "startDate"),
    ("the year 9999", periods(("2026-02-03", "9999-12-31")), 300004, "endDate"),
    # Values
    ("no value", of_target(defaultValues=None), 300004, "defaultValues"),
    ("two values for three cycles", values(1, 2), 300004, "defaultValues"),
    ("four values for three cycles", values(1, 2, 3, 4), 300004, "defaultValues"),
    ("a value of 0", values(0), 300004, "more than 0"),
    ("a negative value", values(-1), 300004, "more than 0"),
    ("a value that is no number", values("NaN"), 300004, ""),
    ("an infinite value", values("Infinity"), 300004, ""),
    ("a value of 10^400", values(msgspec.Raw(b"1e400")), 300004, "10^15"),
    ("a value of 10^999999", values(msgspec.Raw(b"1e999999")), 300004, "10^15"),
    ("a value of 10^-999999", values(msgspec.Raw(b"1e-999999")), 300004, "decimal"),
    ("a value of 400 digits", values(msgspec.Raw(b"9" * 400)), 300004, "10^15"),
    ("a value that is a word", values("many"), 300004, ""),
    ("a value that is a truth", values(True), 300004, ""),
    # Targets
    ("too many targets", milestone(targets=[target() for _ in range(51)]), 300004, "50"),
    ("no entity", of_target(targetEntity=None), 300004, "targetEntity"),
    ("an unknown entity", of_target(targetEntity="MOON"), 300004, "targetEntity"),
    ("an unknown KPI", of_target(targetType="JOY"), 300004, "targetType"),
    ("points of transactions", of_target(targetType="ALL_POINTS"), 310033, ""),
    ("sales of events", of_target(targetEntity="EVENT"), 310033, ""),
    ("an unnamed extended field", of_target(targetType="EXTENDED_FIELD"), 310094, ""),
    (
        "an unnamed currency",
        of_target(targetEntity="ALTERNATE_CURRENCIES", targetType="ALL"),
        310094,
        "",
    ),
    # Expressions
    ("a currency of no program", of_currency(alternateCurrencyIdentifier="miles"), 310146, ""),
    ("a currency of no name", of_currency(programId=469), 310147, ""),
    ("a blank currency", of_currency(programId=469, alternateCurrencyIdentifier=" "), 310147, ""),
    ("a sum of nothing named", of_event(), 300004, "extendedFieldInfo.name: is required"),
    ("an average", of_event(name="km", aggregateFunction="AVG"), 300004, "aggregateFunction"),
    ("a week's best", of_target(aggregateWindow=BEST_OF_WEEK), 300004, "windowTimeUnit"),
    ("a filter by tills", of_filter("TILL", [1]), 300004, "filters[0].entityType"),
    ("a filter by no store", of_filter("STORE", []), 300004, "filters[0].entityIds"),
    ("a third level", of_filter("targetGroups", [1]), 300004, "not supported"),
    ("half an expression", of_target(expression="currentTxn.value >"), 300004, "compile"),
    ("another language", of_target(expression="SELECT 1"), 300004, "compile"),
    ("an unknown variable", of_target(expression="customer.age > 5"), 300004, "customer"),
    ("an unknown function", of_target(expression="sleep(5)"), 300004, "sleep"),
    ("nesting without end", of_target(expression="(" * 5_000), 300004, "compile"),
    ("a loop in a loop", of_target(expression="[1].all(x, [1].all(y, x == y))"), 300004, "all"),
    ("a long expression", of_target(expression="true||" * 2_000 + "true"), 300004, ""),
    # Kinds of groups
    ("a streak without levels", streak(streaks=None), 300004, "streaks"),
    ("a streak with two targets", streak(targets=[target(), target()]), 300004, "targets"),
    ("levels out of order", streak(streaks=[level(2), level(1)]), 300004, "streaks[1]"),
    ("a level out of reach", streak(streaks=[level(4)]), 300004, "streaks[0]"),
    ("a level of nothing", streak(streaks=[level(0)]), 300004, "streaks[0]"),
    ("a level without a name", streak(streaks=[level(1, name=None)]), 300004, "streaks[0].name"),
    ("levels of a milestone", milestone(streaks=[level(1)]), 300004, "streaks"),
    ("a streak without dates", streak(targetEvaluationType="CYCLIC_WINDOW"), 300004, ""),
    ("a unified group of one", unified(targets=[target()]), 300004, "targets"),
    ("a unified group of anything", unified(combinationType="SOME"), 300004, "combinationType"),
    ("a threshold of 0", of_unified(aggregation="SUM", thresholdValue=0), 300004, "thresholdValue"),
    ("an aggregation alone", of_unified(aggregation="SUM"), 300004, "thresholdValue"),
    # Rewards
    (
        "a reward of an unknown type",
        of_target(rewards=[{"name": "a", "type": "CASH", "value": 1}]),
        300004,
        "rewards[0].type",
    ),
    (
        "a reward without a value",
        of_target(rewards=[{"name": "a", "type": "POINTS"}]),
        300004,
        "value",
    ),
]


@pytest.fixture(scope="module")
def bare(service: Service) -> Org:
    """An organisation in which nothing is ever defined."""
    return service.new_org()


@pytest.mark.parametrize(
    ("body", "expected", "reason"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED]
)
def test_what_makes_no_target_group_is_refused_with_the_reason_and_nothing_is_written(
    bare: Org, body: dict[str, Any], expected: int, reason: str
) -> None:
    found, message = error(bare.post("/v3/targetGroups", msgspec.json.encode(body)))
    assert (found, reason in message) == (expected, True), message
    assert bare.get("/v3/targetGroups").json()["data"] == []


WRONG_TYPES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'"text"',
    b"\xff\xfe",
    b'{"name": "\\ud800"}',
    b'{"name": "a\\u0000b"}',
    b'{"name": 5}',
    b'{"active": "true"}',
    b'{"active": 1}',
    b'{"totalPeriods": "3"}',
    b'{"totalPeriods": 3.0}',
    b'{"totalPeriods": true}',
    b'{"frequency": 1e400}',
    b'{"frequency": 1000000000000000000000000000000}',
    b'{"preferredTillId": 9223372036854775808}',
    b'{"periods": {}}',
    b'{"periods": [null]}',
    b'{"periods": [{"refCode": true}]}',
    b'{"periods": [{"refCode": 1.5}]}',
    b'{"periods": [{"startDate": 1780272000000}]}',
    b'{"targets": "none"}',
    b'{"targets": [{"expression": 1}]}',
    b'{"targets": [{"defaultValues": [{}]}]}',
    b'{"targets": [{"filters": [{"entityType": "STORE", "entityIds": ["a"]}]}]}',
    b'{"streaks": [{"targetCountOfSequence": "two"}]}',
    b'{"unifiedTargetExpression": []}',
    b"[" * 100_000,
    b'{"name": "' + b"x" * 20_000 + b'"}',
]


@pytest.mark.parametrize("body", WRONG_TYPES, ids=lambda body: body[:60].decode("latin-1"))
def test_a_body_of_the_wrong_shape_is_300004(bare: Org, body: bytes) -> None:
    assert code(bare.post("/v3/targetGroups", body)) == 300004
    edited = bare.client.put("/v3/targetGroups/editTargetGroup/1", content=body)
    assert code(edited) == 300004


def test_a_body_over_the_limit_is_413(bare: Org) -> None:
    body = b'{"description": "' + b"x" * 1_100_000 + b'"}'
    response = bare.post("/v3/targetGroups", body)
    assert response.status_code == 413
    assert response.json()["errors"][0]["code"] == 413


PATHS = [
    ("GET", "/targetGroups/{id}"),
    ("DELETE", "/targetGroups/{id}"),
    ("PUT", "/targetGroups/editTargetGroup/{id}"),
    ("GET", "/targetGroups/{id}/targetPeriods"),
    ("POST", "/targetGroups/{id}/targetPeriods"),
    ("PUT", "/targetGroups/{id}/targetPeriods"),
    ("GET", "/targetGroups/{id}/targets"),
    ("POST", "/targetGroups/{id}/targets"),
    ("PUT", "/targetGroups/{id}/targets/1"),
    ("DELETE", "/targetGroups/{id}/targets/1"),
    ("PUT", "/targetGroups/{id}/unifiedTargets"),
    ("POST", "/targetGroups/{id}/unifiedTargets"),
]
BODIES = {"targetPeriods": [JUNE], "targets": [target()], "unifiedTargets": {}}


def ask(org: Org, method: str, path: str, **options: Any) -> httpx.Response:
    """The request with a body of the right shape."""
    body = next((BODIES[part] for part in path.split("/") if part in BODIES), {})
    if path.endswith("/targets/1"):
        body = {}
    return org.client.request(
        method, path, json=body if method in ("POST", "PUT") else None, **options
    )


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_path_ids_must_be_integers_of_64_bits_and_an_unknown_one_is_310017(
    bare: Org, method: str, path: str
) -> None:
    for bad in ("abc", "1.0", "1e3", "9223372036854775808", "9" * 40, "%00", "१", "+1", "0x1"):
        assert code(ask(bare, method, f"/v3{path.format(id=bad)}")) == 300004, bad
    for unknown in ("0", "-1", "9223372036854775807"):
        assert code(ask(bare, method, f"/v3{path.format(id=unknown)}")) == 310017, unknown


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_the_scope_headers_are_checked_after_the_shape_and_before_the_group(
    bare: Org, method: str, path: str
) -> None:
    for prefix in PREFIXES:
        all_orgs = 310017 if method == "GET" else 310141
        expected = {"ALL": all_orgs, "OTHER": 310144, "SELF": 310017}
        for scope, refused in expected.items():
            headers = {"DATA-SCOPE": scope, "DATA-SCOPE-ORG": "1"}
            response = ask(bare, method, prefix + path.format(id=1), headers=headers)
            assert code(response) == (310017 if prefix == "/v3" else refused)
            malformed = ask(bare, method, prefix + path.format(id="x"), headers=headers)
            assert code(malformed) == 300004


@pytest.mark.parametrize(
    ("method", "path"),
    [*PATHS, ("POST", "/targetGroups"), ("GET", "/targetGroups"), ("GET", "/milestones")],
)
def test_every_route_wants_credentials_and_the_permission(
    service: Service, bare: Org, method: str, path: str
) -> None:
    anybody = service.connect()
    path = "/v3" + path.format(id=1)
    assert anybody.request(method, path).status_code == 401
    access = {"Target Loyalty": "READ"}
    credential = service.operator.post(
        "/milepost/v1/credentials", json={"orgId": bare.id, "type": "TILL", "access": access}
    ).json()["data"]["till"]
    reader = service.connect(auth=(credential["username"], credential["password"]))
    response = reader.request(method, path)
    if method == "GET":
        assert response.status_code in (200, 400)
    else:
        assert response.status_code == 403
        assert response.json()["errors"][0]["code"] == 4000


def test_names_of_groups_are_unique_in_the_organisation_in_any_case(org: Org) -> None:
    first = org.define(**milestone(name="Straße", active=False))
    other = org.define(**milestone())
    assert code(org.post("/v3/targetGroups", milestone(name="STRASSE"))) == 310069
    path = "/v3/targetGroups/editTargetGroup"
    assert code(org.client.put(f"{path}/{other['id']}", json={"name": "straße"})) == 310069
    assert org.client.put(f"{path}/{first['id']}", json={"name": "STRASSE"}).status_code == 200


def test_names_of_targets_and_levels_are_unique_in_the_organisation_in_any_case(org: Org) -> None:
    org.define(**streak(targets=[target("Steps")], streaks=[level(1, name="Bronze")]))
    found, reason = error(org.post("/v3/targetGroups", of_target(name="STEPS")))
    assert (found, "targets[0].name" in reason) == (300004, True)
    again = streak(streaks=[level(1, name="BRONZE")])
    found, reason = error(org.post("/v3/targetGroups", again))
    assert (found, "streaks[0].name" in reason) == (300004, True)


def test_an_edit_that_is_refused_changes_nothing(org: Org) -> None:
    group = org.define(**streak())
    target_id = group["targets"][0]["id"]
    path = f"/v3/targetGroups/{group['id']}"
    whole = f"/v3/targetGroups/editTargetGroup/{group['id']}"
    for where, body in (
        (whole, {"trackingType": "DEFAULT", "description": "changed"}),
        (whole, {"timeZoneName": "Asia/Tokyo", "description": "changed"}),
        (whole, {"userCreated": True, "description": "changed"}),
        (whole, {"description": "changed", "streaks": [level(3)]}),
        (whole, {"description": "changed", "targets": [{"id": target_id, "targetType": "COUNT"}]}),
        (f"{path}/targets/{target_id}", {"description": "changed"}),
        (f"{path}/targets/{target_id}", [{}, {}]),
        (f"{path}/targets/{target_id}", []),
        (f"{path}/targets/{target_id}", {"expression": "nobody.knows == 1"}),
        (f"{path}/targetPeriods", [{"refCode": group["periods"][2]["refCode"], "active": False}]),
        (f"{path}/unifiedTargets", {}),
    ):
        assert code(org.client.put(where, json=body)) == 300004, body
    for where, posted in (
        (f"{path}/targets", [target()]),
        (f"{path}/targetPeriods", [period("later", "2027-01-01", "2027-01-02")]),
        (f"{path}/targetPeriods", []),
    ):
        assert code(org.post(where, posted)) == 300004, posted
    assert code(org.client.put(f"{path}/targets/1", json={"active": False})) == 310018
    assert code(org.client.delete(f"{path}/targets/1")) == 310018
    assert org.get(f"{path}?includePeriods=true").json()["data"] == group
