"""`…/enroll` and `…/unEnroll` on the wire: seeds 000 to 003, and the order of checks of contract §4."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

import httpx
import psycopg
import pytest

from milepost.actions.credentials import vendor_md5
from milepost.api.routes import PREFIXES
from milepost.settings import Settings
from tests.harness import Org, Service, contents
from tests.scenarios.vocabulary import ACCEPTED, Challenge, data, define_milestone, names

VERBS = ("enroll", "unEnroll")
NOBODY = 999_999_999_999
UNKNOWN = 999_999_999_999

MESSAGES = {
    300004: "Invalid input.",
    310011: "Invalid userId",
    310017: "Target group not found or deactivated",
    310018: "Target rule not found",
    310019: "Target period not found",
    310119: "User already enrolled for the target.",
    310126: "User is not enrolled to this target",
    310141: "Datascope 'ALL' is not supported for this 'API'",
    310144: "Connected Orgs not set properly in Headers.",
    401: "Authentication failed. Please check username and password.",
    4000: "Not authorized. Access is denied!",
}
STATUSES = {401: 401, 4000: 403}


@dataclass(frozen=True)
class Shop:
    """An organisation with a milestone; `ann` is in all its cycles, `ben` in none."""

    service: Service
    org: Org
    abc: Challenge
    ann: int
    ben: int
    anybody: httpx.Client
    """Without credentials."""
    reader: httpx.Client
    """May read everything and write nothing."""


@pytest.fixture(scope="module")
def shop(service: Service) -> Shop:
    org = service.new_org()
    abc, ann, ben = define_milestone(org), org.register(), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    made = service.operator.post(
        "/milepost/v1/credentials",
        json={"orgId": org.id, "type": "TILL", "access": {"Target Loyalty": "READ"}},
    )
    till = data(made)["till"]
    reader = service.connect(auth=(till["username"], till["password"]))
    return Shop(service, org, abc, ann, ben, service.connect(), reader)


@dataclass(frozen=True)
class Call:
    """One request, as wrong as a test wants it."""

    client: httpx.Client
    group: object
    target: object
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, verb: str, prefix: str = "/v3") -> httpx.Response:
        path = f"{prefix}/targetGroups/{self.group}/targets/{self.target}/{verb}"
        if isinstance(self.body, bytes):
            return self.client.post(path, content=self.body, headers=self.headers)
        return self.client.post(path, json=self.body, headers=self.headers)


Spoil = Callable[[Call, Shop], Call]


def with_body(call: Call, **fields: Any) -> Call:
    """The call with other fields in its object, if it still has one."""
    if isinstance(call.body, list) and len(call.body) == 1:
        return replace(call, body=[{**call.body[0], **fields}])
    return call


# What can be wrong with a request, in the order in which it is checked (contract §4).
CHECKS: dict[int, Spoil] = {
    401: lambda call, shop: replace(call, client=shop.anybody),
    4000: lambda call, shop: (
        call if call.client is shop.anybody else replace(call, client=shop.reader)
    ),
    300004: lambda call, _: replace(call, body=[*call.body, *call.body]),
    310141: lambda call, _: replace(call, headers={"DATA-SCOPE": "ALL"}),
    310017: lambda call, _: replace(call, group=UNKNOWN),
    310018: lambda call, _: replace(call, target=UNKNOWN),
    310011: lambda call, _: with_body(call, customerId=NOBODY),
    310019: lambda call, _: with_body(call, periodName="no such cycle"),
    310119: lambda call, shop: with_body(call, customerId=shop.ann),
}
# Of an enrolment by whom it must not succeed: the state is the last thing to be looked at.
UNENROL_CHECKS: dict[int, Spoil] = {
    **{code: spoil for code, spoil in CHECKS.items() if code not in (310019, 310119)},
    310126: lambda call, shop: with_body(call, customerId=shop.ben),
}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("verb", VERBS)
def test_a_request_that_fails_two_checks_answers_the_earlier(
    shop: Shop, verb: str, prefix: str, database_url: str
) -> None:
    enrols = verb == "enroll"
    checks = dict(CHECKS if enrols else UNENROL_CHECKS)
    if prefix == "/v3":
        del checks[310141]  # it does not look at these headers
    good = Call(
        shop.org.client,
        shop.abc.group_id,
        shop.abc.target_id,
        [{"customerId": shop.ben if enrols else shop.ann}],
    )
    before = contents(database_url)
    order = list(checks)
    for earlier, later in combinations(order, 2):
        # The earlier last, for it may leave nothing for the other to spoil.
        call = checks[earlier](checks[later](good, shop), shop)
        assert code(call.send(verb, prefix)) == earlier, (earlier, later)
    for place, expected in enumerate(order):
        call = good
        for each in reversed(order[place:]):
            call = checks[each](call, shop)
        assert code(call.send(verb, prefix)) == expected
    assert contents(database_url) == before


@pytest.mark.parametrize("prefix", PREFIXES)
def test_each_error_has_its_message_and_its_envelope_under_every_prefix(
    shop: Shop, prefix: str
) -> None:
    for verb, checks in (("enroll", CHECKS), ("unEnroll", UNENROL_CHECKS)):
        customer = shop.ben if verb == "enroll" else shop.ann
        good = Call(
            shop.org.client, shop.abc.group_id, shop.abc.target_id, [{"customerId": customer}]
        )
        for expected, spoil in checks.items():
            if expected == 310141 and prefix == "/v3":
                continue
            response = spoil(good, shop).send(verb, prefix)
            assert response.status_code == STATUSES.get(expected, 400)
            (error,) = response.json()["errors"]
            assert response.json() == {
                "data": None,
                "errors": [{"code": expected, "message": error["message"]}],
                "warnings": None,
            }
            if expected == 300004:
                assert error["message"].startswith(MESSAGES[expected])
            else:
                assert error["message"] == MESSAGES[expected]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_all_four_prefixes_enrol_and_unenrol_alike(shop: Shop, prefix: str) -> None:
    customer = shop.org.register()
    call = Call(shop.org.client, shop.abc.group_id, shop.abc.target_id, [{"customerId": customer}])
    for verb, covered in (("enroll", names(1, 5)), ("unEnroll", [])):
        response = call.send(verb, prefix)
        assert response.status_code == 200
        assert response.content == b'{"data":%d,"errors":null,"warnings":null}' % customer
        assert response.headers["content-type"] == "application/json"
        assert shop.abc.covered(customer) == covered


def test_a_group_of_its_own_and_a_target_of_another_group_are_told_apart(shop: Shop) -> None:
    other = define_milestone(shop.org)
    mixed = Call(shop.org.client, other.group_id, shop.abc.target_id, [{"customerId": shop.ben}])
    for verb in VERBS:
        assert code(mixed.send(verb)) == 310018
    # Target ids and group ids come from one sequence, and are not taken for one another.
    swapped = replace(mixed, group=shop.abc.target_id, target=shop.abc.group_id)
    for verb in VERBS:
        assert code(swapped.send(verb)) == 310017


def test_a_deactivated_group_is_checked_before_its_deactivated_target(shop: Shop) -> None:
    other = define_milestone(shop.org)
    data(shop.org.client.delete(f"/v3/targetGroups/{other.group_id}/targets/{other.target_id}"))
    call = Call(shop.org.client, other.group_id, other.target_id, [{"customerId": NOBODY}])
    for verb in VERBS:
        assert code(call.send(verb)) == 310018
    other.change(active=False)
    for verb in VERBS:
        assert code(call.send(verb)) == 310017


SCOPES: list[tuple[dict[str, str], int]] = [
    ({}, ACCEPTED),
    ({"DATA-SCOPE": "SELF"}, ACCEPTED),
    ({"data-scope": "self"}, ACCEPTED),
    ({"Data-Scope": "sElF"}, ACCEPTED),
    ({"DATA-SCOPE": ""}, ACCEPTED),
    ({"DATA-SCOPE": "SELF", "DATA-SCOPE-ORG": "100, 200"}, ACCEPTED),
    ({"DATA-SCOPE": "SELF", "DATA-SCOPE-ORGS": "none of these"}, ACCEPTED),
    ({"DATA-SCOPE": "SELF", "CONNECTED-ORGS": "1", "DATA-SCOPE-ORG": "2"}, ACCEPTED),
    ({"DATA-SCOPE-ORG": "100"}, ACCEPTED),
    ({"DATA-SCOPE": "ALL"}, 310141),
    ({"DATA-SCOPE": "all"}, 310141),
    ({"DATA-SCOPE": "All", "DATA-SCOPE-ORG": "100"}, 310141),
    ({"DATA-SCOPE": "OTHER"}, 310144),
    ({"DATA-SCOPE": "other", "DATA-SCOPE-ORG": "100"}, 310144),
    ({"DATA-SCOPE": "OTHER", "DATA-SCOPE-ORG": "100", "CONNECTED-ORGS": "200"}, 310144),
    ({"DATA-SCOPE": "EVERYBODY"}, 310144),
    ({"DATA-SCOPE": "SELF, ALL"}, 310144),
    ({"DATA-SCOPE": "\x80\xff"}, 310144),
]


@pytest.mark.parametrize(("headers", "expected"), SCOPES, ids=str)
def test_scope_headers_are_honoured_by_all_prefixes_but_v3_which_ignores_them(
    shop: Shop, headers: dict[str, str], expected: int
) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    for prefix in PREFIXES:
        customer = shop.org.register()
        for verb in VERBS:
            response = shop.org.client.post(
                f"{prefix}/targetGroups/{shop.abc.group_id}/targets/{shop.abc.target_id}/{verb}",
                json=[{"customerId": customer}],
                headers=raw,
            )
            assert code(response) == (ACCEPTED if prefix == "/v3" else expected)


ENROL_BODIES = {
    "as in the page of the release": """[{       
       "customerId":345651201,  
       "periodName":"PERIOD_G_29463_1",
       "initialBalance":100,
  		 "resetStreakStatus":false
  }]
