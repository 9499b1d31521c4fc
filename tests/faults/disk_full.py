"""A disk that fills up under load, and has room again later: `python -m tests.faults.disk_full FOLDER`.

FOLDER is a small file system of its own, which the test mounts. Ends with 0 if all went as it should.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psycopg

from tests.faults.environment import prepare
from tests.faults.kills import Busy, calling, compare, open_shop
from tests.faults.process import Process, wait_for
from tests.harness import assert_rebuilt
from tests.webhooks.receiver import Receiver

FULL_SECONDS = 3.0
"""For so long PostgreSQL tries in vain to start again."""
BALLAST = "ballast"
FREE_BYTES = 64 * 1024


def fill(folder: Path) -> None:
    """Leave nearly nothing free, as something beside Milepost may."""
    # What others write meanwhile may take the last of it.
    with suppress(OSError), (folder / BALLAST).open("wb", buffering=0) as ballast:
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        ballast.write(b"\0" * max(0, free - FREE_BYTES))


def refusals(busy: Busy) -> int:
    """How often somebody was answered 503."""
    return sum(caller.refusals for caller in busy.callers)


def wait_until_all_are_acknowledged_again(busy: Busy, look: Callable[[], None]) -> None:
    """Everybody gets through who has anything left to wish; raises what a caller met."""
    before = [len(caller.acknowledged) for caller in busy.callers]

    def all_were() -> bool:
        look()
        return all(
            caller.is_done or len(caller.acknowledged) > count
            for caller, count in zip(busy.callers, before, strict=True)
        )

    wait_for(all_were)
    assert not all(caller.is_done for caller in busy.callers)


def begin_another_segment(database_url: str) -> None:
    """Have PostgreSQL begin another segment of its log, for which there is no room: it ends itself."""
    with suppress(psycopg.OperationalError):
        while True:
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute("SELECT pg_logical_emit_message(true, 'x', repeat('x', 100000))")
                connection.execute("SELECT pg_switch_wal()")


def main(folder: Path) -> None:
    """Fill the disk while callers call, see that they are told so, make room, and count."""
    prepare(os.environ.__setitem__)
    os.environ["TMPDIR"] = str(folder)
    with Receiver() as receiver, Process(folder / "data") as service:
        busy = open_shop(service, receiver, folder, 2)
        with calling(busy) as look:
            wait_until_all_are_acknowledged_again(busy, look)
            database_url = service.database_url
            fill(folder)
            wait_for(lambda: refusals(busy) > 0)
            begin_another_segment(database_url)
            time.sleep(FULL_SECONDS)
            look()
            (folder / BALLAST).unlink()
            wait_until_all_are_acknowledged_again(busy, look)
            busy.check()
        compare(busy)
        assert_rebuilt(service.database_url)
        log = (folder / "service.log").read_text()
        assert '"defect"' not in log, log
        assert "No space left on device" in (folder / "data" / "pg.log").read_text()
        sys.stdout.write(f"{refusals(busy)} times 503 while the disk was full\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
