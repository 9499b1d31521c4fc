"""A load generator light enough to share two cores with what it measures.

Raw sockets under one epoll, one request in flight per connection, every request written out beforehand,
answers read by their Content-Length. Run as a process of its own: `python -m benchmarks.load` reads one
JSON line (`Load`) from its standard input and writes one (`Result`) to its standard output.
"""

from __future__ import annotations

import select
import socket
import sys
import time

import msgspec


class Load(msgspec.Struct):
    """`requests` requests on `connections` connections: `path` and `body` with `{id}` filled in.

    With an `item`, `{items}` of the body is `per_request` of them, each with an id of its own.
    """

    host: str
    port: int
    path: str
    body: str
    authorization: str
    connections: int
    requests: int
    first_id: int
    item: str = ""
    per_request: int = 1


class Result(msgspec.Struct):
    """What happened: rate over the whole run, and percentiles of the latency."""

    requests: int
    refused: int
    seconds: float
    per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float


ANSWER_SECONDS_MAX = 60
_READ_BYTES = 65_536


def run(load: Load) -> Result:
    """Send the load and wait for every answer."""
    requests = _requests(load)
    connections = [
        socket.create_connection((load.host, load.port), ANSWER_SECONDS_MAX)
        for _ in range(min(load.connections, load.requests))
    ]
    ready = select.epoll()
    by_descriptor = {}
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ready.register(connection.fileno(), select.EPOLLIN)
        by_descriptor[connection.fileno()] = connection
    began = time.perf_counter()
    latencies, refused = _converse(ready, by_descriptor, requests)
    seconds = time.perf_counter() - began
    for connection in connections:
        connection.close()
    ordered = sorted(latencies)
    return Result(
        requests=len(ordered),
        refused=refused,
        seconds=seconds,
        per_second=len(ordered) / seconds,
        p50_ms=ordered[len(ordered) // 2] * 1000,
        p99_ms=ordered[int(len(ordered) * 0.99)] * 1000,
        max_ms=ordered[-1] * 1000,
    )


def _requests(load: Load) -> list[bytes]:
    """Every request as sent, the last one first."""
    found = []
    for number in range(load.requests - 1, -1, -1):
        body = _body(load, number).encode()
        found.append(
            f"POST {load.path} HTTP/1.1\r\nHost: {load.host}\r\nAuthorization: {load.authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
    return found


def _body(load: Load, number: int) -> str:
    if not load.item:
        return load.body.replace("{id}", str(load.first_id + number))
    first = load.first_id + number * load.per_request
    ids = range(first, first + load.per_request)
    return load.body.replace(
        "{items}", ",".join(load.item.replace("{id}", str(id_)) for id_ in ids)
    )


def _converse(
    ready: select.epoll, connections: dict[int, socket.socket], requests: list[bytes]
) -> tuple[list[float], int]:
    """Latencies in seconds in the order of the answers, and how many of those were not 200."""
    latencies: list[float] = []
    refused = 0
    began: dict[int, float] = {}
    pieces: dict[int, bytes] = {}

    def send(descriptor: int) -> None:
        if requests:
            began[descriptor] = time.perf_counter()
            connections[descriptor].sendall(requests.pop())

    for descriptor in connections:
        send(descriptor)
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
            refused += not answer.startswith(b"HTTP/1.1 200")
            send(descriptor)
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