""",
    "as in the newer page": """[
  {       
       "customerId": 345651201,  
       "periodName": "PERIOD_G_29463_1",
       "initialBalance": 100,
       "resetStreakStatus": false
  }
] 
""",
    "as in the older page": """[
{
"customerId":345651201,
"periodName":"PERIOD_G_29463_1",
"initialBalance":100,
"resetStreakStatus":false
}
]
""",
    "with the line ends of Windows": '[{\r\n\t"customerId":345651201,\r\n\t"initialBalance":100\r\n}]\r\n',
}  # fmt: skip


@pytest.fixture(scope="module")
def sample(service: Service) -> Challenge:
    """The milestone of the seeds' samples, with its customers: 423789336 is in it."""
    org = service.new_org()
    cycle = {"refCode": "PERIOD_G_29463_1", "startDate": "2026-06-01", "endDate": "2026-06-30"}
    abc = define_milestone(org, periods=[cycle])
    org.register(345651201)
    assert abc.enrol(org.register(423789336)) == ACCEPTED
    return abc


@pytest.mark.parametrize("body", ENROL_BODIES.values(), ids=ENROL_BODIES)
def test_the_sample_requests_are_answered_as_documented(sample: Challenge, body: str) -> None:
    org = sample.org
    path = f"targetGroups/{sample.group_id}/targets/{sample.target_id}"
    for prefix in PREFIXES:
        enrolled = org.post(f"{prefix}/{path}/enroll", body.encode())
        assert enrolled.json() == {"data": 345651201, "errors": None, "warnings": None}
        assert sample.values(345651201) == [100]
        again = org.post(f"{prefix}/{path}/enroll", body.encode())
        assert again.json()["errors"] == [
            {"code": 310119, "message": "User already enrolled for the target."}
        ]
        left = b"""[
    {
        "customerId":345651201
    }
]
"""
        assert org.post(f"{prefix}/{path}/unEnroll", left).json() == {
            "data": 345651201,
            "errors": None,
            "warnings": None,
        }


