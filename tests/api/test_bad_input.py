"""Hostile requests to every route that writes: the documented code, never a 5xx, nothing written.

What the bodies of customers and target groups must hold is in their own files; here is what no route
may trip over, and the whole of what enrolment, the clock and the operator's routes refuse.
"""

from __future__ import annotations

import base64
import gzip
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.harness import ADMIN_TOKEN, Org, Service, contents
from tests.scenarios.vocabulary import ACCEPTED, Challenge, define_milestone

MEBIBYTE = 2**20
DEEP = 100_000
HUGE = 10**30


@dataclass(frozen=True)
class Route:
    """A route that writes, with a body that it would take."""

    method: str
    path: str
    valid: bytes
    operator: bool = False

    @property
    def malformed(self) -> int:
        """The code of a malformed body in this route's family."""
        return 400 if self.path.startswith("/v2/") else 300004


ROUTES = {
    "enrol": Route(
        "POST",
        "/v3/targetGroups/{group}/targets/{target}/enroll",
        b'[{"customerId": 345651201, "periodName": "c1", "initialBalance": 100, "resetStreakStatus": false}]',
    ),
    "unenrol": Route(
        "POST",
        "/v3/targetGroups/{group}/targets/{target}/unEnroll",
        b'[{"customerId": 423789336}]',
    ),
    "register": Route(
        "POST",
        "/v2/customers",
        b'{"profiles": [{"source": "INSTORE", "identifiers": '
        b'[{"type": "mobile", "value": "919000000099"}]}]}',
    ),
    "define": Route(
        "POST",
        "/v3/targetGroups",
        b'{"name": "New", "trackingType": "DEFAULT", "frequencyType": "DAILY", "frequency": 1, '
        b'"recurringCycles": 2}',
    ),
    "edit group": Route(
        "PUT", "/v3/targetGroups/editTargetGroup/{group}", b'{"description": "New"}'
    ),
    "add periods": Route(
        "POST",
        "/v3/targetGroups/{group}/targetPeriods",
        b'[{"refCode": "c9", "startDate": "2027-06-01", "endDate": "2027-06-30"}]',
    ),
    "edit periods": Route(
        "PUT",
        "/v3/targetGroups/{group}/targetPeriods",
        b'[{"refCode": "c5", "endDate": "2026-10-30"}]',
    ),
    "add targets": Route(
        "POST",
        "/v3/targetGroups/{group}/targets",
        b'[{"name": "New", "targetEntity": "TRANSACTION", "targetType": "SALES", '
        b'"defaultValues": [{"defaultValue": 5}]}]',
    ),
    "edit target": Route(
        "PUT", "/v3/targetGroups/{group}/targets/{target}", b'[{"description": "New"}]'
    ),
    "edit unified": Route(
        "PUT",
        "/v3/targetGroups/{group}/unifiedTargets",
        b'{"targets": [], "deactivateTargetIds": []}',
    ),
    "make program": Route("POST", "/milepost/v1/programs", b'{"name": "New"}'),
    "make promotion": Route(
        "POST",
        "/milepost/v1/promotions",
        b'{"programId": 1, "name": "New", "type": "GENERIC", "startDate": "2026-06-01T00:00:00Z", '
        b'"endDate": "2026-06-30T00:00:00Z"}',
    ),
    "edit promotion": Route("PUT", "/milepost/v1/promotions/1", b'{"description": "New"}'),
    "draft promotion": Route(
        "POST",
        "/v3/promotions",
        b'{"metadata": {"programId": 1, "name": "New", "promotionType": "GENERIC", '
        b'"startDate": "2026-06-01T00:00:00Z", "endDate": "2026-06-30T00:00:00Z"}}',
    ),
    "replace promotion": Route("PUT", "/v3/promotions/1", b'{"metadata": {"name": "New"}}'),
    "review promotion": Route(
        "POST", "/v3/promotions/1/review", b'{"approvalStatus": "APPROVE", "comment": "Good"}'
    ),
    "steer promotion": Route("PUT", "/v3/promotions/1/status", b'{"status": "PAUSED"}'),
    "move clock": Route("PUT", "/milepost/v1/clock", b'{"now": "2026-06-02T00:00:00Z"}'),
    "make webhook": Route(
        "POST",
        "/v3/webHooks",
        b'{"name": "New", "webHookUrl": "https://shop.example/", "eventNames": ["streakStart"]}',
    ),
    "change webhook": Route("PUT", "/v3/webHooks/000000000000000000000000", b'{"name": "New"}'),
    "replay": Route(
        "POST", "/milepost/v1/webhooks/000000000000000000000000/replay", b'{"eventIds": []}'
    ),
    "make org": Route(
        "POST", "/milepost/v1/orgs", b'{"name": "New", "timeZone": "UTC"}', operator=True
    ),
    "change org": Route("PUT", "/milepost/v1/orgs/{org}", b'{"name": "New"}', operator=True),
    "make credential": Route(
        "POST", "/milepost/v1/credentials", b'{"orgId": 1001, "type": "TILL"}', operator=True
    ),
    "make access group": Route(
        "POST",
        "/milepost/v1/orgs/{org}/access-groups",
        b'{"name": "New", "access": {"Customer": "READ"}}',
        operator=True,
    ),
    "change access group": Route(
        "PUT",
        "/milepost/v1/orgs/{org}/access-groups/1",
        b'{"name": "New", "access": {"Customer": "READ"}}',
        operator=True,
    ),
    "make store": Route(
        "POST",
        "/milepost/v1/orgs/{org}/stores",
        b'{"code": "new", "name": "New"}',
        operator=True,
    ),
    "change store": Route(
        "PUT",
        "/milepost/v1/orgs/{org}/stores/1",
        b'{"code": "new", "name": "New"}',
        operator=True,
    ),
    "make till": Route(
        "POST",
        "/v2/orgEntity/till",
        b'{"name": "new.till", "password": "Pass123", "storeId": 1}',
    ),
}


