"""What a connection may take up: the head of a request, and the time that its caller takes."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest

from milepost.settings import Settings
from tests.harness import ADMIN_TOKEN, Org, Service

HEAD_SECONDS = 0.4
STALL_SECONDS = 0.6
BODY_BYTES_PER_SECOND = 200


@pytest.fixture(scope="module")
def service_settings(database_url: str) -> Settings:
    return Settings(
        database_url=database_url,
        admin_token=ADMIN_TOKEN,
        head_timeout_seconds=HEAD_SECONDS,
        stall_timeout_seconds=STALL_SECONDS,
        body_bytes_per_second_min=BODY_BYTES_PER_SECOND,
    )


@contextmanager
def connected(service: Service, *, receives_bytes: int | None = None) -> Iterator[socket.socket]:
    """A connection that takes only about `receives_bytes` without being read."""
    address = urlsplit(service.url)
    with closing(socket.socket()) as made:
        if receives_bytes is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives_bytes)
        made.settimeout(10)
        made.connect((address.hostname or "", address.port or 0))
        yield made


def everything(raw: socket.socket) -> bytes:
    """What comes until the server closes; a reset is an end too."""
    received = b""
    try:
        while piece := raw.recv(65_536):
            received += piece
    except ConnectionResetError:
        pass
    return received


def answer_to(service: Service, request: bytes) -> tuple[int, dict[str, str], dict[str, object]]:
    with connected(service) as raw:
        raw.sendall(request)
        head, _, body = everything(raw).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert int(headers["content-length"]) == len(body)
    return int(first.split()[1]), headers, json.loads(body)


def head(*lines: str, path: str = "/health/live") -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: x", *lines, "", "")).encode()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (head(*(f"X-{number}: 1" for number in range(200))), 431),
        (head(*(f"X-{number}: {'y' * 8_000}" for number in range(9))), 431),
        (head(f"X: {'y' * 70_000}"), 431),
        (head(path="/health/live?" + "x" * 8_200), 414),
        (b"this is not HTTP\r\n\r\n", 400),
    ],
)
def test_a_head_that_is_too_large_is_refused_in_the_usual_envelope(
    service: Service, request_bytes: bytes, status: int
) -> None:
    answered, headers, body = answer_to(service, request_bytes)
    assert answered == status
    assert headers["connection"] == "close"
    assert len(headers["x-cap-requestid"]) == 32
    assert body["data"] is None
    assert [error["code"] for error in body["errors"]] == [status]  # type: ignore[attr-defined]


def test_a_v2_path_gets_the_envelope_of_v2(service: Service) -> None:
    status, _, body = answer_to(service, head(path="/v2/customers?" + "x" * 8_200))
    assert status == 414
    assert body == {
        "errors": [{"status": False, "code": 414, "message": "URI too long."}],
        "warnings": [],
    }


def test_a_head_within_the_bounds_is_taken(service: Service) -> None:
    close = "Connection: close"
    for request in (
        head(close, *(f"X-{number}: 1" for number in range(190))),
        head(close, f"X: {'y' * 60_000}"),
        head(close, path="/health/live?" + "x" * 8_000),
    ):
        assert answer_to(service, request)[0] == 200


def test_a_head_without_end_is_refused_before_it_fills_the_memory(service: Service) -> None:
    with connected(service) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nX: ")
        sent = 0
        try:
            while sent < 64 * 2**20:
                raw.sendall(b"y" * 65_536)
                sent += 65_536
        except OSError:
            pass
    assert sent < 16 * 2**20


def closes_within(raw: socket.socket, low: float, high: float) -> bytes:
    began = time.monotonic()
    received = everything(raw)
    assert low <= time.monotonic() - began <= high
    return received


def seconds_that_are_taken(raw: socket.socket, piece: bytes) -> float:
    """For how long the server lets `piece` be sent again and again."""
    began = time.monotonic()
    with suppress(ConnectionError):
        while time.monotonic() - began < 5:
            raw.sendall(piece)
            time.sleep(0.05)
    return time.monotonic() - began


def test_a_caller_who_sends_no_request_is_not_waited_for(service: Service) -> None:
    with connected(service) as raw:
        assert closes_within(raw, HEAD_SECONDS * 0.7, 3) == b""


def test_a_head_that_dribbles_in_is_not_waited_for(service: Service) -> None:
    with connected(service) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n")
        assert seconds_that_are_taken(raw, b"X: y\r\n") < 3


def test_a_body_that_stalls_is_not_waited_for_and_one_that_goes_on_is(
    service: Service, org: Org, capfd: pytest.CaptureFixture[str]
) -> None:
    with connected(service) as raw:
        raw.sendall(posting(org, "/v3/targetGroups", "application/json", "100"))
        raw.sendall(b"{")
        assert closes_within(raw, STALL_SECONDS * 0.7, 4) == b""
    assert "defect" not in capfd.readouterr().err
    with connected(service) as raw:
        raw.sendall(posting(org, "/v3/targetGroups", "application/json", "360"))
        for _ in range(6):
            raw.sendall(b" " * 60)
            time.sleep(STALL_SECONDS / 4)
        assert raw.recv(65_536).startswith(b"HTTP/1.1 400")


def test_a_body_that_dribbles_in_is_not_waited_for_and_one_that_is_fast_enough_is(
    service: Service, org: Org
) -> None:
    with connected(service) as raw:
        raw.sendall(posting(org, "/v3/targetGroups", "application/json", "100000"))
        # Never a pause as long as a stall, and never a body.
        assert seconds_that_are_taken(raw, b" ") < 4
    with connected(service) as raw:
        length = int(BODY_BYTES_PER_SECOND * STALL_SECONDS * 4)
        raw.sendall(posting(org, "/v3/targetGroups", "application/json", str(length)))
        for _ in range(8):
            raw.sendall(b" " * (length // 8))
            time.sleep(STALL_SECONDS / 4)
        assert raw.recv(65_536).startswith(b"HTTP/1.1 400")


def posting(org: Org, path: str, kind: str, length: str | None = None) -> bytes:
    token = base64.b64encode(f"{org.username}:{org.password}".encode()).decode()
    framing = f"Content-Length: {length}" if length else "Transfer-Encoding: chunked"
    return (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {token}\r\n"
        f"Content-Type: {kind}\r\n{framing}\r\n\r\n"
    ).encode()


def test_a_body_that_nobody_wants_any_more_is_not_waited_for_either(service: Service) -> None:
    with connected(service) as raw:
        raw.sendall(b"POST /v3/targetGroups HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert raw.recv(65_536).startswith(b"HTTP/1.1 401")
        assert seconds_that_are_taken(raw, b" ") < 3


def test_a_stream_may_pause_for_less_than_a_stall_and_go_on_for_long(
    service: Service, org: Org
) -> None:
    customer = org.register()
    org.move_clock("2026-06-02T00:00:00Z")
    with connected(service) as raw:
        raw.sendall(posting(org, "/milepost/v1/activities", "application/x-ndjson"))
        for number in range(4):
            line = (
                json.dumps(
                    {
                        "id": f"a{number}",
                        "customerId": customer,
                        "type": "TRANSACTION",
                        "occurredAt": "2026-06-01T10:00:00Z",
                        "netAmount": 1,
                    }
                )
                + "\n"
            ).encode()
            raw.sendall(b"%x\r\n%s\r\n" % (len(line), line))
            time.sleep(STALL_SECONDS / 2)
        raw.sendall(b"0\r\n\r\n")
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += raw.recv(65_536)
    assert received.count(b'"ACCEPTED"') == 4


def test_who_still_sends_a_stream_may_read_its_answer_later(service: Service, org: Org) -> None:
    lines, pieces = 48_000, 8
    piece = b"{}\n" * (lines // pieces)
    with connected(service, receives_bytes=4_096) as raw:
        raw.sendall(posting(org, "/milepost/v1/activities", "application/x-ndjson"))
        for _ in range(pieces):
            raw.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            time.sleep(STALL_SECONDS / 3)
        raw.sendall(b"0\r\n\r\n")
        received = bytearray()
        while not received.endswith(b"0\r\n\r\n"):
            more = raw.recv(2**20)
            assert more
            received += more
    assert received.count(b'"REJECTED"') == lines


def test_more_connections_than_there_may_be_are_answered_503(database_url: str) -> None:
    few = Settings(database_url=database_url, admin_token=ADMIN_TOKEN, connections_max=2)
    with Service(few) as service, connected(service) as first, connected(service) as second:
        for raw in (first, second):
            raw.sendall(head())
            assert raw.recv(65_536).startswith(b"HTTP/1.1 200")
        status, headers, body = answer_to(service, head())
        assert status == 503
        assert headers["retry-after"] == "1"
        assert body["errors"] == [{"code": 503, "message": "Service unavailable, try again."}]
        first.sendall(head())
        assert first.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_caller_who_does_not_take_an_answer_is_not_waited_for(service: Service, org: Org) -> None:
    with connected(service, receives_bytes=4_096) as raw:
        request = head(path="/openapi.json")
        for _ in range(40):  # 40 × the document is more than any buffer holds
            raw.sendall(request)
        time.sleep(STALL_SECONDS * 2.5)
        received = everything(raw)
    whole = len(httpx.get(f"{service.url}/openapi.json").content)
    assert len(received) < 40 * whole


def test_a_caller_who_takes_an_answer_slowly_gets_all_of_it(service: Service, org: Org) -> None:
    with connected(service, receives_bytes=16_384) as raw:
        raw.sendall(head("Connection: close", path="/openapi.json"))
        received = 0
        began = time.monotonic()
        while piece := raw.recv(32_768):
            received += len(piece)
            if time.monotonic() - began < STALL_SECONDS * 2:
                time.sleep(0.05)
    assert received > len(httpx.get(f"{service.url}/openapi.json").content)


def test_an_idle_connection_stays_open_between_requests(service: Service) -> None:
    with connected(service) as raw:
        for pause_seconds in (STALL_SECONDS * 1.7, 0):
            raw.sendall(head())
            assert raw.recv(65_536).startswith(b"HTTP/1.1 200")
            time.sleep(pause_seconds)


def test_a_request_that_is_decided_for_long_is_waited_for(
    service: Service, org: Org, database_url: str
) -> None:
    with psycopg.connect(database_url) as blocking, connected(service) as raw:
        blocking.execute("LOCK TABLE customer_identifiers IN EXCLUSIVE MODE")
        body = json.dumps(
            {
                "profiles": [
                    {
                        "identifiers": [{"type": "mobile", "value": "919000000001"}],
                        "source": "INSTORE",
                    }
                ]
            }
        ).encode()
        raw.sendall(posting(org, "/v2/customers", "application/json", str(len(body))) + body)
        time.sleep(STALL_SECONDS * 2.5)
        blocking.rollback()
        assert raw.recv(65_536).startswith(b"HTTP/1.1 200")


def test_requests_sent_behind_one_another_are_answered_in_order(service: Service) -> None:
    with connected(service) as raw:
        raw.sendall(head() * 3 + head("Connection: close"))
        assert everything(raw).count(b"HTTP/1.1 200") == 4


def test_what_is_not_http_behind_a_request_leaves_its_answer_alone(service: Service) -> None:
    with connected(service) as raw:
        raw.sendall(head(path="/openapi.json") + b"nonsense\r\n\r\n")
        received = everything(raw)
    assert received.startswith(b"HTTP/1.1 200")