def test_the_sample_of_unenrolment_is_answered_as_documented(sample: Challenge) -> None:
    body = b'[\n    {\n        "customerId":423789336\n    }\n]\n'
    path = f"/targetGroups/{sample.group_id}/targets/{sample.target_id}/unEnroll"
    response = sample.org.post(path, body)
    assert response.status_code == 200
    assert response.json() == {"data": 423789336, "errors": None, "warnings": None}
    assert sample.covered(423789336) == []


def test_the_comments_of_the_samples_are_no_json(sample: Challenge) -> None:
    body = (
        ENROL_BODIES["as in the newer page"] + "\n//Maximum number records in the payload is 1.\n"
    )
    path = f"/v3/targetGroups/{sample.group_id}/targets/{sample.target_id}/enroll"
    assert code(sample.org.post(path, body.encode())) == 300004


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/xml",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin-1",
        "nonsense",
    ],
)
def test_a_body_is_json_whatever_its_content_type(shop: Shop, content_type: str | None) -> None:
    customer = shop.org.register()
    headers = {} if content_type is None else {"Content-Type": content_type}
    for verb in VERBS:
        response = shop.org.post(
            f"/v3/targetGroups/{shop.abc.group_id}/targets/{shop.abc.target_id}/{verb}",
            b'[{"customerId": %d}]' % customer,
            headers=headers,
        )
        assert code(response) == ACCEPTED