@dataclass
class Site:
    """An organisation whose milestone 423789336 is in and 345651201 is not."""

    service: Service
    org: Org
    abc: Challenge
    anybody: httpx.Client
    unchanged: dict[str, tuple[int, str]] = field(default_factory=dict)
    """What the database holds; no test of this file may change it."""

    def path(self, route: Route) -> str:
        return route.path.format(
            group=self.abc.group_id, target=self.abc.target_id, org=self.org.id
        )

    def send(self, route: Route, body: Any, **options: Any) -> httpx.Response:
        client = self.service.operator if route.operator else self.org.client
        return client.request(route.method, self.path(route), content=body, **options)


@pytest.fixture(scope="module")
def built(service: Service, database_url: str) -> Site:
    org = service.new_org()
    abc = define_milestone(org)
    org.register(345651201)
    assert abc.enrol(org.register(423789336)) == ACCEPTED
    return Site(service, org, abc, service.connect(), contents(database_url))


@pytest.fixture
def site(built: Site, database_url: str) -> Iterator[Site]:
    """The site; afterwards nothing may have been written."""
    yield built
    assert contents(database_url) == built.unchanged


def around(valid: bytes, extra: bytes) -> bytes:
    """The valid body with one more member in its first object."""
    return valid.replace(b"{", b'{"extra": ' + extra + b", ", 1)


