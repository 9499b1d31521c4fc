"""Bad input: that line answers with its error, and the others are kept.

A milestone ABC has five cycles, c1 to c5: June to October 2026, each asking for 1000.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.harness import Org
from tests.scenarios.vocabulary import (
    ACCEPTED,
    INVALID_INPUT,
    INVALID_USER,
    Challenge,
    deed,
    define_milestone,
    giving_back,
    item,
    post,
    sale,
    statuses,
    stream,
)

NOW = "2026-06-01T12:00:00Z"


@pytest.fixture
def abc(org: Org) -> Challenge:
    """A milestone, and customer 7 in it with a sale of 100 and an event."""
    abc = define_milestone(org)
    org.register(7)
    assert abc.enrol(7, "c1") == ACCEPTED
    org.move_clock(NOW)
    assert abc.buy(7, 100, id="s", lineItems=[item("A", 100, 2)]) == ("c1", 0, 100, False)
    post(org, deed(7, "reviewed", NOW) | {"id": "e"})
    return abc


@pytest.mark.parametrize("send", [post, stream])
def test_a_bad_activity_is_rejected_and_its_neighbours_are_kept(abc: Challenge, send: Any) -> None:
    bad = [
        # An unknown customer, or none.
        *(sale(7, 1, NOW) | {"customerId": who} for who in (8, -7, 0, None, "7", 7.0, True, 2**63)),
        # A future or an absurd date, or none.
        *(sale(7, 1, on) for on in (
            "2026-06-01T12:00:00.001Z", "2026-06-01T17:30:00.001+05:30", "9999-12-31T23:59:59Z",
            "0001-01-01T00:00:00Z", "1899-12-31T23:59:59Z", "2026-02-30T00:00:00Z",
            "2026-06-01T12:00:00", "2026-06-01", "yesterday", "",
        )),
        *(sale(7, 1, NOW) | {"occurredAt": at} for at in (None, 1780315200, True)),
        # A negative or an absurd amount, or none.
        *(sale(7, 1, NOW) | {"netAmount": net} for net in (
            None, -0.01, -1, 10**15, 1e300, 10**400, "1", True, [1], 1e-30,
        )),
        sale(7, 1, NOW, grossAmount=-1),
        *(sale(7, 1, NOW, lineItems=[item("A", 1) | {"quantity": n}]) for n in (-1, "2", 10**15)),
        # A return of something else, of too much, too early, or of nothing.
        *(giving_back(7, of, 1, NOW) for of in ("unknown", "S", "e", "", " ")),
        giving_back(7, "s", 100.01, NOW),
        giving_back(7, "s", 1, "2026-06-01T11:59:59Z"),
        giving_back(7, "s", 0, NOW),
        giving_back(7, "s", 1, NOW, returnOf=None),
        giving_back(7, "s", 1, NOW, lineItems=[item("A", 1, 3)]),
        # An id with other content, one too long, or none.
        sale(7, 1, NOW, id="s"),
        deed(7, "rated", NOW) | {"id": "e"},
        *(sale(7, 1, NOW, id=name) for name in ("", " ", "x" * 256, None, 7, ["s"], "\x00")),
        # No event, no type, and a type of its own.
        *(deed(7, name, NOW) for name in ("", " ", "x" * 201, "\x00")),
        deed(7, "reviewed", NOW) | {"eventName": None},
        *(sale(7, 1, NOW) | {"type": kind} for kind in (None, "", "transaction", "GIFT", 1)),
        # Too much of it.
        sale(7, 1, NOW, lineItems=[{"sku": f"{n}"} for n in range(10_000)]),
        sale(7, 1, NOW, lineItems=[item("x" * 256, 1)]),
        sale(7, 1, NOW, lineItems={"sku": "A"}),
        sale(7, 1, NOW, attributes={f"{n}": n for n in range(201)}),
        sale(7, 1, NOW, attributes={"text": "x" * 70_000}),
        sale(7, 1, NOW, attributes={"deep": nested(9)}),
        sale(7, 1, NOW, attributes=[1]),
        sale(7, 1, NOW, attributes={"a": "\x00"}),
        # No activity at all.
        {}, [], None, 7, "text", True, nested(500),
    ]  # fmt: skip
    good = [sale(7, 1, NOW) for _ in bad]
    mixed = [each for pair in zip(bad, good, strict=True) for each in pair]
    before = len(abc.journal(7))
    results = send(abc.org, *(json_text(each) if send is stream else each for each in mixed))
    assert statuses(results[1::2]) == ["ACCEPTED"] * len(good)
    rejected = results[::2]
    for sent, result in zip(bad, rejected, strict=True):
        assert (result["status"], result["effects"]) == ("REJECTED", []), sent
        (error,) = result["errors"]
        assert error["message"], sent
        identity = sent.get("id") if isinstance(sent, dict) else None
        assert result["id"] == (identity if isinstance(identity, str) else None), sent
    assert set(statuses(rejected)) == {INVALID_INPUT, INVALID_USER}
    assert statuses(rejected[:3]) == [INVALID_USER] * 3
    assert results[-1]["effects"][0]["after"] == 100 + len(good)
    # Nothing is written of what was rejected.
    assert len(abc.journal(7)) == before + len(good)


def test_an_amount_that_is_no_finite_number(abc: Challenge) -> None:
    good = [json.dumps(sale(7, 125, NOW)).encode() for _ in range(6)]
    numbers = (b"NaN", b"Infinity", b"-Infinity", b"1e999999999", b"0x10")
    bad = [good[-1].replace(b"125", number) for number in numbers]
    lines = [line for pair in zip(good, bad, strict=False) for line in pair]
    assert statuses(stream(abc.org, *lines)) == ["ACCEPTED", INVALID_INPUT] * len(bad)
    assert abc.value(7, "c1") == 100 + 5 * 125
    path = "/milepost/v1/activities"
    response = abc.org.post(path, b"[%b, %b]" % (good[-1], bad[3]))
    assert statuses(response.json()["data"]) == ["ACCEPTED", INVALID_INPUT]
    # The others are no JSON, so that an array with one of them is none.
    for line in (*bad[:3], bad[4]):
        response = abc.org.post(path, b"[%b, %b]" % (json.dumps(sale(7, 1, NOW)).encode(), line))
        assert response.json()["errors"][0]["code"] == INVALID_INPUT
    assert abc.value(7, "c1") == 100 + 6 * 125


def test_invalid_ndjson_in_the_middle(abc: Challenge) -> None:
    good = [json.dumps(sale(7, 1, NOW)).encode() for _ in range(8)]
    bad = [
        good[0][:-1],
        good[0] + good[0],
        b"[" + good[0] + b"]",
        b"{'id': 'x'}",
        good[0].replace(b"TRANSACTION", b"\xff\xfe"),
        b"\x00",
        b'{"id": "too long", "pad": "' + b"x" * 2**20 + b'"}',
    ]
    lines = [line for pair in zip(good, [*bad, b" "], strict=True) for line in pair]
    results = stream(abc.org, *lines)
    expected = ["ACCEPTED", INVALID_INPUT] * len(bad) + ["ACCEPTED"]
    assert statuses(results) == expected
    assert abc.value(7, "c1") == 100 + len(good)
    # Where the id can be read it is told.
    sent = json.loads(good[0])["id"]
    assert {each["id"] for each in results if each["status"] == "REJECTED"} <= {None, sent}


def test_1000_line_items_are_taken_and_counted(org: Org) -> None:
    target = {"targetEntity": "LINEITEM", "targetType": "QUANTITY"}
    abc, ann = define_milestone(org, target=target), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    most = [item("A", 0.01, 3) for _ in range(1000)]
    assert abc.buy(ann, 10, lineItems=most) == ("c1", 0, 3000, True)
    assert abc.buy(ann, 10, lineItems=[*most, item("A", 1)]) == INVALID_INPUT


def test_the_largest_amounts_are_kept_to_the_last_digit(org: Org) -> None:
    abc, ann = define_milestone(org), org.register()
    assert abc.enrol(ann, "c1") == ACCEPTED
    for amount in ("0.123456789", "999999999999999.123456789", "0"):
        line = json.dumps(sale(ann, 7.5, org.now())).replace("7.5", amount)
        assert statuses(stream(org, line)) == ["ACCEPTED"]
    view = org.get(f"/v3/users/{ann}/targetGroups?includeInactive=true").text
    assert '"targetAchievedValue":999999999999999.246913578' in view.replace(" ", "")


def nested(depth: int) -> Any:
    """Lists within lists."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def json_text(value: Any) -> bytes:
    return json.dumps(value).encode()
