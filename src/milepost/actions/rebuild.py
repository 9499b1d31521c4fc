"""Rebuild: compare what is stored of every customer with what the journal comes to, and repair it.

Each batch of customers is read in one snapshot, so a database under load is as good as one at rest. A
repair reads its customers anew and claims their versions, as every other write does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from milepost.database import Tenant, Tx
from milepost.rules.definitions import Definitions
from milepost.rules.differences import Difference
from milepost.rules.effects import Changes
from milepost.rules.rebuild import Corrections, Fold, State, compare, corrections, fold
from milepost.runner import LOST, Decided, Moment, Runner
from milepost.store import members
from milepost.store import rebuild as store
from milepost.store.orgs import Org, load_orgs
from milepost.store.promotions import count_usage, load_wrong_usage
from milepost.store.rebuild import Place

CUSTOMERS_MAX = 100
"""In one batch."""
ENTRIES_MAX = 250
"""Of each customer's journal in one page: memory does not grow with the length of a life."""
TRIES_MAX = 10
"""How often a repair may lose its customers to other writers."""

_BEFORE_ALL = -(2**63)


@dataclass(frozen=True, slots=True)
class Checked:
    """A customer's two sides, as of one snapshot."""

    stored: State
    rebuilt: Fold


@dataclass(slots=True)
class Summary:
    """What a rebuild looked at and found. `left` are the differences that are there still."""

    customers: int = 0
    differences: int = 0
    left: int = 0


class Repair:
    """Make a customer's derived rows what the journal comes to. Commands are customer ids.

    Outcome: whether anything was to do. Boundary: the customer.
    """

    name = "repair"
    batch_size_max: int | None = CUSTOMERS_MAX

    def boundary(self, command: int) -> int:
        """The customer."""
        return command

    async def load(
        self,
        tx: Tx,
        tenant: Tenant,
        commands: Sequence[int],
        moment: Callable[[], Awaitable[Moment]],
    ) -> dict[int, Checked]:
        """Both sides; the versions first, which guard the rest."""
        versions = await store.load_versions(tx, tenant, commands)
        return await _load(tx, tenant, versions)

    def decide(self, state: dict[int, Checked], commands: Sequence[int], moment: Moment) -> Decided:
        """What has to be written and dropped."""
        found = {
            customer: (each.stored.version, needed)
            for customer, each in state.items()
            if (needed := corrections(each.stored, each.rebuilt.state))
        }
        return Decided([customer in found for customer in commands], found)

    async def claim(
        self,
        tx: Tx,
        tenant: Tenant,
        changes: Mapping[int, tuple[int, Corrections]],
        moment: Moment,
    ) -> set[int]:
        """The customers whose version was still the one loaded."""
        claims = [Changes(customer, version) for customer, (version, _) in changes.items()]
        return await members.claim(tx, tenant, claims, moment.definitions)

    async def save(
        self, tx: Tx, tenant: Tenant, changes: Mapping[int, tuple[int, Corrections]]
    ) -> None:
        """At most three statements."""
        versions = {customer: version for customer, (version, _) in changes.items()}
        needed = {customer: each for customer, (_, each) in changes.items()}
        await store.save_corrections(tx, tenant, versions, needed)


REPAIR = Repair()


class Recount:
    """Count anew how much promotions are used by all customers. Commands are promotion ids.

    Outcome: True. Boundary: the promotion; nobody else uses it while it is counted.
    """

    name = "recount"
    batch_size_max: int | None = None

    def boundary(self, command: int) -> int:
        """The promotion."""
        return command

    async def load(
        self,
        tx: Tx,
        tenant: Tenant,
        commands: Sequence[int],
        moment: Callable[[], Awaitable[Moment]],
    ) -> None:
        """Nothing: it is counted where it is saved."""

    def decide(self, state: None, commands: Sequence[int], moment: Moment) -> Decided:
        """All of them."""
        return Decided([True] * len(commands), dict.fromkeys(commands))

    async def claim(
        self, tx: Tx, tenant: Tenant, changes: Mapping[int, None], moment: Moment
    ) -> set[int]:
        """All of them: whoever uses one is waited for."""
        return set(changes)

    async def save(self, tx: Tx, tenant: Tenant, changes: Mapping[int, None]) -> None:
        """One statement."""
        await count_usage(tx, tenant, list(changes))


RECOUNT = Recount()


async def rebuild(
    runner: Runner,
    say: Callable[[str], None],
    *,
    org_id: int | None = None,
    repair: bool,
) -> Summary | None:
    """Compare all customers of all organisations, or of one; None if there is no such organisation.

    `say` gets a line for each difference. With `repair`, progress, levels, what customers have of
    promotions and how much of these is used are set right; what else differs lies in tables that only
    grow, or in stints, and is left to a person.
    """
    orgs = await runner.operate(load_orgs)
    chosen = [org for org in orgs if org_id in (None, org.org_id)]
    if org_id is not None and not chosen:
        return None
    summary = Summary()
    for org in chosen:
        await _rebuild_org(runner, say, org, summary, repair=repair)
    return summary


