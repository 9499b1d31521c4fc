"""Enrol customers in promotions, issue them, and take either back, many at a time: contract §7."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence

from milepost.actions.expressions import evaluate
from milepost.database import Tenant, Tx
from milepost.errors import Refusal
from milepost.rules.customers import Identifier
from milepost.rules.effects import Changes
from milepost.rules.issuing import Act, Cast, act, find_promotion
from milepost.runner import Decided, Moment
from milepost.store import members
from milepost.store.customers import load_known
from milepost.store.holdings import ask_ids, load_pairs


class Issuing:
    """Outcome per command: an `Acted`, a `Refusal`, or a `CallRefused`. Boundary: the identifier.

    Several identifiers may name one customer: then they share the customer's changes, and win or lose
    together.
    """

    name = "issuing"
    batch_size_max: int | None = None

    def boundary(self, command: Act) -> Identifier:
        """What the customer is named by."""
        return command.boundary

    async def load(
        self,
        tx: Tx,
        tenant: Tenant,
        commands: Sequence[Act],
        moment: Callable[[], Awaitable[Moment]],
    ) -> Cast:
        """Two round trips: whom the identifiers name, and unused ids; then what those customers have."""
        lookups = [command.lookup for command in commands if command.lookup is not None]
        issual_ids, earn_ids = await ask_ids(tx, len(commands))
        known = await load_known(tx, tenant, {lookup.identifier for lookup in lookups})
        cast = Cast({}, {}, known=known)
        cast.issual_ids = deque(row[0] for row in await issual_ids.rows())
        cast.earn_ids = deque(row[0] for row in await earn_ids.rows())
        at = await moment()
        pairs: set[tuple[int, int]] = set()
        counted: set[int] = set()
        for command in commands:
            promotion = find_promotion(at.definitions, command.call, at.now)
            found = known.get(command.boundary)
            if isinstance(promotion, Refusal) or found is None:
                continue
            pairs.add((found.customer_id, promotion.id))
            if promotion.is_counted:
                counted.add(promotion.id)
        if pairs:
            versions = await members.ask_versions(tx, tenant, sorted({pair[0] for pair in pairs}))
            await load_pairs(tx, tenant, cast.standings, sorted(pairs), counted)
            cast.versions = dict(await versions.rows())
        return cast

    def decide(self, state: Cast, commands: Sequence[Act], moment: Moment) -> Decided:
        """Fold the commands in order; a later one sees what an earlier one changed."""
        outcomes = [
            act(moment.definitions, state, command, moment.now, evaluate) for command in commands
        ]
        changes: dict[Identifier, Changes] = {}
        for command in commands:
            # Who is refused too: that may rest on what was done for the same customer by another name.
            known = state.known.get(command.boundary)
            changed = state.changes.get(known.customer_id) if known is not None else None
            if changed is not None and (changed.journal or changed.leans_on):
                changes[command.boundary] = changed
        return Decided(outcomes, changes)

    async def claim(
        self, tx: Tx, tenant: Tenant, changes: Mapping[Identifier, Changes], moment: Moment
    ) -> set[Identifier]:
        """The identifiers of the customers who won."""
        won = await members.claim(tx, tenant, _customers(changes), moment.definitions)
        return {key for key, change in changes.items() if change.customer_id in won}

    async def save(self, tx: Tx, tenant: Tenant, changes: Mapping[Identifier, Changes]) -> None:
        """One statement."""
        await members.save_changes(tx, tenant, _customers(changes))


ISSUING = Issuing()


def _customers(changes: Mapping[Identifier, Changes]) -> list[Changes]:
    """Each customer's changes once, whatever identifiers name them."""
    return list({change.customer_id: change for change in changes.values()}.values())
