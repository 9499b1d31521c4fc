"""Sends a file of NDJSON on one connection and counts what comes back, as a process of its own.

`python -m benchmarks.stream` reads one JSON line (`Stream`) and writes one (`Result`). Sending and
reading go on at once, as the service answers while it reads.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import msgspec


class Stream(msgspec.Struct):
    """What to send, and where to."""

    host: str
    port: int
    authorization: str
    file: str


class Result(msgspec.Struct):
    """What came back: lines by status, and how long it took."""

    seconds: float
    statuses: dict[str, int]


class _Line(msgspec.Struct):
    status: str


def run(stream: Stream) -> Result:
    """Send the file and read every line of the answer."""
    size = Path(stream.file).stat().st_size
    head = (
        f"POST /milepost/v1/activities HTTP/1.1\r\nHost: {stream.host}\r\n"
        f"Authorization: {stream.authorization}\r\nContent-Type: application/x-ndjson\r\n"
        f"Connection: close\r\nContent-Length: {size}\r\n\r\n"
    ).encode()
    with socket.create_connection((stream.host, stream.port)) as connection:
        began = time.perf_counter()

        def send() -> None:
            connection.sendall(head)
            with Path(stream.file).open("rb") as file:
                connection.sendfile(file)

        sending = threading.Thread(target=send)
        sending.start()
        received = connection.makefile("rb")
        for line in received:
            if line in (b"\r\n", b"\n"):
                break
        counted: Counter[str] = Counter()
        decode = msgspec.json.Decoder(_Line).decode
        for line in received:
            if line.startswith(b"{"):  # not the length of a chunk
                counted[decode(line).status] += 1
        sending.join()
        return Result(time.perf_counter() - began, dict(counted))


if __name__ == "__main__":
    result = run(msgspec.json.decode(sys.stdin.buffer.readline(), type=Stream))
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
