"""Run an import: batch by batch, from where it was left, with the results of every row in order.

The database knows how far a file has come and what became of its rows, so the results file can always
be written again, and nothing that happens to the process makes a row be done twice or left out.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import stat
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from milepost import clock
from milepost.database import DatabaseUnavailable, Tenant, Tx
from milepost.errors import INTERNAL, Refusal
from milepost.imports.booking import Booked, Contended, Overtaken
from milepost.imports.kinds import Kind
from milepost.imports.lines import Row, UnreadableFile, is_csv, read_csv, read_ndjson
from milepost.logs import log
from milepost.rules.recording import Recorded
from milepost.runner import Runner
from milepost.store import imports as store
from milepost.store.imports import Import, Step
from milepost.store.orgs import load_org

BATCH_ROWS_MAX = 2_000
BATCH_BYTES_MAX = 2 * 1024 * 1024
"""A batch takes no further row from there on."""
CONTENDED_TRIES_MAX = 50
CONTENDED_TRIES_BEFORE_HALVING = 3
CONTENDED_PAUSE_SECONDS = 0.02
PAUSES_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0, 2.0, 2.0, 5.0, 5.0, 5.0)
"""Before each further try while the database is away: a restart of it fits in."""
REMEMBERED: Final = timedelta(days=90)
"""For so long after its end a file that is imported again is known."""


class ImportStopped(Exception):
    """The import cannot go on; what is done stays done, and a later start goes on from there."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far an import is: bytes of the file, and what became of its rows."""

    done_bytes: int
    size_bytes: int
    accepted: int
    duplicates: int
    rejected: int
    resumed: bool = False

    @property
    def rows(self) -> int:
        """All rows so far."""
        return self.accepted + self.duplicates + self.rejected


class _Error(msgspec.Struct):
    code: int
    message: str


class _Result(msgspec.Struct):
    line: int
    status: str
    errors: list[_Error] | None = None


_Tell = Callable[[Standing], None]
_encode_lines = msgspec.json.Encoder().encode_lines
_decode_lines = msgspec.json.Decoder(_Result).decode_lines


def results_path(path: Path) -> Path:
    """Where the results of a file's rows go: beside it."""
    return Path(f"{path}.results.ndjson")


async def import_file(
    runner: Runner, org_id: int, kind: Kind, path: Path, tell: _Tell, *, anew: bool = False
) -> Standing:
    """Import the rows of a file into an organisation, and write what became of each beside it.

    An import that was interrupted goes on. One that was finished starts again, and what was accepted
    then is a DUPLICATE now and not tried; with `anew` everything is. `tell` hears of each batch. Raises
    `UnreadableFile`, also for an unknown organisation, and `ImportStopped`.
    """
    org = await runner.operate(lambda tx: load_org(tx, org_id))
    if org is None:
        raise UnreadableFile(f"no organisation has the id {org_id}")
    tenant = Tenant(org.org_id, org.root_org_id)
    with ExitStack() as closing:
        try:
            file = closing.enter_context(path.open("rb"))
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UnreadableFile(f"{path} is no plain file")
            results = closing.enter_context(_open_results(results_path(path)))
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise UnreadableFile(f"{error.filename or path}: {error.strerror}") from None
        running = _Running(runner, tenant, kind, path, file, results)
        return await running.run(digest, tell, anew=anew)


def _open_results(path: Path) -> BinaryIO:
    """The results file, ours alone; what is in it is left for now."""
    opened = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666), "r+b")
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        opened.close()
        raise UnreadableFile(f"another import is writing {path}") from None
    return opened


