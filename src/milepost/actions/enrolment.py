"""Enrol and unenrol customers: contract §4.

Both verbs share one lane, so what one caller sends in order is decided in order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from milepost.actions.expressions import evaluate
from milepost.database import Tenant, Tx
from milepost.rules import enrolment
from milepost.rules.coverage import Members
from milepost.rules.effects import Changes
from milepost.rules.enrolment import Enrol, Unenrol
from milepost.runner import Decided, Moment
from milepost.store import members
from milepost.store.holdings import ask_needed, read_needed

Command = Enrol | Unenrol


class Enrolment:
    """Outcome per command: the customer's id, or a `Refusal`. Boundary: the customer."""

    name = "enrolment"
    batch_size_max: int | None = None

    def boundary(self, command: Command) -> int:
        """The customer."""
        return command.customer_id

    async def load(
        self,
        tx: Tx,
        tenant: Tenant,
        commands: Sequence[Command],
        moment: Callable[[], Awaitable[Moment]],
    ) -> Members:
        """Who exists, their versions, and what is stored of them in the targets named."""
        keys = {(command.customer_id, command.target_id) for command in commands}
        state = await members.load_members(tx, tenant, keys)
        at = await moment()
        definitions = at.definitions
        promotions = await ask_needed(
            tx, tenant, enrolment.promotions_needed(definitions, commands, at.now)
        )
        more = enrolment.targets_beside(definitions, commands) - keys
        if more:
            await members.load_more_members(tx, tenant, state, more)
        streaks = enrolment.streaks_moved(definitions, commands)
        if streaks:
            await members.load_progress(tx, tenant, state.enrolments, (), (), streaks)
        await read_needed(promotions, state.standings)
        return state

    def decide(self, state: Members, commands: Sequence[Command], moment: Moment) -> Decided:
        """Fold the commands in order; a later one sees what an earlier one changed."""
        outcomes = [
            enrolment.apply(moment.definitions, state, command, moment.now, evaluate)
            for command in commands
        ]
        return Decided(outcomes, state.changes)

    async def claim(
        self, tx: Tx, tenant: Tenant, changes: Mapping[int, Changes], moment: Moment
    ) -> set[int]:
        """The customers whose version was still the one loaded."""
        return await members.claim(tx, tenant, list(changes.values()), moment.definitions)

    async def save(self, tx: Tx, tenant: Tenant, changes: Mapping[int, Changes]) -> None:
        """One statement per table that has rows."""
        await members.save_changes(tx, tenant, list(changes.values()))


ENROLMENT = Enrolment()