MALFORMED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "blank": lambda _: b" \n\t ",
    "cut short": lambda valid: valid[:-1],
    "one brace": lambda _: b"{",
    "one bracket": lambda _: b"[",
    "a word cut short": lambda _: b"nul",
    "single quotes": lambda valid: valid.replace(b'"', b"'"),
    "a trailing comma": lambda valid: valid.replace(b"}", b",}", 1),
    "two documents": lambda valid: valid + valid,
    "more behind it": lambda valid: valid + b" x",
    "a comment": lambda valid: valid + b" // comment",
    "a byte order mark": lambda valid: b"\xef\xbb\xbf" + valid,
    "UTF-16": lambda valid: valid.decode().encode("utf-16"),
    "a null byte behind it": lambda valid: valid + b"\x00",
    "a null byte in it": lambda valid: valid.replace(b": ", b":\x00", 1),
    "a control character in a text": lambda valid: around(valid, b'"a\x01b"'),
    "not a number": lambda valid: around(valid, b"NaN"),
    "infinity": lambda valid: around(valid, b"-Infinity"),
    "bytes that are no text": lambda _: b"\xff\xfe\x00\x80",
    "an overlong encoding": lambda valid: around(valid, b'"\xc0\x80"'),
    "half a character": lambda valid: around(valid, b'"\xe2\x82"'),
    "an encoded surrogate": lambda valid: around(valid, b'"\xed\xa0\x80"'),
    "a lone surrogate": lambda valid: around(valid, rb'"\ud800"'),
    "surrogates in reverse": lambda valid: around(valid, rb'"\udc00\ud800"'),
    "deep arrays": lambda _: b"[" * DEEP,
    "deep arrays that are closed": lambda _: b"[" * DEEP + b"]" * DEEP,
    "deep objects": lambda _: b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "deep arrays to ignore": lambda valid: around(valid, b"[" * DEEP + b"]" * DEEP),
    "deep objects to ignore": lambda valid: around(valid, b'{"a":' * DEEP + b"1" + b"}" * DEEP),
    "a text": lambda _: b'"text"',
    "a number": lambda _: b"5",
    "a truth": lambda _: b"true",
    "null": lambda _: b"null",
    "a form": lambda _: b"customerId=345651201&initialBalance=100",
    "XML": lambda _: b"<customerId>345651201</customerId>",
    "gzip without saying so": gzip.compress,
}


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_a_malformed_body_is_300004_or_400_of_v2(site: Site, route: Route) -> None:
    found = {how: code(site.send(route, spoil(route.valid))) for how, spoil in MALFORMED.items()}
    assert found == dict.fromkeys(MALFORMED, route.malformed)


@pytest.mark.parametrize("route", ROUTES.values(), ids=ROUTES)
def test_a_body_over_a_mebibyte_is_413_however_it_is_sent(site: Site, route: Route) -> None:
    filled = route.valid + b" " * (MEBIBYTE - len(route.valid))
    over = filled + b" "
    assert code(site.send(route, over)) == 413
    chunks = (over[start : start + 65_536] for start in range(0, len(over), 65_536))
    chunked = site.send(route, chunks)
    assert "content-length" not in chunked.request.headers
    assert code(chunked) == 413
    compressed = {"Content-Encoding": "gzip"}
    assert code(site.send(route, gzip.compress(route.valid), headers=compressed)) == 415
    assert code(site.send(route, route.valid, headers={"Content-Encoding": "x, br"})) == 415


def test_a_body_of_a_mebibyte_to_the_byte_is_read(site: Site) -> None:
    for body, expected in ((b'[{"customerId": 1}]', 310011), (b'[{"customerId": true}]', 300004)):
        filled = body + b" " * (MEBIBYTE - len(body))
        assert code(site.send(ROUTES["unenrol"], filled)) == expected


@pytest.mark.parametrize("verb", ["enroll", "unEnroll"])
@pytest.mark.parametrize(
    "length", [b"99999999999", b"1048577", b"99999999999999999999999999"], ids=bytes.decode
)
def test_a_length_that_is_only_claimed_is_413_before_anything_is_read(
    site: Site, verb: str, length: bytes
) -> None:
    answer = exchange(site, head(site, verb) + b"Content-Length: " + length + b"\r\n\r\n[")
    # More than 64 bits is no HTTP at all, which the server says without reading on.
    assert answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 "))


@pytest.mark.parametrize("verb", ["enroll", "unEnroll"])
def test_a_client_that_goes_away_within_its_body_has_done_nothing(site: Site, verb: str) -> None:
    body = b'[{"customerId": 345651201}]'
    start = head(site, verb) + b"Content-Length: 100\r\n\r\n" + body
    exchange(site, start, answered=False)
    assert code(site.send(ROUTES["unenrol"], b'[{"customerId": 345651201}]')) == 310126


