"""`POST /milepost/v1/activities` as NDJSON: line by line, of any length (contract §5)."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.api.activity_results import Outcome, undone
from milepost.api.activity_stream import LINE_BYTES_MAX, Backlog, Lines
from milepost.errors import INVALID_INPUT, UNAVAILABLE, Refusal
from milepost.rules.activities import Activity
from milepost.rules.recording import Recorded
from tests.api.test_activities import PATH, post, refused, sale, statuses
from tests.harness import Org
from tests.scenarios.vocabulary import define_milestone

NDJSON = {"Content-Type": "application/x-ndjson"}
MEBIBYTE = 2**20


def line(*arguments: Any, **fields: Any) -> bytes:
    return json.dumps(sale(*arguments, **fields)).encode()


def stream(org: Org, body: bytes | Iterator[bytes], **headers: str) -> list[dict[str, Any]]:
    response = org.client.post(PATH, content=body, headers={**NDJSON, **headers})
    return results(response)


def results(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/x-ndjson"
    assert response.headers["X-Cap-Requestid"]
    assert not response.content or response.content.endswith(b"\n")
    return [json.loads(each) for each in response.content.splitlines()]


@pytest.fixture
def customer(org: Org) -> int:
    return org.register()


def test_each_line_is_answered_by_a_bare_result_in_order(org: Org) -> None:
    abc = define_milestone(org)
    customer = org.register()
    abc.enrol(customer)
    found = stream(
        org, line("a", customer, 5) + b"\n" + line("b", 1) + b"\n" + line("a", customer, 5)
    )
    assert found[0] == {
        "id": "a",
        "status": "ACCEPTED",
        "errors": None,
        "effects": [
            {
                "targetGroupId": abc.group_id,
                "targetRuleId": abc.target_id,
                "periodRefCode": "c1",
                "before": 0,
                "after": 5,
                "achieved": False,
                "rewards": [],
            }
        ],
    }
    assert refused(found[1]) == 310011
    assert found[2] == {"id": "a", "status": "DUPLICATE", "errors": None, "effects": []}


def test_blank_lines_are_skipped_and_the_last_line_needs_no_end(org: Org, customer: int) -> None:
    body = b"\n\r\n  \t\n" + line("a", customer) + b"\r\n\n" + b" " + line("b", customer) + b" "
    assert [each["id"] for each in stream(org, body)] == ["a", "b"]
    assert stream(org, b"") == []
    assert stream(org, b"\n\n \n") == []


BAD = {
    "no JSON": b"x",
    "cut short": b'{"id": "a", "customerId": 1',
    "two values": b"{} {}",
    "no text": b'{"id": "a", "x": "\xff\xfe"}',
    "half a character": b'{"id": "\xe2\x82"}',
    "a null byte": b'{"id": "a\x00"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "NaN": b'{"id": "a", "netAmount": NaN}',
    "deep arrays": b"[" * 100_000,
    "deep objects to ignore": b'{"x":' * 100_000 + b"1" + b"}" * 100_000,
    "an array": b"[]",
    "a number": b"5",
    "null": b"null",
    "an array of activities": b'[{"id": "a"}]',
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_line_that_cannot_be_read_harms_no_other(org: Org, customer: int, bad: bytes) -> None:
    found = stream(org, line("a", customer) + b"\n" + bad + b"\n" + line("b", customer))
    assert statuses(found) == ["ACCEPTED", "REJECTED", "ACCEPTED"]
    assert refused(found[1]) == 300004
    assert found[1]["id"] is None


def test_a_line_of_a_mebibyte_is_read_and_a_longer_one_is_rejected(org: Org, customer: int) -> None:
    exact = line("a", customer).ljust(MEBIBYTE)
    long = line("b", customer).ljust(MEBIBYTE + 1)
    huge = line("c", customer) + b" " * (20 * MEBIBYTE)
    found = stream(org, b"\n".join([exact, long, huge, line("d", customer), long]))
    assert statuses(found) == ["ACCEPTED", "REJECTED", "REJECTED", "ACCEPTED", "REJECTED"]
    assert [each["id"] for each in found] == ["a", None, None, "d", None]


def test_content_type_parameters_and_case_do_not_matter(org: Org, customer: int) -> None:
    for kind in ("application/x-ndjson; charset=utf-8", "Application/X-NDJSON ;x=y"):
        assert len(stream(org, line("a", customer), **{"Content-Type": kind})) == 1


def test_activities_of_one_customer_are_decided_in_order_over_windows(org: Org) -> None:
    abc = define_milestone(org)
    customer, other = org.register(), org.register()
    abc.enrol(customer)
    lines = []
    for number in range(3_000):
        back = {**sale(f"r{number}", customer, 1), "type": "RETURN", "returnOf": f"a{number}"}
        lines += [
            line(f"a{number}", customer, 2),
            line(f"o{number}", other, 1),
            json.dumps(back).encode(),
        ]
    found = stream(org, b"\n".join(lines))
    assert statuses(found) == ["ACCEPTED"] * 9_000
    assert abc.value(customer, "c1") == 3_000


def test_a_stream_is_longer_than_any_other_body_may_be(org: Org, customer: int) -> None:
    count = 20_000
    pieces = (line(f"a{number}", customer) + b"\n" for number in range(count))
    found = stream(org, pieces)
    assert [each["id"] for each in found] == [f"a{number}" for number in range(count)]
    assert set(statuses(found)) == {"ACCEPTED"}


@contextmanager
def connection(org: Org, *headers: bytes) -> Iterator[socket.socket]:
    """A stream whose head is sent, and whose body is sent in chunks by hand."""
    credential = base64.b64encode(f"{org.username}:{org.password}".encode())
    with socket.create_connection(
        (org.client.base_url.host, org.client.base_url.port or 80), 30
    ) as sent:
        sent.sendall(
            b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: milepost\r\nAuthorization: Basic "
            + credential
            + b"\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n"
            + b"".join(header + b"\r\n" for header in headers)
            + b"\r\n"
        )  # fmt: skip
        yield sent


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(body), body)


def answer(sent: socket.socket, beginning: bytes = b"") -> tuple[bytes, bytes]:
    """Head and unchunked body of the answer, read to its end."""
    data = beginning
    while not data.endswith(b"\r\n0\r\n\r\n"):
        received = sent.recv(65_536)
        assert received, data[-200:]
        data += received
    head, _, rest = data.partition(b"\r\n\r\n")
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        if int(size, 16) == 0:
            return head, body
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]


def test_who_waits_for_each_answer_gets_it_before_sending_the_next_line(
    org: Org, customer: int
) -> None:
    with connection(org) as sent:
        received = b""
        for number in range(5):
            sent.sendall(chunk(line(f"a{number}", customer) + b"\n"))
            while b'"a%d"' % number not in received:
                received += sent.recv(65_536)
        sent.sendall(b"0\r\n\r\n")
        head, body = answer(sent, received)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert statuses([json.loads(each) for each in body.splitlines()]) == ["ACCEPTED"] * 5


def test_who_asks_whether_to_go_on_is_told_so(org: Org, customer: int) -> None:
    with connection(org, b"Expect: 100-continue") as sent:
        assert sent.recv(65_536).startswith(b"HTTP/1.1 100 ")
        sent.sendall(chunk(line("a", customer)) + b"0\r\n\r\n")
        head, _ = answer(sent)
    assert head.startswith(b"HTTP/1.1 200 ")


def test_who_reads_nothing_before_having_sent_all_gets_every_line(org: Org) -> None:
    """The answer is more than sockets and memory hold: the rest of it waits on disk."""
    count, padding = 40_000, "x" * 200
    lines = b"".join(b'{"id": "%b%d"}\n' % (padding.encode(), n) for n in range(count))
    with connection(org) as sent:
        for start in range(0, len(lines), 60_000):
            sent.sendall(chunk(lines[start : start + 60_000]))
        sent.sendall(b"0\r\n\r\n")
        _, body = answer(sent)
    found = [json.loads(each)["id"] for each in body.splitlines()]
    assert found == [f"{padding}{number}" for number in range(count)]


def test_who_reads_slowly_gets_every_line(org: Org) -> None:
    count, padding = 20_000, b"x" * 200
    with connection(org) as sent:

        def send() -> None:
            for start in range(0, count, 500):
                numbers = range(start, start + 500)
                sent.sendall(chunk(b"".join(b'{"id": "%b%d"}\n' % (padding, n) for n in numbers)))
            sent.sendall(b"0\r\n\r\n")

        sending = threading.Thread(target=send)
        sending.start()
        beginning = b""
        while len(beginning) < MEBIBYTE:
            beginning += sent.recv(512)
        _, body = answer(sent, beginning)
        sending.join()
    assert len(body.splitlines()) == count


def test_who_goes_away_within_a_line_has_not_sent_it(org: Org, customer: int) -> None:
    with connection(org) as sent:
        sent.sendall(chunk(line("a", customer) + b"\n"))
        assert b"ACCEPTED" in sent.recv(65_536)
        sent.sendall(chunk(line("b", customer)))
    # The connection is gone without the body's end. What came before is kept.
    found = stream(org, line("a", customer) + b"\n" + line("b", customer))
    assert statuses(found) == ["DUPLICATE", "ACCEPTED"]


def test_a_connection_can_be_used_again(org: Org, customer: int) -> None:
    for number in range(3):
        assert statuses(stream(org, line(f"a{number}", customer))) == ["ACCEPTED"]
        assert statuses(post(org, sale(f"a{number}", customer))) == ["DUPLICATE"]


def test_a_line_that_could_not_be_recorded_for_a_while_is_tried_again(
    org: Org, customer: int, database_url: str
) -> None:
    """Somebody holds the versions for longer than a statement waits for a lock."""
    other = org.register()
    back = {**sale("r", customer, 1), "type": "RETURN", "returnOf": "a"}
    body = b"\n".join([line("a", customer, 5), json.dumps(back).encode(), line("o", other)])
    with psycopg.connect(database_url) as blocking:
        blocking.execute("LOCK TABLE customer_versions IN EXCLUSIVE MODE")
        sending = threading.Thread(target=lambda: found.extend(stream(org, body)))
        found: list[dict[str, Any]] = []
        sending.start()
        sending.join(6)  # more than the lock's time-out of 5 s
        assert sending.is_alive()
    sending.join()
    assert statuses(found) == ["ACCEPTED"] * 3


def fed(pieces: list[bytes]) -> list[bytes | None]:
    lines = Lines()
    for place, piece in enumerate(pieces):
        lines.feed(piece, last=place == len(pieces) - 1)
    assert lines.ended
    found: list[bytes | None] = []
    while lines.waiting:
        found += lines.take()
    assert not lines.full()
    return found


@given(st.lists(st.binary(max_size=4)), st.lists(st.integers(0, 30)))
def test_lines_are_the_same_however_the_body_is_cut(parts: list[bytes], cuts: list[int]) -> None:
    body = b"\n".join(parts)
    places = sorted({cut for cut in cuts if cut <= len(body)})
    pieces = [body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)]
    assert fed(pieces) == [each for each in body.split(b"\n") if each.strip()]


def test_a_line_too_long_is_not_kept_in_memory() -> None:
    lines = Lines()
    for _ in range(3):
        lines.feed(b"x" * LINE_BYTES_MAX, last=False)
    lines.feed(b"x\na\n", last=True)
    assert lines.take() == [None, b"a"]


def test_a_window_is_full_by_lines_or_by_bytes() -> None:
    lines = Lines()
    lines.feed(b"1\n" * 1_999, last=False)
    assert not lines.full()
    lines.feed(b"1\n" * 2, last=False)
    assert lines.full()
    assert len(lines.take()) == 2_000
    assert not lines.full()
    lines.feed(b"x" * MEBIBYTE + b"\n" + b"x" * MEBIBYTE + b"\nx\n", last=True)
    assert lines.full()
    assert [len(each or b"") for each in lines.take()] == [1, MEBIBYTE, MEBIBYTE]
    assert lines.take() == [b"x"]


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=9), st.none())))
async def test_a_backlog_gives_back_what_was_put_in_order(pieces: list[bytes | None]) -> None:
    """None: take one out, if there is any."""
    put, taken = b"", b""
    backlog = Backlog(memory_bytes_max=10)
    for piece in pieces:
        if piece is not None:
            backlog.put(piece)
            put += piece
        elif len(taken) < len(put):
            taken += await backlog.take()
    backlog.end()
    while more := await backlog.take():
        taken += more
    backlog.close()
    assert taken == put


async def test_there_is_no_room_in_a_full_backlog_until_something_is_taken() -> None:
    backlog = Backlog(memory_bytes_max=2, bytes_max=6)
    await backlog.room()
    for _ in range(3):
        backlog.put(b"abc")
    waiting = asyncio.create_task(backlog.room())
    await backlog.take()
    await asyncio.sleep(0)
    assert not waiting.done()
    await backlog.take()
    await waiting
    backlog.close()


def test_what_was_not_done_is_repeated_with_what_was_refused_behind_it() -> None:
    """Of the same customer: a return rests on its sale. What was accepted is left alone."""
    at = datetime(2026, 6, 1, tzinfo=UTC)
    missed, refusal = Refusal(UNAVAILABLE), Refusal(INVALID_INPUT)
    outcomes: list[tuple[int, Outcome]] = [
        (1, refusal),
        (1, missed),
        (2, refusal),
        (1, Recorded("ACCEPTED")),
        (1, refusal),
        (3, refusal),
        (2, missed),
    ]
    activities = [Activity("a", customer, "EVENT", at, "e") for customer, _ in outcomes]
    found = [outcome for _, outcome in outcomes]
    assert undone(activities, found) == [1, 4, 6]
    assert undone(activities, found, {3}) == [1, 4, 5, 6]
    assert undone(activities, [Recorded("DUPLICATE")] * 7, {1, 2, 3}) == []
