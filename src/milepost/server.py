"""Processes: the embedded database, the workers that answer, and how all of it starts and stops.

With one worker everything is in this process. With more, each worker is a child that inherits the
listening socket; it reads its settings from its standard input and ends when that closes, so no
worker outlives a killed parent.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from milepost import embedded
from milepost.api.app import create_app
from milepost.logs import configure, log
from milepost.migrate import migrate
from milepost.settings import Settings

RESTART_PAUSE_SECONDS = 1.0
CONNECTIONS_MAX = 20_000
"""Connections of one worker, idle ones included; the next one is answered 503 and closed."""


class ServeError(RuntimeError):
    """The service cannot start; the message says why and what to do."""


def serve(
    settings: Settings, say: Callable[[str], None], prepare: Callable[[Settings], None]
) -> None:
    """Migrate, `prepare` (the demo data), answer until SIGTERM or SIGINT, then stop everything.

    `say` gets the lines for a person. Raises `ServeError`, `embedded.EmbeddedPostgresError` or
    `milepost.migrate.MigrationError` when the service cannot start.
    """
    began = time.monotonic()
    configure(settings.log_level)
    with ExitStack() as stack:
        listening = stack.enter_context(_bound(settings))
        postgres: embedded.EmbeddedPostgres | None = None
        if settings.embedded:
            say(f"Starting PostgreSQL in {settings.data_dir / 'pg'} …")
            postgres = stack.enter_context(embedded.start(settings.data_dir / "pg"))
            settings = replace(settings, database_url=postgres.url)
        for revision in migrate(settings.database_url):
            say(f"Migrated the database to {revision}.")
        settings = replace(settings, admin_token=admin_token(settings))
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
    if settings.admin_token:
        return settings.admin_token
    path = settings.data_dir / "admin-token"
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        fresh = path.with_name(f".admin-token.{os.getpid()}")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32))
        # Linking is atomic and never replaces: a second service starting now takes the first's.
        try:
            os.link(fresh, path)
        finally:
            fresh.unlink()
    return path.read_text("ascii").strip()


def asyncio_run(coroutine: Coroutine[Any, Any, None]) -> None:
    """`asyncio.run`, on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(coroutine)


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
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    watching = asyncio.create_task(_keep(postgres)) if postgres is not None else None
    try:
        if settings.workers == 1:
            await answer(settings, listening, stop, ready)
        else:
            await _run_workers(settings, listening, stop, ready)
    finally:
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
    server = _Server(
        uvicorn.Config(
            create_app(settings),
            http="httptools",
            loop="none",
            lifespan="on",
            interface="asgi3",
            ws="none",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            date_header=True,
            limit_concurrency=CONNECTIONS_MAX,
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
                    workers[place] = _start_worker(settings, listening)
    finally:
        stopping.cancel()
        for worker in workers:
            if worker.stdin is not None:
                worker.stdin.close()
        deadline = time.monotonic() + settings.stop_timeout_seconds + 0.5
        for worker in workers:
            try:
                await asyncio.to_thread(worker.wait, max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                worker.kill()


def _start_worker(settings: Settings, listening: socket.socket) -> subprocess.Popen[bytes]:
    handle = listening.fileno()
    worker = subprocess.Popen(
        [sys.executable, "-m", "milepost.server", str(handle)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=[handle],
        start_new_session=True,
    )
    assert worker.stdin is not None
    worker.stdin.write(json.dumps(asdict(settings), default=str).encode() + b"\n")
    worker.stdin.flush()
    return worker


def _await_ready(worker: subprocess.Popen[bytes]) -> None:
    assert worker.stdout is not None
    worker.stdout.readline()


async def _work(settings: Settings, listening: socket.socket) -> None:
    """One worker: answers until its standard input closes, which it does when the parent ends."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def parent_ended() -> None:
        loop.remove_reader(sys.stdin.fileno())
        stop.set()
        # Whatever still hangs then, nobody waits for it.
        last = threading.Timer(settings.stop_timeout_seconds + 1, os._exit, (1,))
        last.daemon = True
        last.start()

    def ready() -> None:
        with suppress(BrokenPipeError):  # the parent was killed while this started
            sys.stdout.write("ready\n")
            sys.stdout.flush()

    loop.add_reader(sys.stdin.fileno(), parent_ended)
    await answer(settings, listening, stop, ready)


def main() -> None:
    """The entry of a worker process; `serve` starts it, nobody else does."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    given = json.loads(os.read(sys.stdin.fileno(), 65_536))
    settings = Settings(**{**given, "data_dir": Path(given["data_dir"])})
    configure(settings.log_level)
    listening = socket.socket(fileno=int(sys.argv[1]))
    asyncio_run(_work(settings, listening))


if __name__ == "__main__":
    main()