ENROL_REFUSED: dict[str, tuple[str, int]] = {
    "no object": ("[]", 300004),
    "two objects": ('[{"customerId": 345651201}, {"customerId": 345651201}]', 300004),
    "a bare object": ('{"customerId": 345651201}', 300004),
    "an array in the array": ('[[{"customerId": 345651201}]]', 300004),
    "an id in the array": ("[345651201]", 300004),
    "null in the array": ("[null]", 300004),
    "no customer": ('[{"periodName": "c1"}]', 300004),
    "an id as text": ('[{"customerId": "345651201"}]', 300004),
    "no id": ('[{"customerId": null}]', 300004),
    "a truth as id": ('[{"customerId": true}]', 300004),
    "a list of ids": ('[{"customerId": [345651201]}]', 300004),
    "an object as id": ('[{"customerId": {"id": 345651201}}]', 300004),
    "a fraction as id": ('[{"customerId": 345651201.5}]', 300004),
    "an id with a point": ('[{"customerId": 345651201.0}]', 300004),
    "an id with an exponent": ('[{"customerId": 3.45651201e8}]', 300004),
    "1e2": ('[{"customerId": 1e2}]', 300004),
    "1e400": ('[{"customerId": 1e400}]', 300004),
    "-1e400": ('[{"customerId": -1e400}]', 300004),
    "1e-400": ('[{"customerId": 1e-400}]', 300004),
    "10^30": (f'[{{"customerId": {HUGE}}}]', 300004),
    "-10^30": (f'[{{"customerId": -{HUGE}}}]', 300004),
    "2^63": (f'[{{"customerId": {2**63}}}]', 300004),
    "-2^63 - 1": (f'[{{"customerId": {-(2**63) - 1}}}]', 300004),
    "10,000 digits": (f'[{{"customerId": {"9" * 10_000}}}]', 300004),
    "a leading zero": ('[{"customerId": 0345651201}]', 300004),
    "a plus sign": ('[{"customerId": +345651201}]', 300004),
    "hexadecimal": ('[{"customerId": 0x149A2E81}]', 300004),
    "underscores": ('[{"customerId": 345_651_201}]', 300004),
    "fullwidth digits": ('[{"customerId": ３４５６５１２０１}]', 300004),
    "nobody": ('[{"customerId": 1}]', 310011),
    "nobody of id 0": ('[{"customerId": 0}]', 310011),
    "nobody of id -0": ('[{"customerId": -0}]', 310011),
    "nobody of a negative id": ('[{"customerId": -345651201}]', 310011),
    "the largest id": (f'[{{"customerId": {2**63 - 1}}}]', 310011),
    "the smallest id": (f'[{{"customerId": {-(2**63)}}}]', 310011),
}
PERIOD_REFUSED: dict[str, tuple[str, int]] = {
    "a number as name": ("5", 300004),
    "a truth as name": ("true", 300004),
    "a list of names": ('["c1"]', 300004),
    "an object as name": ('{"refCode": "c1"}', 300004),
    "a null character": (r'"c1\u0000"', 300004),
    "a null character after a line end": (r'"c1\n\u0000"', 300004),
    "a lone surrogate": (r'"c1\ud800"', 300004),
    "another lone surrogate": (r'"\udfffc1"', 300004),
    "a name of 20,000 characters": (f'"{"x" * 20_000}"', 300004),
    "another name": ('"c99"', 310019),
    "a name of 10,000 characters": (f'"{"x" * 10_000}"', 310019),
    "SQL": ('"c1\'; DROP TABLE enrolments; --"', 310019),
    "a pattern": ('"c%"', 310019),
    "an invisible character": ('"c1\u200b"', 310019),
    "the largest character": (r'"c1\udbff\udfff"', 310019),
}
BALANCE_REFUSED = {
    "a text": '"100"',
    "a truth": "true",
    "a list": "[100]",
    "a fraction": "100.5",
    "a point": "100.0",
    "an exponent": "1e2",
    "1e400": "1e400",
    "10^30": str(HUGE),
    "below 0": "-1",
    "above 10^15": str(10**15 + 1),
    "the smallest integer": str(-(2**63)),
}
RESET_REFUSED = {"a text": '"true"', "0": "0", "1": "1", "a list": "[]", "yes": '"yes"'}


def enrol_with(name: str, value: str) -> str:
    return f'[{{"customerId": 345651201, "{name}": {value}}}]'


@pytest.mark.parametrize(("body", "expected"), ENROL_REFUSED.values(), ids=ENROL_REFUSED)
@pytest.mark.parametrize("route", ["enrol", "unenrol"])
def test_enrolment_and_unenrolment_take_an_array_of_one_object_with_an_integer(
    site: Site, route: str, body: str, expected: int
) -> None:
    assert code(site.send(ROUTES[route], body.encode())) == expected


