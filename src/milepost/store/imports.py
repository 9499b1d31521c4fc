"""Imports of files: how far each has come, and what became of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection, sql

from milepost.database import Tenant, Tx
from milepost.store.pipeline import ask, tell

FORGET = """
DELETE FROM imports WHERE org_id = %b AND finished_at < %b
"""

FORGET_ROWS = """
DELETE FROM import_results r USING imports i
WHERE i.org_id = %b AND i.kind = %b AND i.digest = %b AND i.finished_at IS NOT NULL
  AND r.org_id = i.org_id AND r.import_id = i.import_id
"""

# Every expression sees the row as it was: one that is finished begins its next run.
TAKE = """
INSERT INTO imports AS i (org_id, kind, digest, holder, started_at) VALUES (%b, %b, %b, %b, %b)
ON CONFLICT (org_id, kind, digest) DO UPDATE
SET holder = excluded.holder,
    run = i.run + (i.finished_at IS NOT NULL)::integer,
    position = CASE WHEN i.finished_at IS NULL THEN i.position ELSE 0 END,
    line = CASE WHEN i.finished_at IS NULL THEN i.line ELSE 0 END,
    accepted = CASE WHEN i.finished_at IS NULL THEN i.accepted ELSE 0 END,
    duplicates = CASE WHEN i.finished_at IS NULL THEN i.duplicates ELSE 0 END,
    rejected = CASE WHEN i.finished_at IS NULL THEN i.rejected ELSE 0 END,
    started_at = CASE WHEN i.finished_at IS NULL THEN i.started_at ELSE excluded.started_at END,
    finished_at = NULL
RETURNING import_id, run, position, line, accepted, duplicates, rejected
"""

ASK_IMPORT = """
SELECT import_id, run, position, line, accepted, duplicates, rejected
FROM imports WHERE org_id = %b AND import_id = %b AND holder = %b
"""

ASK_RESULTS = """
SELECT last_line, results FROM import_results
WHERE org_id = %b AND import_id = %b AND run = %b AND first_line > %b
ORDER BY first_line LIMIT 100
"""

ASK_RESULTS_OF_LINES = """
SELECT results FROM import_results
WHERE org_id = %b AND import_id = %b AND run = %b AND first_line <= %b AND last_line >= %b
ORDER BY first_line
"""

ADVANCE = """
WITH advanced AS (
    UPDATE imports
    SET position = %b, line = %b, accepted = accepted + %b, duplicates = duplicates + %b,
        rejected = rejected + %b
    WHERE org_id = %b AND import_id = %b AND run = %b AND holder = %b AND position = %b
      AND finished_at IS NULL
    RETURNING org_id, import_id, run
)
INSERT INTO import_results (org_id, import_id, run, first_line, last_line, results)
SELECT org_id, import_id, run, %b, %b, %b FROM advanced
RETURNING first_line
"""

FINISH = """
UPDATE imports SET finished_at = %b WHERE org_id = %b AND import_id = %b AND run = %b AND holder = %b
"""

FORGET_EARLIER_RUNS = """
DELETE FROM import_results WHERE org_id = %b AND import_id = %b AND run < %b
"""


@dataclass(frozen=True, slots=True)
class Import:
    """A file that is being imported: `position` bytes and `line` physical lines are done with.

    The counts are of rows, in this `run`.
    """

    id: int
    run: int
    position: int = 0
    line: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One batch of rows, done: from `earlier_position` to `position`; `results` are their lines.

    The rows are those of the physical lines `first_line` … `line`, both inclusive.
    """

    import_id: int
    run: int
    holder: str
    earlier_position: int
    position: int
    first_line: int
    line: int
    accepted: int
    duplicates: int
    rejected: int
    results: str


async def take(
    tx: Tx, org_id: int, kind: str, digest: str, holder: str, now: datetime, *, anew: bool
) -> Import:
    """The import of a file for `holder` from now on, as operator: where it was left, or a new run.

    `anew`: one that is finished is forgotten before, so that its next run knows of no row.
    """
    if anew:
        await tell(tx, FORGET_ROWS, org_id, kind, digest)
    reply = await ask(tx, TAKE, org_id, kind, digest, holder, now)
    return Import(*(await reply.rows())[0])


async def forget_finished(tx: Tx, org_id: int, before: datetime) -> None:
    """Delete the imports that were finished before an instant, as operator."""
    await tell(tx, FORGET, org_id, before)


async def load_import(tx: Tx, org_id: int, import_id: int, holder: str) -> Import | None:
    """How far the import has come; None if another process has taken it, as operator."""
    rows = await (await ask(tx, ASK_IMPORT, org_id, import_id, holder)).rows()
    return Import(*rows[0]) if rows else None


async def load_results(
    tx: Tx, org_id: int, of: Import, after_line: int
) -> Sequence[tuple[int, str]]:
    """(last line, results) of the next batches that begin after a line: a bounded number of them."""
    reply = await ask(tx, ASK_RESULTS, org_id, of.id, of.run, after_line)
    return [(last_line, results) for last_line, results in await reply.rows()]


async def load_earlier_results(
    tx: Tx, org_id: int, of: Import, first_line: int, last_line: int
) -> list[str]:
    """The results, in the run before, of the batches that have any of the lines."""
    reply = await ask(tx, ASK_RESULTS_OF_LINES, org_id, of.id, of.run - 1, last_line, first_line)
    return [results for (results,) in await reply.rows()]


async def advance(tx: Tx, tenant: Tenant, step: Step) -> bool:
    """Move an import on by a batch, if it is where the batch began, and still the holder's."""
    reply = await ask(
        tx,
        ADVANCE,
        step.position,
        step.line,
        step.accepted,
        step.duplicates,
        step.rejected,
        tenant.org_id,
        step.import_id,
        step.run,
        step.holder,
        step.earlier_position,
        step.first_line,
        step.line,
        step.results,
    )
    return bool(await reply.rows())


async def finish(tx: Tx, org_id: int, of: Import, holder: str, now: datetime) -> None:
    """Mark an import as finished, as operator; of its rows the last run alone is remembered."""
    await tell(tx, FINISH, now, org_id, of.id, of.run, holder)
    await tell(tx, FORGET_EARLIER_RUNS, org_id, of.id, of.run)


async def analyze(url: str, tables: Sequence[str]) -> None:
    """Renew the planner's statistics of tables, as their owner (house law 3)."""
    async with await AsyncConnection.connect(url, autocommit=True) as connection:
        for table in tables:
            await connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(table)))