def test_unknown_fields_are_ignored_and_null_is_absent(shop: Shop) -> None:
    customer = shop.org.register()
    extra: dict[str, Any] = {
        "customerId": customer,
        "orgId": "x",
        "periodname": 5,
        "nested": {"a": [1, {"b": None}]},
        "\u2028": "\U0010ffff",
        "customerID": "somebody else",
    }
    optional = {"periodName": None, "initialBalance": None, "resetStreakStatus": None}
    call = Call(shop.org.client, shop.abc.group_id, shop.abc.target_id, [{**extra, **optional}])
    assert code(call.send("enroll")) == ACCEPTED
    assert shop.abc.covered(customer) == names(1, 5)
    assert code(call.send("unEnroll")) == ACCEPTED
    assert shop.abc.covered(customer) == []


def test_what_unenrolment_does_not_take_is_ignored_whatever_it_is(shop: Shop) -> None:
    customer = shop.org.register()
    assert shop.abc.enrol(customer) == ACCEPTED
    body = [{"customerId": customer, "periodName": 5, "initialBalance": "all", "reset": {}}]
    call = Call(shop.org.client, shop.abc.group_id, shop.abc.target_id, body)
    assert code(call.send("unEnroll")) == ACCEPTED


def test_the_password_may_be_sent_plain_or_as_its_md5(shop: Shop) -> None:
    hashed = shop.service.connect(auth=(shop.org.username, vendor_md5(shop.org.password)))
    call = Call(hashed, shop.abc.group_id, shop.abc.target_id, [{"customerId": shop.ann}])
    assert code(call.send("enroll")) == 310119


async def test_of_50_identical_enrolments_at_once_one_is_200_and_49_are_310119(
    shop: Shop, database_url: str
) -> None:
    customer = shop.org.register()
    path = f"/v3/targetGroups/{shop.abc.group_id}/targets/{shop.abc.target_id}/enroll"
    body = [{"customerId": customer, "periodName": "c1", "initialBalance": 1000}]
    async with httpx.AsyncClient(
        base_url=shop.service.url,
        auth=(shop.org.username, shop.org.password),
        timeout=30,
        limits=httpx.Limits(max_connections=50),
    ) as client:
        answers = await asyncio.gather(*(client.post(path, json=body) for _ in range(50)))
    assert Counter(map(code, answers)) == {ACCEPTED: 1, 310119: 49}
    ids = {answer.headers["x-cap-requestid"] for answer in answers}
    assert len(ids) == 50
    with psycopg.connect(database_url) as connection:
        for table, rows in (("enrolments", 1), ("progress", 1), ("rewards", 1), ("journal", 3)):
            found = connection.execute(
                f"SELECT count(*) FROM {table} WHERE customer_id = %s".encode(), (customer,)
            ).fetchone()
            assert found == (rows,), table
        # The journal knows which request it was.
        known = connection.execute(
            "SELECT DISTINCT request_id FROM journal WHERE customer_id = %s", (customer,)
        ).fetchall()
    (winner,) = (answer for answer in answers if answer.status_code == 200)
    assert known == [(winner.headers["x-cap-requestid"],)]