@pytest.mark.parametrize(("value", "expected"), PERIOD_REFUSED.values(), ids=PERIOD_REFUSED)
def test_a_period_name_is_a_text_that_names_a_cycle(site: Site, value: str, expected: int) -> None:
    body = enrol_with("periodName", value).encode()
    assert code(site.send(ROUTES["enrol"], body)) == expected


@pytest.mark.parametrize("value", BALANCE_REFUSED.values(), ids=BALANCE_REFUSED)
def test_a_balance_is_an_integer_in_its_range(site: Site, value: str) -> None:
    body = enrol_with("initialBalance", value).encode()
    assert code(site.send(ROUTES["enrol"], body)) == 300004


@pytest.mark.parametrize("value", RESET_REFUSED.values(), ids=RESET_REFUSED)
def test_a_reset_is_true_or_false(site: Site, value: str) -> None:
    body = enrol_with("resetStreakStatus", value).encode()
    assert code(site.send(ROUTES["enrol"], body)) == 300004


PATH_IDS = {
    "letters": ("abc", 300004),
    "a plus sign": ("+5", 300004),
    "a coded plus sign": ("%2B5", 300004),
    "a fraction": ("1.0", 300004),
    "an exponent": ("1e3", 300004),
    "hexadecimal": ("0x1F", 300004),
    "an underscore": ("1_000", 300004),
    "a comma": ("1,2", 300004),
    "a blank": ("%201", 300004),
    "a line end": ("1%0A", 300004),
    "a null byte": ("%00", 300004),
    "a null byte behind it": ("1%00", 300004),
    "half a character": ("%E2%82", 300004),
    "a bad code": ("%zz", 300004),
    "fullwidth digits": ("５", 300004),
    "Arabic digits": ("٥", 300004),
    "a superscript": ("²", 300004),
    "two signs": ("--1", 300004),
    "40 digits": ("9" * 40, 300004),
    "4,000 digits": ("9" * 4_000, 300004),
    "2^63": (str(2**63), 300004),
    "-2^63 - 1": (str(-(2**63) - 1), 300004),
    "a template": ("{targetGroupId}", 300004),
    "SQL": ("1%20OR%201=1", 300004),
    "a query within": ("1%3Fx=1", 300004),
    "negative": ("-5", None),
    "0": ("0", None),
    "2^63 - 1": (str(2**63 - 1), None),
    "-2^63": (str(-(2**63)), None),
    "a coded slash": ("1%2F2", 404),
    "up": ("%2e%2e%2f%2e%2e", 404),
}
"""None: an integer like any other, that names no group or target."""


@pytest.mark.parametrize(("identity", "expected"), PATH_IDS.values(), ids=PATH_IDS)
@pytest.mark.parametrize("verb", ["enroll", "unEnroll"])
def test_an_id_in_a_path_is_an_integer_of_64_bits(
    site: Site, verb: str, identity: str, expected: int | None
) -> None:
    body = [{"customerId": 345651201}]
    group, target = site.abc.group_id, site.abc.target_id
    for path, unknown in (
        (f"/v3/targetGroups/{identity}/targets/{target}/{verb}", 310017),
        (f"/v3/targetGroups/{group}/targets/{identity}/{verb}", 310018),
    ):
        found = code(site.org.post(path, body))
        assert found == (unknown if expected is None else expected), path


def test_a_path_of_raw_bytes_is_refused_before_it_is_read(site: Site) -> None:
    request = head(site, "enroll").replace(b"/targets/", b"/targets/\xff\x00/", 1)
    answer = exchange(site, request + b"Content-Length: 2\r\n\r\n[]")
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 404 "))