class _Running:
    """One run of an import by this process, which holds it until another one takes it."""

    def __init__(
        self,
        runner: Runner,
        tenant: Tenant,
        kind: Kind,
        path: Path,
        file: BinaryIO,
        results: BinaryIO,
    ) -> None:
        self._runner = runner
        self._tenant = tenant
        self._kind = kind
        self._path = path
        self._file = file
        self._results = results
        self._holder = uuid.uuid4().hex
        self._found = os.fstat(file.fileno())
        self._import = Import(0, 0)

    async def run(self, digest: str, tell: _Tell, *, anew: bool) -> Standing:
        """Take the import over, go through what is left of the file, and finish it."""
        rows = self._rows(0, 0)
        first = next(rows, None)  # a header that cannot be read is told before anything is done
        await self._take(digest, anew=anew)
        resumed = self._import.position > 0
        tell(self._standing(resumed=resumed))
        if resumed:
            rows = self._rows(self._import.position, self._import.line)
        elif first is not None:
            rows = chain((first,), rows)
        for batch in _batches(rows):
            await self._run_batch(batch)
            tell(self._standing())
        await self._finish()
        size = self._found.st_size
        return replace(self._standing(resumed=resumed), done_bytes=size)

    def _rows(self, position: int, line: int) -> Iterator[Row]:
        if is_csv(self._path.name, self._file):
            return read_csv(self._file, self._kind.columns, self._kind.required, position, line)
        return read_ndjson(self._file, position, line)

    def _standing(self, *, resumed: bool = False) -> Standing:
        now = self._import
        size = self._found.st_size
        return Standing(now.position, size, now.accepted, now.duplicates, now.rejected, resumed)

    async def _take(self, digest: str, *, anew: bool) -> None:
        """Hold the import, and write the results that are known into the file."""
        org_id, now = self._tenant.org_id, clock.now()

        async def write(tx: Tx) -> Import:
            await store.forget_finished(tx, org_id, now - REMEMBERED)
            return await store.take(
                tx, org_id, self._kind.name, digest, self._holder, now, anew=anew
            )

        self._import = await self._runner.operate(write)
        self._results.truncate(0)
        line = 0
        while known := await self._results_behind(line):
            for last_line, results in known:
                self._write(results)
                line = last_line

    async def _results_behind(self, line: int) -> Sequence[tuple[int, str]]:
        """(last line, results) of some of the next batches that are done."""
        org_id, of = self._tenant.org_id, self._import
        return await self._runner.operate(lambda tx: store.load_results(tx, org_id, of, line))

    def _write(self, results: str) -> None:
        try:
            self._results.write(results.encode())
            self._results.flush()
        except OSError as error:
            message = f"{results_path(self._path)}: {error.strerror}"
            raise ImportStopped(message) from None

    async def _run_batch(self, rows: Sequence[Row]) -> None:
        """Do some rows and write their results; in smaller batches where they cannot be done in one."""
        todo = deque([rows])
        contended = 0
        while todo:
            part = todo[0]
            results = ""
            try:
                results = await self._run_whole(part)
            except Contended:
                contended += 1
                if contended == CONTENDED_TRIES_MAX:
                    message = f"the rows from line {part[0].line} on are changed all the time"
                    raise ImportStopped(message) from None
                if contended > CONTENDED_TRIES_BEFORE_HALVING and len(part) > 1:
                    _halve(todo)
                await asyncio.sleep(CONTENDED_PAUSE_SECONDS)
                continue
            except (DatabaseUnavailable, ImportStopped):
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is one row's
                if len(part) > 1:
                    log("import_split", "warning", line=part[0].line, cause=type(error).__name__)
                    _halve(todo)
                    continue
                log("row_failed", "error", line=part[0].line, error=error)
                results = await self._run_whole(part, failed=True)
            todo.popleft()
            contended = 0
            self._write(results)

    async def _run_whole(self, rows: Sequence[Row], *, failed: bool = False) -> str:
        """Do the rows in one transaction, whatever becomes of the connection; returns their results.

        `failed`: they cannot be done, and that is their result.
        """
        found = os.fstat(self._file.fileno())
        if (found.st_size, found.st_mtime_ns) != (self._found.st_size, self._found.st_mtime_ns):
            raise ImportStopped(f"{self._path} was changed meanwhile: import it again")
        known: set[int] = set()
        for seconds in (0.0, *PAUSES_SECONDS):
            await asyncio.sleep(seconds)
            try:
                if seconds and (results := await self._results_if_done(rows)) is not None:
                    return results
                if self._import.run > 1:
                    known = await self._done_before(rows)
                return await self._commit(rows, known, failed=failed)
            except DatabaseUnavailable:
                continue
            except Overtaken:
                raise ImportStopped("another process imports the same file") from None
        raise ImportStopped("the database cannot be reached")

    async def _commit(self, rows: Sequence[Row], known: set[int], *, failed: bool) -> str:
        prefix = f"import-{self._import.id}-"
        taken: list[object] = []
        for row in rows:
            if row.line in known:
                taken.append("DUPLICATE")
            elif failed:
                taken.append(Refusal(INTERNAL))
            elif isinstance(row.content, Refusal):
                taken.append(row.content)
            else:
                taken.append(self._kind.read(row.content, f"{prefix}{row.line}"))
        commands = [each for each in taken if not isinstance(each, Refusal | str)]

        def step_of(outcomes: Sequence[object]) -> Step:
            ordered = iter(outcomes)
            return self._step(
                rows,
                [each if isinstance(each, Refusal | str) else next(ordered) for each in taken],
            )

        booked = Booked(self._kind.action, step_of)
        await self._runner.run(booked, self._tenant, commands)
        step, before = booked.step, self._import
        assert step is not None
        self._import = replace(
            before,
            position=step.position,
            line=step.line,
            accepted=before.accepted + step.accepted,
            duplicates=before.duplicates + step.duplicates,
            rejected=before.rejected + step.rejected,
        )
        return step.results

    def _step(self, rows: Sequence[Row], outcomes: Sequence[object]) -> Step:
        results = [_result(row.line, outcome) for row, outcome in zip(rows, outcomes, strict=True)]
        statuses = [result.status for result in results]
        return Step(
            self._import.id,
            self._import.run,
            self._holder,
            self._import.position,
            rows[-1].ends_at,
            rows[0].line,
            rows[-1].last_line,
            statuses.count("ACCEPTED"),
            statuses.count("DUPLICATE"),
            statuses.count("REJECTED"),
            _encode_lines(results).decode(),
        )

    async def _results_if_done(self, rows: Sequence[Row]) -> str | None:
        """The results of a batch whose transaction broke off, if it was committed all the same."""
        org_id, of = self._tenant.org_id, self._import

        async def read(tx: Tx) -> tuple[Import | None, Sequence[tuple[int, str]]]:
            reached = await store.load_import(tx, org_id, of.id, self._holder)
            return reached, await store.load_results(tx, org_id, of, rows[0].line - 1)

        reached, results = await self._runner.operate(read)
        if reached is None:
            raise Overtaken
        if reached.position == of.position:
            return None
        self._import = reached
        return "".join(known for _, known in results)

    async def _done_before(self, rows: Sequence[Row]) -> set[int]:
        """The lines that an earlier run has done, of some rows."""
        org_id, of = self._tenant.org_id, self._import
        first, last = rows[0].line, rows[-1].last_line
        earlier = await self._runner.operate(
            lambda tx: store.load_earlier_results(tx, org_id, of, first, last)
        )
        return {
            result.line
            for results in earlier
            for result in _decode_lines(results)
            if result.status != "REJECTED"
        }

    async def _finish(self) -> None:
        """Make the results last, renew statistics, and mark the import as finished, in this order."""
        os.fsync(self._results.fileno())
        if self._import.accepted:
            await store.analyze(self._runner.database.url, self._kind.tables)
        org_id, of, now = self._tenant.org_id, self._import, clock.now()
        await self._runner.operate(lambda tx: store.finish(tx, org_id, of, self._holder, now))


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row.content) if isinstance(row.content, bytes) else 0
        if len(batch) == BATCH_ROWS_MAX or size >= BATCH_BYTES_MAX:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _halve(todo: deque[Sequence[Row]]) -> None:
    part = todo.popleft()
    middle = len(part) // 2
    todo.extendleft((part[middle:], part[:middle]))


def _result(line: int, outcome: object) -> _Result:
    if isinstance(outcome, Refusal):
        return _Result(line, "REJECTED", [_Error(outcome.error.code, outcome.message)])
    if isinstance(outcome, str):
        return _Result(line, outcome)
    return _Result(line, outcome.status if isinstance(outcome, Recorded) else "ACCEPTED")
