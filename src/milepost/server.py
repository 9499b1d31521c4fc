"""Processes: the embedded database, the workers that answer, the one that does what falls due, and how
all of it starts and stops.

With one worker, requests are answered in this process. With more, each worker is a child that inherits
the listening socket. Due work has a child of its own, for it would keep requests waiting.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

import uvicorn

from milepost import embedded
from milepost.api.app import check_rate_limits, create_app
from milepost.api.connection import connections
from milepost.child import asyncio_run, begin_child, parent_end, start_child, stop_children
from milepost.logs import configure, log
from milepost.metrics import forget_process, shared_folder
from milepost.migrate import migrate
from milepost.settings import Settings

RESTART_PAUSE_SECONDS = 1.0

M_MMAP_THRESHOLD = -3
"""As glibc's malloc.h has it."""
LARGE_BLOCK_BYTES = 8 * 1024 * 1024


class ServeError(RuntimeError):
    """The service cannot start; the message says why and what to do."""


def serve(
    settings: Settings, say: Callable[[str], None], prepare: Callable[[Settings], None]
) -> None:
    """Migrate, `prepare` (the demo data), answer until SIGTERM or SIGINT, then stop everything.

    `say` gets the lines for a person. Raises `ServeError`, `SettingError`,
    `embedded.EmbeddedPostgresError` or `milepost.migrate.MigrationError` when the service cannot start.
    """
    began = time.monotonic()
    configure(settings.log_level)
    check_rate_limits(settings)
    with ExitStack() as stack:
        stack.enter_context(shared_folder())
        listening = stack.enter_context(_bound(settings))
        postgres: embedded.EmbeddedPostgres | None = None
        if settings.embedded:
            say(f"Starting PostgreSQL in {settings.data_dir / 'pg'} …")
            postgres = stack.enter_context(embedded.start(settings.data_dir / "pg"))
            settings = replace(settings, database_url=postgres.url)
        for revision in migrate(settings.database_url):
            say(f"Migrated the database to {revision}.")
        settings = replace(
            settings, admin_token=admin_token(settings), secret_key=secret_key(settings)
        )
        prepare(settings)

        def ready() -> None:
            host, port = listening.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            seconds = time.monotonic() - began
            say(f"Milepost is ready at http://{shown}:{port} ({seconds:.2f} s after its start).")

        asyncio_run(_supervise(settings, listening, postgres, ready))
        log("stopped")


def admin_token(settings: Settings) -> str:
    """The operator's token: the setting, or `DIR/admin-token`, made on the first start, mode 0600."""
    return settings.admin_token or _kept(settings, "admin-token")


def secret_key(settings: Settings) -> str:
    """What signing keys are encrypted with: the setting, or `DIR/secret-key`, made as the token is."""
    return settings.secret_key or _kept(settings, "secret-key")


def _kept(settings: Settings, name: str) -> str:
    """The secret in a file of the data folder, made if it is not there."""
    path = settings.data_dir / name
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        fresh = path.with_name(f".{name}.{os.getpid()}")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32))
        # Linking is atomic and never replaces: a second service starting now takes the first's.
        try:
            os.link(fresh, path)
        finally:
            fresh.unlink()
    return path.read_text("ascii").strip()


def _bound(settings: Settings) -> socket.socket:
    """The socket, bound but not yet listening: a caller is refused rather than kept waiting."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    bound = socket.socket(family)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((settings.host, settings.port))
    except OSError as error:
        bound.close()
        raise ServeError(
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror}; "
            "choose another with --port"
        ) from None
    bound.set_inheritable(True)
    return bound


async def _supervise(
    settings: Settings,
    listening: socket.socket,
    postgres: embedded.EmbeddedPostgres | None,
    ready: Callable[[], None],
) -> None:
    """Run the workers until told to stop; keep the embedded database running meanwhile."""
    stop, answering = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def ready_and_answering() -> None:
        ready()
        answering.set()

    watching = asyncio.create_task(_keep(postgres)) if postgres is not None else None
    due = asyncio.create_task(_run_due_worker(settings, answering, stop))
    try:
        if settings.workers == 1:
            await answer(settings, listening, stop, ready_and_answering)
        else:
            await _run_workers(settings, listening, stop, ready_and_answering)
    finally:
        stop.set()
        await due
        if watching is not None:
            watching.cancel()


async def _keep(postgres: embedded.EmbeddedPostgres) -> None:
    while True:
        await asyncio.sleep(1)
        await asyncio.to_thread(postgres.ensure_running)


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: it would end with 143 where the contract wants 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `_supervise`."""
        yield


