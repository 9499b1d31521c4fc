"""Importing: which rows are taken, in which form, and what is said of each (contract §1)."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.api import payloads
from tests.harness import Org
from tests.imports.vocabulary import query, results_of, run_import, statuses, write_rows


@pytest.fixture
def url(database_url: str) -> str:
    return database_url


def customer(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "customerId": number,
        "mobile": f"91{number:010d}",
        "source": "INSTORE",
        "firstName": "Ann",
        **fields,
    }


def sale(identity: str, customer_id: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": identity,
        "customerId": customer_id,
        "type": "TRANSACTION",
        "occurredAt": "2026-06-01T00:00:00Z",
        "netAmount": 100.5,
        **fields,
    }


def challenge(org: Org, **fields: Any) -> dict[str, int]:
    group = org.define(**payloads.milestone(**fields))
    (found,) = group["targets"]
    return {"targetGroupId": group["id"], "targetId": found["id"]}


def test_customers_are_registered_as_over_http(org: Org, url: str, tmp_path: Path) -> None:
    rows = [
        customer(1, email="Ann@Example.com", externalId="x-1", lastName="Li"),
        {"mobile": "919999999999", "source": "WEBSITE"},
        customer(1, mobile="918888888888"),
        {"customerId": 3, "source": "INSTORE"},
        {"mobile": "917777777777"},
        customer(4, email=" "),
    ]
    file = write_rows(tmp_path / "c.ndjson", rows)
    done = run_import("customers", file, org.id, url)
    assert done.returncode == 0, done.stderr
    assert "4 accepted, 0 duplicates, 2 rejected" in done.stdout
    assert results_of(file) == [
        (1, "ACCEPTED", []),
        (2, "ACCEPTED", []),
        (3, "REJECTED", [8006]),
        (4, "ACCEPTED", []),
        (5, "REJECTED", [8004]),
        (6, "ACCEPTED", []),
    ]
    for kind, value in {"id": "1", "email": "ann@example.com", "externalId": "x-1"}.items():
        found = org.get(
            "/v2/customers/lookup",
            params={"source": "INSTORE", "identifierName": kind, "identifierValue": value},
        )
        assert found.json()["entity"] == 1


def test_a_customer_known_in_another_source_is_joined(org: Org, url: str, tmp_path: Path) -> None:
    rows = [customer(1), {"mobile": "910000000001", "source": "WEBSITE", "externalId": "w"}]
    file = write_rows(tmp_path / "c.ndjson", rows)
    run_import("customers", file, org.id, url)
    assert statuses(file) == ["ACCEPTED", "ACCEPTED"]
    assert query(url, "SELECT customer_id FROM customers WHERE org_id = %s", org.id) == [(1,)]


def test_enrolments_follow_the_rules_of_enrol(org: Org, url: str, tmp_path: Path) -> None:
    target = challenge(org)
    for number in (1, 2, 3):
        org.register(number)
    rows: list[dict[str, Any]] = [
        {**target, "customerId": 1, "initialBalance": 1000},
        {**target, "customerId": 1, "periodName": None},
        {**target, "customerId": 99},
        {**target, "customerId": 2, "periodName": "nothing"},
        {**target, "customerId": 2, "targetGroupId": 5},
        {**target, "customerId": "2"},
        {**target, "customerId": 2, "initialBalance": 1.5},
        {**target, "customerId": 2, "targetValue": 40, "initialBalance": 50},
        {**target, "customerId": 3, "resetStreakStatus": True},
        {**target, "customerId": 3, "targetValue": "1"},
        {**target, "customerId": 3, "targetValue": 0.5},
    ]
    file = write_rows(tmp_path / "e.ndjson", rows)
    assert run_import("enrolments", file, org.id, url).returncode == 0
    assert [(status, *codes) for _, status, codes in results_of(file)] == [
        ("ACCEPTED",),
        ("REJECTED", 310119),
        ("REJECTED", 310011),
        ("REJECTED", 310019),
        ("REJECTED", 310017),
        ("REJECTED", 300004),
        ("REJECTED", 300004),
        ("ACCEPTED",),
        ("ACCEPTED",),
        ("REJECTED", 300004),
        ("ACCEPTED",),
    ]
    progress = query(
        url,
        "SELECT customer_id, value, own_target_value, achieved_at IS NOT NULL FROM progress "
        "WHERE org_id = %s ORDER BY customer_id, period_id",
        org.id,
    )
    own, half = Decimal(40), Decimal("0.5")
    assert progress == [
        (1, 1000, None, True),
        (2, 50, own, True), (2, 0, own, False), (2, 0, own, False),
        (3, 0, half, False), (3, 0, half, False), (3, 0, half, False),
    ]  # fmt: skip


def test_activities_count_as_over_http(org: Org, url: str, tmp_path: Path) -> None:
    target = challenge(org)
    org.register(1)
    org.enrol(target["targetGroupId"], target["targetId"], 1)
    rows = [
        sale("a", 1),
        sale("a", 1),
        sale("a", 1, netAmount=1),
        sale("b", 1, attributes={"k": [1, {"x": None}]}, lineItems=[{"sku": "s"}]),
        sale("c", 2),
        {**sale("r", 1, netAmount=50), "type": "RETURN", "returnOf": "a"},
        sale("d", 1, occurredAt="2030-01-01T00:00:00Z"),
    ]
    file = write_rows(tmp_path / "a.jsonl", rows)
    assert run_import("activities", file, org.id, url).returncode == 0
    assert [(status, *codes) for _, status, codes in results_of(file)] == [
        ("ACCEPTED",),
        ("DUPLICATE",),
        ("REJECTED", 300004),
        ("ACCEPTED",),
        ("REJECTED", 310011),
        ("ACCEPTED",),
        ("REJECTED", 300004),
    ]
    again = write_rows(tmp_path / "b.jsonl", rows[:1])
    run_import("activities", again, org.id, url)
    assert statuses(again) == ["DUPLICATE"]
    values = query(url, "SELECT value FROM progress WHERE org_id = %s", org.id)
    assert values == [(Decimal("151.0"),)]


def test_one_bad_line_stops_no_other(org: Org, url: str, tmp_path: Path) -> None:
    good = json.dumps(customer(1)).encode()
    better = json.dumps(customer(2)).encode()
    lines = [
        b"\xef\xbb\xbf" + good + b"\r",
        b"",
        b"nonsense",
        b"[]",
        b'{"source": "\xff"}',
        b'{"firstName": "\\u0000", "mobile": "911111111111", "source": "INSTORE"}',
        b"[" * 100_000,
        b" " * 2**20 + b"{}",
        b'{"customerId": ' + b"9" * 40 + b"}",
        better,
    ]
    file = tmp_path / "c.ndjson"
    file.write_bytes(b"\n".join(lines))
    assert run_import("customers", file, org.id, url).returncode == 0
    bad = [(line, "REJECTED", [300004]) for line in range(3, 10)]
    assert results_of(file) == [(1, "ACCEPTED", []), *bad, (10, "ACCEPTED", [])]


def test_a_csv_row_is_the_same_as_an_ndjson_row(org: Org, url: str, tmp_path: Path) -> None:
    target = challenge(org)
    file = tmp_path / "c.csv"
    file.write_bytes(
        b"\xef\xbb\xbfcustomerId, mobile ,firstName,note,source\r\n"
        b'1,910000000001,"Li, ""Ann""\r\nJr",x,INSTORE\r\n'
        b"\r\n"
        b"2,910000000002,,,INSTORE\r\n"
    )
    run_import("customers", file, org.id, url)
    assert results_of(file) == [(2, "ACCEPTED", []), (5, "ACCEPTED", [])]
    names = query(url, "SELECT first_name FROM customer_profiles WHERE org_id = %s", org.id)
    assert sorted(names) == [("",), ('Li, "Ann"\nJr',)]

    group, rule = target["targetGroupId"], target["targetId"]
    file = tmp_path / "e.csv"
    file.write_text(
        "targetGroupId,targetId,customerId,periodName,initialBalance,resetStreakStatus,targetValue\n"
        f"{group},{rule},1,,,FALSE,0\n"
        f"{group},{rule},2,,7,,\n"
        f"{group},{rule},2,,7,,12.50\n"
    )
    run_import("enrolments", file, org.id, url)
    assert statuses(file) == ["ACCEPTED"] * 3
    asked = query(
        url,
        "SELECT DISTINCT customer_id, own_target_value, value FROM progress WHERE org_id = %s "
        "ORDER BY 1, 3",
        org.id,
    )
    assert asked == [(1, 0, 0), (2, Decimal("12.50"), 0), (2, Decimal("12.50"), 7)]

    file = tmp_path / "a.csv"
    file.write_text(
        "id,customerId,type,occurredAt,netAmount,lineItems,attributes\n"
        '007,1,TRANSACTION,2026-06-01T00:00:00Z,1e1,"[{""sku"": ""A"", ""quantity"": 2}]",'
        '"{""channel"": ""web""}"\n'
    )
    run_import("activities", file, org.id, url)
    assert statuses(file) == ["ACCEPTED"]
    (stored,) = query(
        url, "SELECT activity_id, net_amount, attributes FROM activities WHERE org_id = %s", org.id
    )
    assert stored == ("007", 10, {"channel": "web"})


def test_a_bad_csv_row_stops_no_other(org: Org, url: str, tmp_path: Path) -> None:
    file = tmp_path / "c.csv"
    file.write_bytes(
        b"customerId,mobile,source\n"
        b"1,910000000001,INSTORE\n"
        b"2,910000000002\n"
        b"3,910000000003,INSTORE,more\n"
        b'4,"910000000004,INSTORE\n'
        b"5,910000000005,INSTORE\n"
        b'6,9100000"00006,INSTORE\n'
        b"7,910000000007,INSTORE\n"
        b"8,\xff,INSTORE\n"
        b'9,"910000000009"x,INSTORE\n'
        b'1}{"x":1,910000000010,INSTORE\n'
        b'"' + b"1" * 2**20 + b'",910000000011,INSTORE\n'
        b"12,910000000012,INSTORE\n"
    )
    run_import("customers", file, org.id, url)
    accepted = [line for line, status, _ in results_of(file) if status == "ACCEPTED"]
    assert accepted == [2, 6, 8, 13]
    assert [line for line, *_ in results_of(file)] == list(range(2, 14))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("customerId,targetId", "lacks targetGroupId"),
        ("customerId;targetId;targetGroupId", "none of the columns"),
        ("customerId,targetId,targetGroupId,targetId", "targetId twice"),
    ],
)
def test_a_header_that_says_nothing_ends_the_import_with_2(
    org: Org, url: str, tmp_path: Path, header: str, reason: str
) -> None:
    file = tmp_path / "e.csv"
    file.write_text(f"{header}\n1,2,3\n")
    done = run_import("enrolments", file, org.id, url)
    assert (done.returncode, reason in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("org_id", [10**9, 0, 10**30])
def test_an_unknown_organisation_ends_the_import_with_2(
    url: str, tmp_path: Path, org_id: int
) -> None:
    file = write_rows(tmp_path / "c.ndjson", [customer(1)])
    assert run_import("customers", file, org_id, url).returncode == 2


def test_an_unreadable_file_and_wrong_usage_end_the_import_with_2(
    org: Org, url: str, tmp_path: Path
) -> None:
    file = write_rows(tmp_path / "c.ndjson", [customer(1)])
    assert run_import("customers", tmp_path / "none", org.id, url).returncode == 2
    assert run_import("customers", tmp_path, org.id, url).returncode == 2
    assert run_import("visitors", file, org.id, url).returncode == 2


def test_a_file_without_rows_is_imported_whole(org: Org, url: str, tmp_path: Path) -> None:
    for name, text in {"a.csv": "", "b.ndjson": "\n\n", "c.csv": "customerId,source\n"}.items():
        file = tmp_path / name
        file.write_text(text)
        assert run_import("customers", file, org.id, url).returncode == 0
        assert results_of(file) == []


def test_without_a_telling_name_the_form_is_seen(org: Org, url: str, tmp_path: Path) -> None:
    for name, text in {
        "one": '\n{"customerId": 1, "mobile": "910000000001", "source": "INSTORE"}\n',
        "two.txt": "customerId,mobile,source\n2,910000000002,INSTORE\n",
    }.items():
        file = tmp_path / name
        file.write_text(text)
        run_import("customers", file, org.id, url)
        assert [(line, status) for line, status, _ in results_of(file)] == [(2, "ACCEPTED")]
