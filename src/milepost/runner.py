"""The only BEGIN and COMMIT: run a batch of one action's commands, or read.

A batch is loaded, decided and saved in one transaction (house: "one idea"). What it saves has a
boundary with a version, compared and set before anything else is written: a customer, an
organisation's definitions, an identifier. Whoever lost the comparison has had no effect and is tried
again with the next batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol, TypeVar

from milepost import clock
from milepost.database import CONFLICTS, Database, DatabaseUnavailable, Tenant, Tx
from milepost.metrics import metrics
from milepost.observation import observed_batch
from milepost.rules.definitions import Definitions
from milepost.store.definitions import load_definitions
from milepost.store.idempotency import FirstAnswer, ask_keep_answers
from milepost.store.orgs import ask_org_moment
from milepost.store.pipeline import act_for

TRIES_MAX = 3
"""How often a transaction is begun, should a deadlock or a serialisation failure end it."""

C = TypeVar("C")
C_contra = TypeVar("C_contra", contravariant=True)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Moment:
    """What every decision of a batch may look at: the definitions, and the instant, read once.

    `now` is aware UTC: the wall clock, or a sandbox organisation's own.
    """

    definitions: Definitions
    now: datetime


class Lost:
    """The outcome of a command whose boundary somebody else changed meanwhile: nothing was done."""


LOST: Final = Lost()


class KeyTaken:
    """The outcome of each command of a keyed call whose key has its answer already: nothing was done."""


KEY_TAKEN: Final = KeyTaken()


@dataclass(frozen=True, slots=True)
class KeyedCall:
    """A request with an `Idempotency-Key`: its commands are in one batch, and its answer is kept with them.

    `answer` makes of their outcomes what is kept; None for what had no effect, or is not to be kept.
    """

    answer: Callable[[Sequence[Any]], FirstAnswer | None]


class _Undo(Exception):
    """Ends a transaction that must have no effect; a command's outcome is that of its call, else `LOST`."""

    def __init__(self, taken: Sequence[tuple[slice, KeyedCall]] = ()) -> None:
        super().__init__()
        self.taken = taken


@dataclass(frozen=True, slots=True)
class Decided:
    """The decisions of a batch: an outcome per command, in order, and what to save per boundary."""

    outcomes: Sequence[object]
    changes: Mapping[Any, Any] = field(default_factory=dict)
    """By boundary: only those that change."""


class Action(Protocol[C_contra]):
    """One verb: how a batch of its commands is loaded, decided and saved.

    The runner calls the four steps in this order within one transaction.
    """

    name: str
    batch_size_max: int | None
    """None: the setting's."""

    def boundary(self, command: C_contra) -> Hashable:
        """What the command may change. Commands of one boundary never run in two batches at once."""

    async def load(
        self,
        tx: Tx,
        tenant: Tenant,
        commands: Sequence[C_contra],
        moment: Callable[[], Awaitable[Moment]],
    ) -> Any:
        """Send every load of the batch, then fetch them: the state that `decide` takes.

        What depends on the definitions asks for the `moment`, after all else has been sent.
        """

    def decide(self, state: Any, commands: Sequence[C_contra], moment: Moment) -> Decided:
        """Pure: fold the commands in order."""

    async def claim(
        self, tx: Tx, tenant: Tenant, changes: Mapping[Any, Any], moment: Moment
    ) -> set[Any]:
        """Compare and set the boundaries that change; returns those that won."""

    async def save(self, tx: Tx, tenant: Tenant, changes: Mapping[Any, Any]) -> None:
        """Send the writes of the boundaries that won."""