async def answer(
    settings: Settings, listening: socket.socket, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Answer requests until `stop` is set, then finish those in flight."""
    _give_large_blocks_back()
    server = _Server(
        uvicorn.Config(
            create_app(settings),
            http=connections(settings),
            loop="none",
            lifespan="on",
            interface="asgi3",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            date_header=True,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=int(settings.stop_timeout_seconds),
            backlog=2_048,
        )
    )
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    stopping = asyncio.create_task(stop.wait())
    while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    if not server.started:
        raise ServeError("the service did not start: its log says why")
    # What is there now stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)
    ready()
    await asyncio.wait((serving, stopping), return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    stopping.cancel()
    await serving


def _give_large_blocks_back() -> None:
    """Have glibc return large blocks to the system when they are freed.

    It learns from argon2's 19 MiB that blocks so large come and go, and then keeps one in each thread that
    ever verified a secret. Other allocators have no such call, and do not need it.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)


async def _run_workers(
    settings: Settings, listening: socket.socket, stop: asyncio.Event, ready: Callable[[], None]
) -> None:
    """Keep `settings.workers` children answering until `stop` is set, then end them."""
    workers: list[subprocess.Popen[bytes]] = []
    stopping = asyncio.create_task(stop.wait())
    try:
        workers = [_start_worker(settings, listening) for _ in range(settings.workers)]
        for worker in workers:
            await asyncio.to_thread(_await_ready, worker)
        if all(worker.poll() is None for worker in workers):
            ready()
        while not stop.is_set():
            await asyncio.wait((stopping,), timeout=RESTART_PAUSE_SECONDS)
            for place, worker in enumerate(workers):
                if worker.poll() is not None and not stop.is_set():
                    log("worker_restarted", "error", exit_code=worker.returncode)
                    forget_process(worker.pid)
                    workers[place] = _start_worker(settings, listening)
    finally:
        stopping.cancel()
        await stop_children(workers, settings.stop_timeout_seconds + 0.5)


def _start_worker(settings: Settings, listening: socket.socket) -> subprocess.Popen[bytes]:
    handle = listening.fileno()
    return start_child("milepost.server", settings, str(handle), handles=[handle])


async def _run_due_worker(
    settings: Settings, answering: asyncio.Event, stop: asyncio.Event
) -> None:
    """Keep the child that does due work running from the first answer on, until `stop` is set."""
    stopping = asyncio.create_task(stop.wait())
    first = asyncio.create_task(answering.wait())
    await asyncio.wait((stopping, first), return_when=asyncio.FIRST_COMPLETED)
    first.cancel()
    children: list[subprocess.Popen[bytes]] = []
    while settings.due_work and not stop.is_set():
        if children and children[0].poll() is not None:
            log("due_worker_restarted", "error", exit_code=children[0].returncode)
            forget_process(children[0].pid)
            children = []
        if not children:
            try:
                children = [start_child("milepost.worker", settings)]
            except (
                OSError
            ) as error:  # of memory or processes there is none left: there may be again
                log("due_worker_failed", "error", error=str(error))
        await asyncio.wait((stopping,), timeout=RESTART_PAUSE_SECONDS)
    await stop_children(children, settings.stop_timeout_seconds + 0.5)


def _await_ready(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdout is not None
    worker.stdout.readline()


async def _work(settings: Settings, listening: socket.socket) -> None:
    """One worker: answers until its parent ends or tells it to."""

    def ready() -> None:
        with suppress(BrokenPipeError):  # the parent was killed while this started
            sys.stdout.write("ready\n")
            sys.stdout.flush()

    await answer(settings, listening, parent_end(settings), ready)


def main() -> None:
    """The entry of a worker process; `serve` starts it, nobody else does."""
    settings = begin_child()
    asyncio_run(_work(settings, socket.socket(fileno=int(sys.argv[1]))))


if __name__ == "__main__":
    main()
