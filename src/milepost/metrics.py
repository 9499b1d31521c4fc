"""Figures for Prometheus, counted by each process and shown together by whichever is asked.

`milepost serve` gives its processes a folder in which each keeps its figures in files of its own, so any of
them can add them all up. Without it, as in a command, a process has its own figures only.

No label holds anything of an organisation or a person, and every label has few values.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which a process finds the folder; it has to be set before the first figure."""
_PREFIX = "milepost-metrics-"
_IN_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder made there is ours alone

REQUEST_SECONDS = (0.005, 0.025, 0.1, 0.5, 2.5, 10)
BATCH_SECONDS = (0.005, 0.025, 0.1, 0.5, 2.5, 10)
BATCH_COMMANDS = (1, 10, 100, 500, 2_000)
METHODS = frozenset({"GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"})


class Metrics:
    """The figures of this process. Prometheus' library is loaded with the first of them."""

    def __init__(self) -> None:
        # Where figures are kept is decided as the library is loaded, so not before `shared_folder`.
        import prometheus_client as prometheus  # noqa: PLC0415
        from prometheus_client import values  # noqa: PLC0415

        if FOLDER in os.environ:
            # This process forks no others that count, and to ask for its id is a call of the system's.
            pid = os.getpid()
            values.ValueClass = values.MultiProcessValue(lambda: pid)  # type: ignore[no-untyped-call]
        self.registry = prometheus.CollectorRegistry()
        here: dict[str, Any] = {"registry": self.registry}
        summed: dict[str, Any] = {**here, "multiprocess_mode": "livesum"}
        self._requests = prometheus.Histogram(
            "milepost_request_seconds",
            "Requests by how long they took, route, method and status; route none: no route has the path, "
            "or it was refused before its route was looked for.",
            ("method", "route", "status"),
            buckets=REQUEST_SECONDS,
            **here,
        )
        self._requests_in_flight = prometheus.Gauge(
            "milepost_requests_in_flight", "Requests that are being answered.", **summed
        )
        self._batch_seconds = prometheus.Histogram(
            "milepost_batch_seconds",
            "Batches by how long they took, tries included, and action.",
            ("action",),
            buckets=BATCH_SECONDS,
            **here,
        )
        self._batch_commands = prometheus.Histogram(
            "milepost_batch_commands",
            "Batches by how many commands they had, and action.",
            ("action",),
            buckets=BATCH_COMMANDS,
            **here,
        )
        self._lost = prometheus.Counter(
            "milepost_batch_lost_commands",
            "Commands whose customer another process changed meanwhile; they join the next batch.",
            ("action",),
            **here,
        )
        self._failed = prometheus.Counter(
            "milepost_batch_failures", "Batches that ended without an outcome.", ("action",), **here
        )
        self._retries = prometheus.Counter(
            "milepost_transaction_retries",
            "Transactions begun again after a deadlock or a serialisation failure.",
            **here,
        )
        self._queued = prometheus.Gauge(
            "milepost_queued_commands", "Commands that wait for a batch.", ("action",), **summed
        )
        self._connections = prometheus.Gauge(
            "milepost_pool_connections",
            "Database connections of the workers by pool and state, used or idle.",
            ("pool", "state"),
            **summed,
        )
        self._pool_waiting = prometheus.Gauge(
            "milepost_pool_waiting", "Transactions that wait for a connection.", ("pool",), **summed
        )
        self.requests_in_flight = 0
        self._of_requests: dict[tuple[str, str, int], Any] = {}
        self._of_batches: dict[str, tuple[Any, Any]] = {}
        self._actions_queued: set[str] = set()

    def observe_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request that has been answered; `route` is its template, never its path."""
        key = (method, route, status)
        known = self._of_requests.get(key)
        if known is None:
            # Also a caller's own invention is a method.
            shown = method if method in METHODS else "other"
            known = self._requests.labels(shown, route or "none", str(status))
            self._of_requests[key] = known
        known.observe(seconds)

    def observe_batch(self, action: str, commands: int, seconds: float, *, lost: int) -> None:
        """A batch that has been decided and, if anything changed, committed."""
        known = self._of_batches.get(action)
        if known is None:
            known = self._of_batches[action] = (
                self._batch_seconds.labels(action),
                self._batch_commands.labels(action),
            )
        known[0].observe(seconds)
        known[1].observe(commands)
        if lost:
            self._lost.labels(action).inc(lost)

    def count_failed_batch(self, action: str) -> None:
        """A batch that raised."""
        self._failed.labels(action).inc()

    def count_retry(self) -> None:
        """A transaction that is begun again."""
        self._retries.inc()

    def set_levels(
        self, queued: Mapping[str, int], pools: Mapping[str, tuple[int, int, int]]
    ) -> None:
        """How full things are now: commands waiting by action, and by pool its connections in use, those
        idle and who waits for one.
        """
        self._requests_in_flight.set(self.requests_in_flight)
        self._actions_queued.update(queued)
        for action in self._actions_queued:
            self._queued.labels(action).set(queued.get(action, 0))
        for pool, (used, idle, waiting) in pools.items():
            self._connections.labels(pool, "used").set(used)
            self._connections.labels(pool, "idle").set(idle)
            self._pool_waiting.labels(pool).set(waiting)


metrics = cache(Metrics)
"""The figures of this process: `metrics()`."""


def render(asked: Mapping[str, tuple[str, float]]) -> bytes:
    """All figures of all processes in Prometheus' text format, with gauges that were `asked` for now: by
    name, what it is and its value.
    """
    import prometheus_client as prometheus  # noqa: PLC0415 - see Metrics
    from prometheus_client.multiprocess import MultiProcessCollector  # noqa: PLC0415

    own = metrics().registry
    together = prometheus.CollectorRegistry()
    folder = os.environ.get(FOLDER)
    if folder:
        MultiProcessCollector(together, folder)  # type: ignore[no-untyped-call]
    shown = prometheus.generate_latest(together if folder else own)
    processes = _live_processes(folder)
    memory = {
        "milepost_processes": ("Processes of the service that count.", float(len(processes))),
        "milepost_resident_memory_bytes": (
            "Memory of these processes together, without PostgreSQL's.",
            float(sum(map(_resident_bytes, processes))),
        ),
    }
    for name, (meaning, value) in {**asked, **memory}.items():
        # Not one of the library's gauges, which would be kept in the folder.
        shown += f"# HELP {name} {meaning}\n# TYPE {name} gauge\n{name} {value}\n".encode()
    return shown


@contextmanager
def shared_folder() -> Iterator[None]:
    """Let this process and its children show their figures together, until the end of the block."""
    _remove_leftovers()
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place()))
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.set_inheritable(lock, False)
    before = os.environ.get(FOLDER)
    os.environ[FOLDER] = str(folder)
    try:
        yield
    finally:
        os.environ.pop(FOLDER)
        if before is not None:
            os.environ[FOLDER] = before
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def place() -> Path:
    """Where services have their folders: in memory if there is a way to.

    The files are mapped, so a process that counts on a disk that is full would be ended by SIGBUS.
    """
    return _IN_MEMORY if os.access(_IN_MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())


def forget_process(pid: int) -> None:
    """Leave out what a process that has ended had in its hands; what it counted stays."""
    if folder := os.environ.get(FOLDER):
        for path in Path(folder).glob(f"gauge_live*_{pid}.db"):
            path.unlink(missing_ok=True)


def _remove_leftovers() -> None:
    """Remove the folders of services that were killed: nobody holds their lock any more."""
    for folder in place().glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if folder.lstat().st_uid != os.geteuid():
                continue
            lock = os.open(folder / "lock", os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)


def _live_processes(folder: str | None) -> set[int]:
    """The processes that keep figures in the folder, and this one."""
    found = Path(folder).glob("*_*.db") if folder else ()
    pids = {int(path.stem.rpartition("_")[2]) for path in found}
    return {os.getpid(), *(pid for pid in pids if _resident_bytes(pid))}


def _resident_bytes(pid: int) -> int:
    """Memory of a process; 0 if there is none, or where there is no /proc."""
    try:
        resident = int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return resident * os.sysconf("SC_PAGE_SIZE")