REFUSED_OF_CLOCK = {
    "nothing": "{}",
    "null": '{"now": null}',
    "a number": '{"now": 1780272000000}',
    "a word": '{"now": "tomorrow"}',
    "a date": '{"now": "2026-06-02"}',
    "no offset": '{"now": "2026-06-02T00:00:00"}',
    "the 13th month": '{"now": "2026-13-02T00:00:00Z"}',
    "a leap second": '{"now": "2026-06-30T23:59:60Z"}',
    "a bad offset": '{"now": "2026-06-02T00:00:00+25:00"}',
    "fullwidth digits": '{"now": "２０２６-06-02T00:00:00Z"}',
    "a null character": r'{"now": "2026-06-02T00:00:00Z\u0000"}',
    "the end of time": '{"now": "9999-12-31T23:59:59Z"}',
    "a year of five digits": '{"now": "12026-06-02T00:00:00Z"}',
    "the past": '{"now": "2026-05-31T23:59:59.999Z"}',
    "the past by its offset": '{"now": "2026-06-01T00:00:00+00:01"}',
    "a list": '[{"now": "2026-06-02T00:00:00Z"}]',
}
REFUSED_OF_ORGS = {
    "nothing": "{}",
    "no name": '{"timeZone": "UTC"}',
    "a blank name": '{"name": " ", "timeZone": "UTC"}',
    "a long name": f'{{"name": "{"x" * 201}", "timeZone": "UTC"}}',
    "a name with a null character": r'{"name": "a\u0000b", "timeZone": "UTC"}',
    "no zone": '{"name": "New"}',
    "no such zone": '{"name": "New", "timeZone": "Mars/Olympus"}',
    "a path as zone": '{"name": "New", "timeZone": "../../etc/passwd"}',
    "an offset as zone": '{"name": "New", "timeZone": "+05:30"}',
    "an unknown parent": '{"name": "New", "timeZone": "UTC", "parentOrgId": 999999}',
    "a text as parent": '{"name": "New", "timeZone": "UTC", "parentOrgId": "1001"}',
    "a huge parent": f'{{"name": "New", "timeZone": "UTC", "parentOrgId": {HUGE}}}',
    "a text as sandbox": '{"name": "New", "timeZone": "UTC", "sandbox": "true"}',
    "a clock without sandbox": '{"name": "New", "timeZone": "UTC", "now": "2026-06-01T00:00:00Z"}',
    "a bad clock": '{"name": "New", "timeZone": "UTC", "sandbox": true, "now": "2026-06-01"}',
    "a number as setting": '{"name": "New", "timeZone": "UTC", "returnsAdjustTargets": 1}',
    "a list": '[{"name": "New", "timeZone": "UTC"}]',
}
REFUSED_OF_CREDENTIALS = {
    "nothing": "{}",
    "no organisation": '{"type": "TILL"}',
    "an unknown organisation": '{"orgId": 999999, "type": "TILL"}',
    "a text as organisation": '{"orgId": "1001", "type": "TILL"}',
    "an unknown type": '{"orgId": 1001, "type": "PASSKEY"}',
    "a type in lower case": '{"orgId": 1001, "type": "till"}',
    "access as a list": '{"orgId": 1001, "type": "TILL", "access": ["Customer"]}',
    "an unknown permission": '{"orgId": 1001, "type": "TILL", "access": {"Customer": "ADMIN"}}',
    "an unknown resource": '{"orgId": 1001, "type": "TILL", "access": {"Everything": "READ"}}',
    "the operator's resource": '{"orgId": 1001, "type": "TILL", "access": {"operator": "WRITE"}}',
}


@pytest.mark.parametrize("body", REFUSED_OF_CLOCK.values(), ids=REFUSED_OF_CLOCK)
def test_a_clock_moves_forward_to_an_instant_and_not_otherwise(site: Site, body: str) -> None:
    assert code(site.send(ROUTES["move clock"], body.encode())) == 300004


@pytest.mark.parametrize("body", REFUSED_OF_ORGS.values(), ids=REFUSED_OF_ORGS)
def test_what_makes_no_organisation_is_300004(site: Site, body: str) -> None:
    assert code(site.send(ROUTES["make org"], body.encode())) == 300004


@pytest.mark.parametrize("body", REFUSED_OF_CREDENTIALS.values(), ids=REFUSED_OF_CREDENTIALS)
def test_what_makes_no_credential_is_300004(site: Site, body: str) -> None:
    body = body.replace("1001", str(site.org.id))
    assert code(site.send(ROUTES["make credential"], body.encode())) == 300004


@pytest.mark.parametrize("identity", ["abc", "9" * 40, "%00", "-1", "0", "999999", "1e3", "５"])
def test_an_organisation_that_is_unknown_is_300004(site: Site, identity: str) -> None:
    response = site.service.operator.put(f"/milepost/v1/orgs/{identity}", json={"name": "New"})
    assert code(response) == 300004


