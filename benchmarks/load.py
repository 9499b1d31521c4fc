"""A load generator light enough to share two cores with what it measures.

Raw sockets under one epoll, one request in flight per connection, every request written out beforehand,
answers read by their Content-Length. Run as a process of its own: `python -m benchmarks.load` reads one
JSON line (`Load`) from its standard input and writes one (`Result`) to its standard output.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

import msgspec

from benchmarks.results import Latency, latency


class Load(msgspec.Struct, kw_only=True):
    """A request for each of `ids`, on `connections` connections: `path` and `body` with `{id}` filled in.

    With an `item`, `{items}` of the body is `per_request` of them, each with an id of its own. `{number}`
    is the place of the id among the ids.
    """

    url: str
    path: str
    body: str = ""
    authorization: str
    connections: int
    ids: list[int]
    item: str = ""
    per_request: int = 1
    method: str = "POST"


class Result(msgspec.Struct):
    """What happened: the rate of what was answered 200, and percentiles of the latency of all."""

    requests: int
    busy: int
    """Answered 503: try again."""
    refused: int
    """Answered anything else but 200."""
    seconds: float
    per_second: float
    latency: Latency
    first_refusal: str = ""


ANSWER_SECONDS_MAX = 60
_READ_BYTES = 65_536


def send(load: Load) -> Result:
    """Send the load from a process of its own; raises RuntimeError if anything but 503 was refused."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.load"],
        input=msgspec.json.encode(load) + b"\n",
        stdout=subprocess.PIPE,
        check=True,
    )
    result = msgspec.json.decode(run.stdout, type=Result)
    if result.refused:
        raise RuntimeError(
            f"{result.refused} of {result.requests} were refused: {result.first_refusal}"
        )
    return result


def run(load: Load) -> Result:
    """Send the load and wait for every answer."""
    requests = _requests(load)
    address = urlsplit(load.url)
    connections = [
        socket.create_connection((address.hostname or "", address.port or 80), ANSWER_SECONDS_MAX)
        for _ in range(min(load.connections, len(requests)))
    ]
    ready = select.epoll()
    by_descriptor = {}
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ready.register(connection.fileno(), select.EPOLLIN)
        by_descriptor[connection.fileno()] = connection
    began = time.perf_counter()
    latencies, others = _converse(ready, by_descriptor, requests)
    seconds = time.perf_counter() - began
    for connection in connections:
        connection.close()
    refused = [each for each in others if not each.startswith(b"HTTP/1.1 503")]
    ordered_ms = sorted(each * 1000 for each in latencies)
    return Result(
        requests=len(ordered_ms),
        busy=len(others) - len(refused),
        refused=len(refused),
        seconds=seconds,
        per_second=(len(ordered_ms) - len(others)) / seconds,
        latency=latency(ordered_ms),
        first_refusal=refused[0].decode(errors="replace")[:2_000] if refused else "",
    )


def _requests(load: Load) -> list[bytes]:
    """Every request as sent, the last one first."""
    head = (
        f"{{}} HTTP/1.1\r\nHost: {urlsplit(load.url).netloc}\r\nAuthorization: {load.authorization}\r\n"
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n"
    )
    found = []
    for first in range(0, len(load.ids), load.per_request):
        body = load.body
        if load.item:
            items = [_filled(load, load.item, first + place) for place in range(load.per_request)]
            body = body.replace("{items}", ",".join(items))
        else:
            body = _filled(load, body, first)
        line = f"{load.method} {_filled(load, load.path, first)}"
        found.append((head.format(line, len(body)) + body).encode())
    return found[::-1]


def _filled(load: Load, text: str, place: int) -> str:
    return text.replace("{id}", str(load.ids[place])).replace("{number}", str(place))


def _converse(
    ready: select.epoll, connections: dict[int, socket.socket], requests: list[bytes]
) -> tuple[list[float], list[bytes]]:
    """Latencies in seconds in the order of the answers, and those of the answers that were not 200."""
    latencies: list[float] = []
    refused: list[bytes] = []
    began: dict[int, float] = {}
    pieces: dict[int, bytes] = {}

    def send_next(descriptor: int) -> None:
        if requests:
            began[descriptor] = time.perf_counter()
            connections[descriptor].sendall(requests.pop())
        else:
            # Nothing more will come of it, but that the service may end it before the others are done.
            ready.unregister(descriptor)

    for descriptor in connections:
        send_next(descriptor)
    while began:
        events = ready.poll(ANSWER_SECONDS_MAX)
        if not events:
            raise TimeoutError(f"no answer within {ANSWER_SECONDS_MAX} s")
        for descriptor, _ in events:
            piece = connections[descriptor].recv(_READ_BYTES)
            if not piece:
                raise ConnectionError("closed by the service")
            answer = pieces.pop(descriptor, b"") + piece
            if not _is_whole(answer):
                pieces[descriptor] = answer
                continue
            latencies.append(time.perf_counter() - began.pop(descriptor))
            if not answer.startswith(b"HTTP/1.1 200"):
                refused.append(answer)
            send_next(descriptor)
    return latencies, refused


def _is_whole(answer: bytes) -> bool:
    head, blank, rest = answer.partition(b"\r\n\r\n")
    if not blank:
        return False
    length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
    return len(rest) >= int(length)


if __name__ == "__main__":
    result = run(msgspec.json.decode(sys.stdin.buffer.readline(), type=Load))
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
