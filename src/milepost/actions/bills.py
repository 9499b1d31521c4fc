"""Bills as the vendor's clients send them: whose they are, and the activities that they are.

What is read here only finds the vendor's code for a refusal; whether an activity is taken is the
business of `actions/activities.py`, whatever has changed meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from milepost.database import Tenant, Tx
from milepost.errors import Refusal
from milepost.rules.activities import Activity
from milepost.rules.bills import NOT_INTERESTED, BillDraft, Bills, check_bill, plan_bill
from milepost.rules.customers import Lookup, resolve
from milepost.runner import Moment, Runner
from milepost.store.activities import ask_activities, ask_returns, read_received
from milepost.store.bills import ask_bills_by_number, ask_names
from milepost.store.customers import load_known


@dataclass(frozen=True, slots=True)
class SentBill:
    """A bill with what names its customer; None where nobody needs to be named."""

    draft: BillDraft
    lookup: Lookup | None


@dataclass(slots=True)
class PlannedBills:
    """By place: the activity of each bill, None if it is of nobody, or why there is none."""

    activities: list[Activity | Refusal | None]
    names: dict[int, tuple[str, str]] = field(default_factory=dict)
    """By customer id: first and last name."""


async def plan_bills(
    runner: Runner, tenant: Tenant, sent: Sequence[SentBill | Refusal]
) -> PlannedBills:
    """Find the customers and plan the bills in order; refusals among `sent` stay what they are."""

    async def read(tx: Tx, tenant: Tenant, moment: Moment) -> PlannedBills:
        lookups = [each.lookup for each in sent if isinstance(each, SentBill) and each.lookup]
        found = await load_known(tx, tenant, {lookup.identifier for lookup in lookups})
        owned: list[tuple[BillDraft, int] | Refusal | None] = []
        for each in sent:
            if isinstance(each, Refusal):
                owned.append(each)
                continue
            refusal = check_bill(each.draft)
            if refusal is not None:
                owned.append(refusal)
            elif each.draft.type in NOT_INTERESTED or each.lookup is None:
                owned.append(None)
            else:
                customer = resolve(found, each.lookup)
                owned.append(customer if isinstance(customer, Refusal) else (each.draft, customer))
        bills, names = await _load(tx, tenant, [each for each in owned if isinstance(each, tuple)])
        return PlannedBills(
            [
                plan_bill(bills, *each, moment.now) if isinstance(each, tuple) else each
                for each in owned
            ],
            names,
        )

    return await runner.read(tenant, read)


async def _load(
    tx: Tx, tenant: Tenant, owned: Sequence[tuple[BillDraft, int]]
) -> tuple[Bills, dict[int, tuple[str, str]]]:
    """The bills that are named, with their returns, and the customers' names: two round trips."""
    bills = Bills()
    numbers = {(customer, draft.number) for draft, customer in owned if draft.number is not None}
    by_number = await ask_bills_by_number(tx, tenant, numbers)
    names = await ask_names(tx, tenant, {customer for _, customer in owned})
    keys = {(customer, draft.bill_number) for draft, customer in owned if draft.bill_number}
    for customer, _, activity_id in await by_number.rows():
        keys.add((customer, activity_id))
    known = await ask_activities(tx, tenant, sorted(keys))
    returns = await ask_returns(tx, tenant, sorted(keys))
    for received in (*read_received(await known.rows()), *read_received(await returns.rows())):
        bills.add(received.activity)
    return bills, {customer: (first, last) for customer, first, last in await names.rows()}