def basic(text: str | bytes) -> bytes:
    raw = text.encode() if isinstance(text, str) else text
    return b"Basic " + base64.b64encode(raw)


CREDENTIALS = {
    "nothing": b"",
    "no scheme": b"dGlsbDpwYXNzd29yZA==",
    "a scheme alone": b"Basic",
    "no base64": b"Basic !!!!",
    "base64 cut short": b"Basic dGlsbDpwYXNzd29yZA=",
    "no colon": basic("till"),
    "no name": basic(":password"),
    "nobody": basic("nobody:password"),
    "no text": basic(b"\xff\xfe:\xff"),
    "a null character": basic("till\x00:password"),
    "a huge name": basic("x" * 5_000 + ":password"),
    "a huge secret": basic("till:" + "x" * 5_000),
    "a huge header": b"Basic " + b"A" * 60_000,
    "a digest": b'Digest username="till"',
    "a token of nobody": b"Bearer abc.def.ghi",
    "bytes": b"\x80\xff",
}


@pytest.mark.parametrize("header", CREDENTIALS.values(), ids=CREDENTIALS)
def test_without_a_credential_that_is_known_every_route_is_401(site: Site, header: bytes) -> None:
    headers = [(b"Authorization", header)] if header else []
    for route in ROUTES.values():
        for body in (route.valid, b"{"):
            response = site.anybody.request(
                route.method, site.path(route), content=body, headers=headers
            )
            assert code(response) == 401, route.path


def test_a_credential_of_the_wrong_kind_is_401(site: Site) -> None:
    token = [(b"Authorization", f"Bearer {ADMIN_TOKEN}".encode())]
    till = [(b"Authorization", basic(f"{site.org.username}:{site.org.password}"))]
    for route in ROUTES.values():
        response = site.anybody.request(
            route.method,
            site.path(route),
            content=route.valid,
            headers=till if route.operator else token,
        )
        assert code(response) == 401, route.path


def test_a_wrong_password_is_401_however_near(site: Site) -> None:
    till, secret = site.org.username, site.org.password
    for name, wrong in (
        (till, secret[:-1]),
        (till, secret + " "),
        (till, ""),
        (till.upper(), secret),
        (f" {till}", secret),
        (till, secret.swapcase()),
    ):
        response = site.anybody.post(
            site.path(ROUTES["enrol"]),
            content=ROUTES["enrol"].valid,
            headers=[(b"Authorization", basic(f"{name}:{wrong}"))],
        )
        assert code(response) == 401


@pytest.mark.parametrize("size", [1_000, 16_000, 40_000])
def test_huge_headers_change_nothing(site: Site, size: int) -> None:
    headers = {"X-Junk": "x" * size, "Accept-Language": "é".encode() * (size // 4)}
    raw = [
        (name.encode(), value.encode() if isinstance(value, str) else value)
        for name, value in headers.items()
    ]
    assert code(site.send(ROUTES["enrol"], b'[{"customerId": 1}]', headers=raw)) == 310011


def code(response: httpx.Response) -> int:
    """The code of the one error, in the envelope of its family and with nothing behind it."""
    assert response.status_code < 500, response.text
    assert response.status_code >= 400, response.text
    body = response.json()
    (error,) = body["errors"]
    if response.request.url.path.startswith("/v2/"):
        assert body == {"errors": [{"status": False, **error}], "warnings": []}
    else:
        assert body == {"data": None, "errors": [error], "warnings": None}
    assert response.headers["x-cap-requestid"]
    return int(error["code"])


def head(site: Site, verb: str) -> bytes:
    """A request of the till up to its length."""
    path = f"/v3/targetGroups/{site.abc.group_id}/targets/{site.abc.target_id}/{verb}"
    credential = basic(f"{site.org.username}:{site.org.password}")
    return (
        f"POST {path} HTTP/1.1\r\nHost: milepost\r\nAuthorization: ".encode() + credential + b"\r\n"
    )


def exchange(site: Site, request: bytes, *, answered: bool = True) -> bytes:
    """Send raw bytes; the beginning of the answer, or, if none is waited for, b""."""
    url = httpx.URL(site.service.url)
    with socket.create_connection((url.host, url.port or 80), timeout=10) as connection:
        connection.sendall(request)
        return connection.recv(65_536) if answered else b""