async def test_of_enrolments_and_unenrolments_at_once_each_finds_a_state_that_it_fits(
    shop: Shop, database_url: str
) -> None:
    customer = shop.org.register()
    base = f"/v3/targetGroups/{shop.abc.group_id}/targets/{shop.abc.target_id}"
    async with httpx.AsyncClient(
        base_url=shop.service.url, auth=(shop.org.username, shop.org.password), timeout=30
    ) as client:
        answers = await asyncio.gather(
            *(
                client.post(f"{base}/{VERBS[n % 2]}", json=[{"customerId": customer}])
                for n in range(40)
            )
        )
    outcomes = Counter(map(code, answers))
    assert set(outcomes) <= {ACCEPTED, 310119, 310126}
    done = [line["what"] for line in shop.abc.journal(customer)]
    assert len(done) == outcomes[ACCEPTED]
    assert done == [("ENROLLED", "UNENROLLED")[n % 2] for n in range(len(done))]
    assert shop.abc.covered(customer) == (names(1, 5) if len(done) % 2 else [])


@pytest.fixture
def small(service_settings: Settings) -> Iterator[Service]:
    """A second service on the module's database, with room for one command."""
    with Service(replace(service_settings, queue_size_max=1)) as running:
        yield running


def test_a_full_queue_answers_503_with_retry_after_and_does_nothing(
    shop: Shop, small: Service, database_url: str
) -> None:
    first, second = shop.org.register(), shop.org.register()
    client = small.connect(auth=(shop.org.username, shop.org.password))
    shape = Call(client, shop.abc.group_id, shop.abc.target_id, [{"customerId": first}])
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(database_url) as owner,
        psycopg.connect(database_url, autocommit=True) as watcher,
    ):
        owner.execute("LOCK TABLE enrolments IN ACCESS EXCLUSIVE MODE")
        waiting = pool.submit(shape.send, "enroll")
        await_blocked(watcher)
        refused = replace(shape, body=[{"customerId": second}]).send("enroll")
        owner.rollback()
        assert code(waiting.result()) == ACCEPTED
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["x-cap-requestid"]
    assert refused.json() == {
        "data": None,
        "errors": [{"code": 503, "message": "Service unavailable, try again."}],
        "warnings": None,
    }
    assert shop.abc.covered(second) == []
    assert shop.abc.journal(second) == []
    assert shop.abc.covered(first) == names(1, 5)


def test_every_kind_of_answer_carries_a_request_id_of_its_own(shop: Shop) -> None:
    path = f"/v3/targetGroups/{shop.abc.group_id}/targets/{shop.abc.target_id}/enroll"
    body = [{"customerId": shop.ann}]
    customer = shop.org.register()
    client = shop.org.client
    answers = {
        200: client.post(path, json=[{"customerId": customer}]),
        400: client.post(path, json=body),
        401: shop.anybody.post(path, json=body),
        403: shop.reader.post(path, json=body),
        404: client.post(f"{path}/now", json=body),
        405: client.get(path),
        413: client.post(path, content=b" " * (2**20 + 1)),
        415: client.post(path, json=body, headers={"Content-Encoding": "gzip"}),
    }
    assert {status: answer.status_code for status, answer in answers.items()} == {
        status: status for status in answers
    }
    ids = [answer.headers.get_list("x-cap-requestid") for answer in answers.values()]
    assert all(len(each) == 1 and each[0] for each in ids)
    assert len({each[0] for each in ids}) == len(answers)


def code(response: httpx.Response) -> int:
    """200, or the code of the one error."""
    if response.status_code == ACCEPTED:
        assert response.json()["errors"] is None
        return ACCEPTED
    (error,) = response.json()["errors"]
    return int(error["code"])


def await_blocked(watcher: psycopg.Connection[Any]) -> None:
    """Wait until a session of the service waits for a lock."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        (blocked,) = watcher.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND wait_event_type = 'Lock'"
        ).fetchone() or (0,)
        if blocked:
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits")
