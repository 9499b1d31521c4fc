"""Record activities, of whatever form they came in: contract §5."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from milepost.actions.expressions import evaluate
from milepost.database import Tenant, Tx
from milepost.rules.activities import RETURN
from milepost.rules.effects import Changes
from milepost.rules.recording import (
    History,
    RecordActivity,
    progress_needed,
    promotions_needed,
    record,
)
from milepost.runner import Decided, Moment
from milepost.store import activities, members
from milepost.store.holdings import ask_needed, read_needed


class Record:
    """Outcome per command: `Recorded`, or a `Refusal`. Boundary: the customer."""

    name = "record"
    batch_size_max: int | None = 2_000

    def boundary(self, command: RecordActivity) -> int:
        """The customer."""
        return command.activity.customer_id

    async def load(
        self,
        tx: Tx,
        tenant: Tenant,
        commands: Sequence[RecordActivity],
        moment: Callable[[], Awaitable[Moment]],
    ) -> History:
        """Two round trips: who there is and what is known, then the progress that it may move."""
        found = [command.activity for command in commands]
        customers = sorted({activity.customer_id for activity in found})
        returned = {
            (activity.customer_id, activity.return_of)
            for activity in found
            if activity.type == RETURN and activity.return_of is not None
        }
        keys = {(activity.customer_id, activity.id) for activity in found}
        versions = await members.ask_versions(tx, tenant, customers)
        stints = await members.ask_stints_of_customers(tx, tenant, customers)
        known = await activities.ask_activities(tx, tenant, sorted(keys | returned))
        earlier = await activities.ask_returns(tx, tenant, sorted(returned)) if returned else None

        history = History(
            dict(await versions.rows()),
            members.read_stints(await stints.rows()),
        )
        for received in activities.read_received(await known.rows()):
            activity = received.activity
            history.received[activity.customer_id, activity.id] = received
        if earlier is not None:
            for received in activities.read_received(await earlier.rows()):
                activity = received.activity
                key = (activity.customer_id, activity.return_of or "")
                history.returns.setdefault(key, []).append(received)
        at = await moment()
        promotions = await ask_needed(tx, tenant, promotions_needed(at.definitions, found, at.now))
        needed = progress_needed(at.definitions, history, found)
        await members.load_progress(tx, tenant, history.enrolments, *needed)
        await read_needed(promotions, history.standings)
        return history

    def decide(self, state: History, commands: Sequence[RecordActivity], moment: Moment) -> Decided:
        """Fold the activities in order; a later one sees what an earlier one did."""
        outcomes = [
            record(moment.definitions, state, command, moment.now, evaluate) for command in commands
        ]
        return Decided(outcomes, state.changes)

    async def claim(
        self, tx: Tx, tenant: Tenant, changes: Mapping[int, Changes], moment: Moment
    ) -> set[int]:
        """The customers whose version was still the one loaded."""
        return await members.claim(tx, tenant, list(changes.values()), moment.definitions)

    async def save(self, tx: Tx, tenant: Tenant, changes: Mapping[int, Changes]) -> None:
        """One statement."""
        await members.save_changes(tx, tenant, list(changes.values()))


RECORD = Record()