class DefinitionsCache:
    """The definitions of each organisation that this process has met, at the newest revision seen.

    A batch reads its organisation's revision with its other loads, so it never decides by old
    definitions; the listener only spares the first batch after a change the reload.
    """

    def __init__(self) -> None:
        self._definitions: dict[int, Definitions] = {}
        self._loading: dict[int, asyncio.Lock] = {}

    async def at(self, tx: Tx, tenant: Tenant, revision: int) -> Definitions:
        """The definitions at `revision` or newer, from memory or, the first time, through `tx`."""
        known = self._definitions.get(tenant.org_id)
        if known is not None and known.revision >= revision:
            return known
        async with self._loading.setdefault(tenant.org_id, asyncio.Lock()):
            known = self._definitions.get(tenant.org_id)
            if known is None or known.revision < revision:
                known = await load_definitions(tx, tenant)
                self._definitions[tenant.org_id] = known
        return known

    def known_revision(self, org_id: int) -> int | None:
        """The revision in memory; None when the organisation has not been met."""
        known = self._definitions.get(org_id)
        return known.revision if known is not None else None


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs batches and reads on one database. One per process."""

    database: Database
    definitions: DefinitionsCache = field(default_factory=DefinitionsCache)

    async def run(
        self,
        action: Action[C],
        tenant: Tenant,
        commands: Sequence[C],
        calls: Sequence[tuple[slice, KeyedCall]] = (),
    ) -> list[Any]:
        """Decide and save `commands` in one transaction; an outcome per command, in order.

        `calls` says which of them belong to which keyed call: it is done whole, with its answer, or not.
        An outcome is what the action answers, a `Refusal`, `LOST` or `KEY_TAKEN`. When this returns, what
        was accepted is committed. Raises `DatabaseUnavailable` when the database is away or too slow (it
        may still have committed if it broke off at that very moment), and any other exception when
        it cannot take the batch: then nothing was done.
        """
        with observed_batch(action.name, len(commands)) as batch:
            try:
                outcomes = await _tried(lambda: self._run_once(action, tenant, commands, calls))
            except _Undo as undo:
                outcomes = [LOST] * len(commands)
                for place, _ in undo.taken:
                    outcomes[place] = [KEY_TAKEN] * len(outcomes[place])
            batch.lost = sum(outcome is LOST for outcome in outcomes)
        return outcomes

    async def _run_once(
        self,
        action: Action[C],
        tenant: Tenant,
        commands: Sequence[C],
        calls: Sequence[tuple[slice, KeyedCall]],
    ) -> list[Any]:
        async with self.database.transaction() as tx:
            await act_for(tx, tenant, writes=True)
            org = await ask_org_moment(tx, tenant)
            known: list[Moment] = []

            async def moment_of() -> Moment:
                if not known:
                    known.append(await self._moment(tx, tenant, await org.rows()))
                return known[0]

            state = await action.load(tx, tenant, commands, moment_of)
            moment = await moment_of()
            decided = action.decide(state, commands, moment)
            won: set[Any] = set()
            if decided.changes:
                won = await action.claim(tx, tenant, decided.changes, moment)
                winners = {key: decided.changes[key] for key in decided.changes if key in won}
                if winners:
                    await action.save(tx, tenant, winners)
                    if calls:
                        # Last, for an answer may name what the save gave its ids.
                        await _keep_answers(tx, action, commands, calls, decided, won)
            await tx.commit()
        lost = decided.changes.keys() - won
        if not lost:
            return list(decided.outcomes)
        # A refusal may rest on an accepted command of the same boundary, so all of it is undone.
        return [
            LOST if action.boundary(command) in lost else outcome
            for command, outcome in zip(commands, decided.outcomes, strict=True)
        ]

    async def read(self, tenant: Tenant, query: Callable[[Tx, Tenant, Moment], Awaitable[T]]) -> T:
        """Answer `query` from one snapshot, as of the organisation's `now`; it cannot write."""
        async with self.database.transaction(snapshot=True) as tx:
            await act_for(tx, tenant)
            org = await ask_org_moment(tx, tenant)
            moment = await self._moment(tx, tenant, await org.rows())
            return await query(tx, tenant, moment)

    async def write(self, tenant: Tenant, write: Callable[[Tx], Awaitable[T]]) -> T:
        """Run `write` for an organisation, in one transaction, committed at the end."""

        async def once() -> T:
            async with self.database.transaction() as tx:
                await act_for(tx, tenant, writes=True)
                return await write(tx)

        return await _tried(once)

    async def operate(self, write: Callable[[Tx], Awaitable[T]]) -> T:
        """Run `write` as the operator, across organisations, in one transaction, committed at the end."""

        async def once() -> T:
            async with self.database.transaction(operator=True) as tx:
                return await write(tx)

        return await _tried(once)

    async def _moment(self, tx: Tx, tenant: Tenant, rows: Sequence[tuple[Any, ...]]) -> Moment:
        revision, sandbox_now = rows[0]
        definitions = await self.definitions.at(tx, tenant, revision)
        return Moment(definitions, sandbox_now or clock.now())


async def _keep_answers(
    tx: Tx,
    action: Action[C],
    commands: Sequence[C],
    calls: Sequence[tuple[slice, KeyedCall]],
    decided: Decided,
    won: set[Any],
) -> None:
    """Keep the answers of the calls that have an effect; raises `_Undo` if one cannot be done whole."""
    answers: list[FirstAnswer] = []
    answered: list[tuple[slice, KeyedCall]] = []
    for place, call in calls:
        boundaries = {action.boundary(command) for command in commands[place]}
        if boundaries.isdisjoint(won):
            continue
        if not boundaries.isdisjoint(decided.changes.keys() - won):
            raise _Undo
        if (answer := call.answer(decided.outcomes[place])) is not None:
            answers.append(answer)
            answered.append((place, call))
    if answers:
        reply = await ask_keep_answers(tx, answers, clock.now())
        if taken := [answered[place] for (place,) in await reply.rows()]:
            raise _Undo(taken)


async def _tried(once: Callable[[], Awaitable[T]]) -> T:
    """What `once` returns, begun anew after a deadlock or a serialisation failure."""
    for _ in range(TRIES_MAX):
        try:
            return await once()
        except CONFLICTS:
            metrics().count_retry()
    raise DatabaseUnavailable(f"{TRIES_MAX} deadlocks or serialisation failures")