async def _rebuild_org(
    runner: Runner, say: Callable[[str], None], org: Org, summary: Summary, *, repair: bool
) -> None:
    tenant = Tenant(org.org_id, org.root_org_id)
    last = _BEFORE_ALL
    while True:
        customers, found, names = await _check_next(runner, tenant, last)
        if not customers:
            break
        for difference in found:
            say(_line(org, difference, names))
        summary.customers += len(customers)
        summary.differences += len(found)
        if found and repair:
            await _repair(runner, tenant, {difference.customer_id for difference in found})
            found = await _check_again(runner, tenant, customers)
        summary.left += len(found)
        last = max(customers)
    await _rebuild_usage(runner, say, tenant, summary, repair=repair)


async def _rebuild_usage(
    runner: Runner, say: Callable[[str], None], tenant: Tenant, summary: Summary, *, repair: bool
) -> None:
    """Compare how much promotions are used by all customers, where that is counted."""

    async def query(
        tx: Tx, tenant: Tenant, moment: Moment
    ) -> list[tuple[int, list[str], list[str]]]:
        promotions = moment.definitions.promotions.values()
        return await load_wrong_usage(tx, tenant, [p.id for p in promotions if p.is_counted])

    wrong = await runner.read(tenant, query)
    for promotion_id, stored, rebuilt in wrong:
        say(
            f"org {tenant.org_id}, promotion {promotion_id}: earned, revoked, redeemed, points: "
            f"stored {', '.join(stored)}; rebuilt {', '.join(rebuilt)}"
        )
    summary.differences += len(wrong)
    if wrong and repair:
        await runner.run(RECOUNT, tenant, [promotion_id for promotion_id, _, _ in wrong])
        wrong = await runner.read(tenant, query)
    summary.left += len(wrong)


async def _check_next(
    runner: Runner, tenant: Tenant, last: int
) -> tuple[Collection[int], list[Difference], Mapping[int, str]]:
    """The next customers after `last`, what differs, and the names of the organisation's cycles."""

    async def query(
        tx: Tx, tenant: Tenant, moment: Moment
    ) -> tuple[Collection[int], list[Difference], Mapping[int, str]]:
        versions = await store.load_customers_after(tx, tenant, last, CUSTOMERS_MAX)
        found = await _differences(tx, tenant, versions, moment)
        return versions, found, _cycle_names(moment.definitions) if found else {}

    return await runner.read(tenant, query)


async def _check_again(
    runner: Runner, tenant: Tenant, customers: Collection[int]
) -> list[Difference]:
    async def query(tx: Tx, tenant: Tenant, moment: Moment) -> list[Difference]:
        versions = await store.load_versions(tx, tenant, list(customers))
        return await _differences(tx, tenant, versions, moment)

    return await runner.read(tenant, query)


async def _differences(
    tx: Tx, tenant: Tenant, versions: Mapping[int, int], moment: Moment
) -> list[Difference]:
    if not versions:
        return []
    strays = await store.ask_stray_activities(tx, tenant, list(versions))
    sides = await _load(tx, tenant, versions)
    found = await store.read_strays(strays)
    for each in sides.values():
        found += compare(each.stored, each.rebuilt, moment.definitions, moment.now)
    return sorted(found, key=lambda difference: difference.customer_id)


async def _load(tx: Tx, tenant: Tenant, versions: Mapping[int, int]) -> dict[int, Checked]:
    """Both sides of the customers; their journals are read page by page and never kept."""
    dated = await store.load_dated_targets(tx, tenant)
    states = await store.load_states(tx, tenant, versions)
    folds = {customer: Fold(customer, dated) for customer in versions}
    places = dict.fromkeys(versions, Place())
    while places:
        read: dict[int, int] = dict.fromkeys(places, 0)
        for customer, place, entry in await store.load_journal(tx, tenant, places, ENTRIES_MAX):
            fold(folds[customer], place.version, place.ordinal, entry)
            places[customer] = place
            read[customer] += 1
        places = {
            customer: places[customer] for customer, count in read.items() if count == ENTRIES_MAX
        }
    return {customer: Checked(states[customer], folds[customer]) for customer in versions}


async def _repair(runner: Runner, tenant: Tenant, customers: Iterable[int]) -> None:
    """Repair customers; those whom other writers keep changing are left as they are after some tries."""
    waiting = sorted(customers)
    for _ in range(TRIES_MAX):
        if not waiting:
            return
        outcomes = await runner.run(REPAIR, tenant, waiting)
        waiting = [
            customer for customer, outcome in zip(waiting, outcomes, strict=True) if outcome is LOST
        ]


def _cycle_names(definitions: Definitions) -> Mapping[int, str]:
    return {
        period.id: period.ref_code
        for group in definitions.groups.values()
        for period in group.periods
    }


def _line(org: Org, difference: Difference, names: Mapping[int, str]) -> str:
    """A difference as a line: organisation, customer, target, cycle, field, stored, rebuilt."""
    place = [f"org {org.org_id}", f"customer {difference.customer_id}"]
    if difference.target_id is not None:
        place.append(f"target {difference.target_id}")
    if difference.period_id is not None:
        name = names.get(difference.period_id, "deleted")
        place.append(f"cycle {difference.period_id} ({name})")
    return (
        f"{', '.join(place)}: {difference.field}: "
        f"stored {difference.stored}; rebuilt {difference.rebuilt}"
    )
