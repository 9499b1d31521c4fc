"""A load generator light enough to share two cores with what it measures.

Raw sockets on asyncio, one request in flight per connection, answers read by their Content-Length.
Run as a process of its own: `python -m benchmarks.load` reads one JSON line (`Load`) from its standard
input and writes one (`Result`) to its standard output.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

import msgspec
import uvloop


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


class _Connection(asyncio.Protocol):
    def __init__(self, load: Load, ids: list[int], latencies: list[float]) -> None:
        self._load, self._ids, self._latencies = load, ids, latencies
        self._buffer = b""
        self._began = 0.0
        self.refused = 0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        if not self._ids:
            self._transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        load = self._load
        body = _body(load, self._ids.pop()).encode()
        self._began = time.perf_counter()
        self._transport.write(
            f"POST {load.path} HTTP/1.1\r\nHost: {load.host}\r\nAuthorization: {load.authorization}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        if len(rest) < length:
            return
        self._latencies.append(time.perf_counter() - self._began)
        self.refused += not head.startswith(b"HTTP/1.1 200")
        self._buffer = b""
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionError("closed by the service"))


def _body(load: Load, number: int) -> str:
    if not load.item:
        return load.body.replace("{id}", str(number))
    first = load.first_id + (number - load.first_id) * load.per_request
    ids = range(first, first + load.per_request)
    return load.body.replace(
        "{items}", ",".join(load.item.replace("{id}", str(id_)) for id_ in ids)
    )


async def run(load: Load) -> Result:
    """Send the load and wait for every answer."""
    ids = list(range(load.first_id + load.requests - 1, load.first_id - 1, -1))
    latencies: list[float] = []
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    connections = [
        (
            await loop.create_connection(
                lambda: _Connection(load, ids, latencies), load.host, load.port
            )
        )[1]
        for _ in range(load.connections)
    ]
    await asyncio.gather(*(connection.done for connection in connections))
    seconds = time.perf_counter() - began
    ordered = sorted(latencies)
    refused = sum(connection.refused for connection in connections)
    return Result(
        requests=len(ordered),
        refused=refused,
        seconds=seconds,
        per_second=len(ordered) / seconds,
        p50_ms=ordered[len(ordered) // 2] * 1000,
        p99_ms=ordered[int(len(ordered) * 0.99)] * 1000,
        max_ms=ordered[-1] * 1000,
    )


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(run(msgspec.json.decode(sys.stdin.buffer.readline(), type=Load)))
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
