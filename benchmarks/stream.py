"""Sends files of NDJSON and counts what comes back, as a process of its own.

`python -m benchmarks.stream` reads one JSON line (`Stream`) and writes one (`Result`). Sending and
reading go on at once, as the service answers while it reads. What comes back is counted and not decoded,
for whoever sends shares the cores with what is measured.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import msgspec

STATUSES = ("ACCEPTED", "DUPLICATE", "REJECTED")


class Stream(msgspec.Struct):
    """Where to, and for each sender the files that it sends, one when the last is answered."""

    url: str
    authorization: str
    files: list[list[str]]


class Result(msgspec.Struct):
    """What came back: lines by status, and how long all of it took."""

    seconds: float
    statuses: dict[str, int]


def send(stream: Stream, expected: int) -> Result:
    """Send it from a process of its own; raises RuntimeError unless so many were accepted."""
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.stream"],
        input=msgspec.json.encode(stream) + b"\n",
        stdout=subprocess.PIPE,
        check=True,
    )
    result = msgspec.json.decode(run.stdout, type=Result)
    if result.statuses != {"ACCEPTED": expected}:
        raise RuntimeError(f"not all {expected:,} were accepted: {result.statuses}")
    return result


def run(stream: Stream) -> Result:
    """Send the files and read every line of the answers."""
    counted: Counter[str] = Counter()
    with ThreadPoolExecutor(len(stream.files)) as senders:
        began = time.perf_counter()
        for each in senders.map(lambda files: _send_all(stream, files), stream.files):
            counted.update(each)
        return Result(time.perf_counter() - began, dict(counted))


def _send_all(stream: Stream, files: list[str]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for file in files:
        counted.update(_send(stream, Path(file)))
    return counted


def _send(stream: Stream, path: Path) -> Counter[str]:
    """One call: the statuses of its answer's lines."""
    address = urlsplit(stream.url)
    head = (
        f"POST /milepost/v1/activities HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Authorization: {stream.authorization}\r\nContent-Type: application/x-ndjson\r\n"
        f"Connection: close\r\nContent-Length: {path.stat().st_size}\r\n\r\n"
    ).encode()
    with socket.create_connection((address.hostname or "", address.port or 80)) as connection:

        def give() -> None:
            connection.sendall(head)
            with path.open("rb") as file:
                connection.sendfile(file)

        giving = threading.Thread(target=give)
        giving.start()
        with connection.makefile("rb") as received:
            while received.readline() not in (b"\r\n", b"\n", b""):
                pass
            counted = count_statuses(received)
        giving.join()
    return counted


def count_statuses(received: BinaryIO) -> Counter[str]:
    """The statuses in a chunked body."""
    needles = {name: f'"status":"{name}"'.encode() for name in STATUSES}
    counted: Counter[str] = Counter()
    rest = b""
    while size := int(received.readline() or b"0", 16):
        text = rest + received.read(size)
        received.readline()
        # A chunk may end in the middle of a line.
        whole, _, rest = text.rpartition(b"\n")
        for name, needle in needles.items():
            counted[name] += whole.count(needle)
    for name, needle in needles.items():
        counted[name] += rest.count(needle)
    return +counted


if __name__ == "__main__":
    result = run(msgspec.json.decode(sys.stdin.buffer.readline(), type=Stream))
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
