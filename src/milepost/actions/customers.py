"""Register customers: contract §6. One at a time, or by the thousand in an import."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence

from milepost.database import Tenant, Tx
from milepost.errors import Refusal
from milepost.rules import customers
from milepost.rules.customers import Additions, Lookup, Registration, Registry
from milepost.runner import Decided, Moment, Runner
from milepost.store.customers import claim, load_known, load_registry, save_profiles


class RegistrationAction:
    """Outcome per command: a `Registered`, or a `Refusal`. Boundary: its first identifier.

    Registrations in a batch that share any identifier are one change: what one of them was told rests
    on the others, so they win or lose together.
    """

    name = "registration"
    batch_size_max: int | None = None

    def boundary(self, command: Registration) -> Hashable:
        """The first identifier, or the id asked for where there is none."""
        return command.keys[0]

    async def load(
        self,
        tx: Tx,
        tenant: Tenant,
        commands: Sequence[Registration],
        moment: Callable[[], Awaitable[Moment]],
    ) -> Registry:
        """Whom the identifiers name, which of the ids asked for are taken, and new ids."""
        keys = {key for command in commands for key in command.keys if key.kind != "id"}
        asked = {command.customer_id for command in commands if command.customer_id is not None}
        return await load_registry(tx, tenant, keys, asked, len(commands))

    def decide(
        self,
        state: Registry,
        commands: Sequence[Registration],
        moment: Moment,
    ) -> Decided:
        """Fold the commands in order; a later one sees what an earlier one added."""
        outcomes, additions = customers.register(state, commands)
        changes = {
            self.boundary(command): added
            for command, added in zip(commands, additions, strict=True)
            if added.profiles
        }
        return Decided(outcomes, changes)

    async def claim(
        self, tx: Tx, tenant: Tenant, changes: Mapping[Hashable, Additions], moment: Moment
    ) -> set[Hashable]:
        """The boundaries whose additions got every identifier and id that they add."""
        won = await claim(tx, tenant, list(dict.fromkeys(changes.values())), moment.now)
        winners = set(won)
        return {boundary for boundary, added in changes.items() if added in winners}

    async def save(self, tx: Tx, tenant: Tenant, changes: Mapping[Hashable, Additions]) -> None:
        """The profiles: the claim has saved the rest."""
        await save_profiles(tx, tenant, dict.fromkeys(changes.values()))


REGISTRATION = RegistrationAction()


async def look_up(runner: Runner, tenant: Tenant, lookup: Lookup) -> int | Refusal:
    """The customer that an identifier names in a source, or 8015."""

    async def read(tx: Tx, tenant: Tenant, _: Moment) -> int | Refusal:
        return customers.resolve(await load_known(tx, tenant, [lookup.identifier]), lookup)

    return await runner.read(tenant, read)
