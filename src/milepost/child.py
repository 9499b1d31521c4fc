"""A child process of the service: its settings come on its standard input, its end with its parent's.

The parent holds the other end of that input. However the parent ends, the input closes, so no child
outlives a killed parent.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import uvloop

from milepost.logs import configure
from milepost.settings import Settings


def start_child(
    module: str, settings: Settings, *arguments: str, handles: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Run a module as a child that may use the open file `handles`; what it prints can be read."""
    child = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=handles,
        start_new_session=True,
    )
    assert child.stdin is not None
    given = json.dumps(asdict(settings), default=str).encode() + b"\n"
    with suppress(BrokenPipeError):  # it is dead already, which its parent will see
        os.write(child.stdin.fileno(), given)
    return child


async def stop_children(
    children: Sequence[subprocess.Popen[bytes]], timeout_seconds: float
) -> None:
    """Tell children to end and wait until they have; kill those that take longer."""
    for child in children:
        if child.stdin is not None:
            child.stdin.close()
    deadline = time.monotonic() + timeout_seconds
    for child in children:
        try:
            await asyncio.to_thread(child.wait, max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()


def begin_child() -> Settings:
    """The settings of this child. From here on the signals of a terminal are its parent's business."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    given = json.loads(os.read(sys.stdin.fileno(), 65_536))
    settings = Settings(**{**given, "data_dir": Path(given["data_dir"])})
    configure(settings.log_level)
    return settings


def parent_end(settings: Settings) -> asyncio.Event:
    """Set when the parent tells this child to end, or has ended itself.

    A child that has not ended a second after its time to stop is ended.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def parent_ended() -> None:
        loop.remove_reader(sys.stdin.fileno())
        stop.set()
        # Whatever still hangs then, nobody waits for it.
        last = threading.Timer(settings.stop_timeout_seconds + 1, os._exit, (1,))
        last.daemon = True
        last.start()

    loop.add_reader(sys.stdin.fileno(), parent_ended)
    return stop


def asyncio_run(coroutine: Coroutine[Any, Any, None]) -> None:
    """`asyncio.run`, on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(coroutine)
