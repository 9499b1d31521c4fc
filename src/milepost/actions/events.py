"""Define behavioural events, and read pushed ones (domain: promotions §6.4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from milepost import logs
from milepost.database import Tenant, Tx
from milepost.errors import BAD_REQUEST, Refusal
from milepost.rules.activities import Activity
from milepost.rules.audit import AuditEntry, record_entry
from milepost.rules.customers import ANY_SOURCE, read_lookup, resolve
from milepost.rules.definitions import Actor
from milepost.rules.events import (
    DEFINITIONS_MAX,
    EventDefinition,
    check_definition,
    customer_identifier,
    event_activity,
    event_name,
)
from milepost.runner import Decided, Moment, Runner
from milepost.store.activities import ask_activities
from milepost.store.audit import insert_audit
from milepost.store.customers import load_known
from milepost.store.event_definitions import (
    ask_event_definitions,
    claim_event_definitions,
    read_event_definitions,
)

BOUNDARY = "event definitions"


@dataclass(frozen=True, slots=True)
class DefineEvent:
    """Define an event; `credential_id` is who does."""

    definition: EventDefinition
    credential_id: int
    request_id: str = field(default_factory=logs.request_id.get)


class EventDefinitionAction:
    """Outcome per command: the `EventDefinition`, or a `Refusal`. Boundary: all of the organisation's."""

    name = "event definitions"
    batch_size_max: int | None = 1

    def boundary(self, command: DefineEvent) -> str:
        """All events of the organisation: they are counted."""
        return BOUNDARY

    async def load(
        self,
        tx: Tx,
        tenant: Tenant,
        commands: Sequence[DefineEvent],
        moment: Callable[[], Awaitable[Moment]],
    ) -> set[str]:
        """The names that are taken."""
        known = await ask_event_definitions(tx, tenant)
        return {definition.name for definition in read_event_definitions(await known.rows())}

    def decide(self, state: set[str], commands: Sequence[DefineEvent], moment: Moment) -> Decided:
        """One definition, if it can be and its name is free."""
        (command,) = commands
        definition = command.definition
        refusal = check_definition(definition)
        if refusal is None and definition.name in state:
            refusal = Refusal(BAD_REQUEST, "An event of that name is defined already.")
        if refusal is None and len(state) >= DEFINITIONS_MAX:
            refusal = Refusal(BAD_REQUEST, f"There are {DEFINITIONS_MAX} events already.")
        if refusal is not None:
            return Decided([refusal])
        return Decided([definition], {BOUNDARY: command})

    async def claim(
        self, tx: Tx, tenant: Tenant, changes: Mapping[str, DefineEvent], moment: Moment
    ) -> set[str]:
        """Insert it, unless somebody else has taken the name since."""
        made = [(command.definition, command.credential_id) for command in changes.values()]
        names = await claim_event_definitions(tx, tenant, made, moment.now)
        won = [command for command in changes.values() if command.definition.name in names]
        await insert_audit(tx, [_audit_entry(tenant, command, moment) for command in won])
        return {key for key, command in changes.items() if command.definition.name in names}

    async def save(self, tx: Tx, tenant: Tenant, changes: Mapping[str, DefineEvent]) -> None:
        """Nothing: the claim has saved it, and who did it."""


def _audit_entry(tenant: Tenant, command: DefineEvent, moment: Moment) -> AuditEntry:
    actor, definition = Actor(command.credential_id, moment.now), command.definition
    return record_entry(
        tenant.org_id,
        actor,
        command.request_id,
        "EVENT_DEFINITION",
        definition.name,
        None,
        definition,
    )


DEFINE_EVENT = EventDefinitionAction()


async def list_events(runner: Runner, tenant: Tenant) -> list[EventDefinition]:
    """The events that the organisation has defined, oldest first."""

    async def read(tx: Tx, tenant: Tenant, _: Moment) -> list[EventDefinition]:
        return read_event_definitions(await (await ask_event_definitions(tx, tenant)).rows())

    return await runner.read(tenant, read)


async def plan_event(
    runner: Runner,
    tenant: Tenant,
    payload: Mapping[str, object],
    identity: str,
    *,
    unique: bool,
) -> Activity | Refusal | None:
    """The activity of a pushed event; None if it is one that is known already.

    400 for an event that is not defined, 8015 for a customer who cannot be found.
    """
    name = event_name(payload)
    if isinstance(name, Refusal):
        return name

    async def read(tx: Tx, tenant: Tenant, moment: Moment) -> Activity | Refusal | None:
        rows = await (await ask_event_definitions(tx, tenant, {name})).rows()
        if not rows:
            return Refusal(BAD_REQUEST, "No event of that name is defined.")
        (definition,) = read_event_definitions(rows)
        named = customer_identifier(definition, payload)
        if isinstance(named, Refusal):
            return named
        lookup = read_lookup(ANY_SOURCE, *named)
        if isinstance(lookup, Refusal):
            return lookup
        customer = resolve(await load_known(tx, tenant, [lookup.identifier]), lookup)
        if isinstance(customer, Refusal):
            return customer
        activity = event_activity(
            definition, payload, customer, identity, moment.now, unique=unique
        )
        if isinstance(activity, Refusal):
            return activity
        known = await ask_activities(tx, tenant, [(customer, activity.id)])
        return None if await known.rows() else activity

    return await runner.read(tenant, read)
