"""What brands are told of, of many customers at once: a fixed number of statements, in one go."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from milepost.database import Tenant, Tx
from milepost.rules.envelopes import Recipient
from milepost.rules.notification_blocks import Occurrence
from milepost.store.pipeline import Rows, ask
from milepost.store.promotions import PromotionChange, read_change
from milepost.store.shards import on_shards
from milepost.store.views import (
    NOTIFIES,
    OCCURRENCES,
    OCCURRENCES_ON_SHARDS,
    read_occurrence,
    read_profiles,
)

_EACH = "FROM unnest(%b::bigint[]) AS k (customer_id) CROSS JOIN LATERAL"

ASK_CUSTOMERS = f"""
SELECT k.customer_id, c.loyalty_type {_EACH} (
    SELECT loyalty_type FROM customers WHERE org_id = %b AND customer_id = k.customer_id OFFSET 0
) AS c
"""  # noqa: S608 - ours

ASK_PROFILES = f"""
SELECT k.customer_id, p.* {_EACH} (
    SELECT source, account_id, first_name, last_name, '[]', '{{}}'
    FROM customer_profiles WHERE org_id = %b AND customer_id = k.customer_id OFFSET 0
) AS p
ORDER BY k.customer_id, p.source, p.account_id
"""  # noqa: S608 - ours

ASK_IDENTIFIERS = f"""
SELECT k.customer_id, i.* {_EACH} (
    SELECT kind, value, sources FROM customer_identifiers
    WHERE org_id = %b AND customer_id = k.customer_id OFFSET 0
) AS i
ORDER BY k.customer_id, i.kind, i.value
"""  # noqa: S608 - ours

ASK_ENROLMENT_IDS = f"""
SELECT DISTINCT k.customer_id, e.target_id, e.enrolment_id {_EACH} (
    SELECT target_id, enrolment_id FROM enrolments
    WHERE org_id = %b AND customer_id = k.customer_id OFFSET 0
) AS e
"""  # noqa: S608 - ours

ASK_OCCURRENCES = OCCURRENCES.replace(
    "SELECT j.version", "SELECT j.customer_id, j.version", 1
).format(
    f"""
SELECT e.* FROM unnest(%b::bigint[], %b::bigint[]) AS k (customer_id, version)
CROSS JOIN LATERAL (
    SELECT * FROM journal
    WHERE org_id = %b AND customer_id = k.customer_id AND version = k.version AND {NOTIFIES} OFFSET 0
) AS e
"""  # noqa: S608 - ours
)
on_shards(
    ASK_OCCURRENCES,
    OCCURRENCES_ON_SHARDS.replace("SELECT j.version", "SELECT j.customer_id, j.version", 1).format(
        f"""
SELECT e.* FROM unnest(%b::bigint[], %b::bigint[]) AS k (asked_id, asked_version)
JOIN (SELECT * FROM journal WHERE org_id = %b AND {NOTIFIES}) AS e
    ON e.customer_id = k.asked_id AND e.customer_id = ANY ($1::bigint[]) AND e.version = k.asked_version
"""  # noqa: S608 - ours
    ),
)

ASK_CHANGES = """
SELECT revision, promotion_id, at, what, promotion::text, request_id, credential_id
FROM promotion_changes WHERE org_id = %b AND revision = ANY (%b::bigint[])
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What there is to tell of some versions of some customers, and of some edits of promotions."""

    recipients: Mapping[int, Recipient]
    """By customer id; who is not there any more has none."""
    occurrences: Sequence[tuple[int, Occurrence]]
    """Each with the customer's id, in the order of the versions."""
    changes: Sequence[PromotionChange]


async def load_told(tx: Tx, tenant: Tenant, keys: Collection[tuple[int, int]]) -> Told:
    """What happened in the given (customer id, version) pairs; of customer 0 the version is a revision.

    At most six statements, one round trip.
    """
    pairs = [key for key in keys if key[0]]
    revisions = [version for customer, version in keys if not customer]
    customers = sorted({customer for customer, _ in pairs})
    people = await ask(tx, ASK_CUSTOMERS, customers, tenant.root_org_id)
    profiles = await ask(tx, ASK_PROFILES, customers, tenant.root_org_id)
    identifiers = await ask(tx, ASK_IDENTIFIERS, customers, tenant.root_org_id)
    enrolments = await ask(tx, ASK_ENROLMENT_IDS, customers, tenant.org_id)
    columns = ([customer for customer, _ in pairs], [version for _, version in pairs])
    occurrences = await ask(tx, ASK_OCCURRENCES, *columns, tenant.org_id)
    changes = await ask(tx, ASK_CHANGES, tenant.org_id, revisions) if revisions else None
    of_people = await people.rows()
    profiles_of = _by_customer(await profiles.rows())
    identifiers_of = _by_customer(await identifiers.rows())
    enrolments_of = _by_customer(await enrolments.rows())
    return Told(
        {
            customer: Recipient(
                tenant.org_id,
                customer,
                loyalty_type,
                read_profiles(profiles_of.get(customer, ()), identifiers_of.get(customer, ())),
                dict(enrolments_of.get(customer, ())),
            )
            for customer, loyalty_type in of_people
        },
        [(customer, read_occurrence(*row)) for customer, *row in await occurrences.rows()],
        [read_change(*row) for row in await changes.rows()] if changes is not None else [],
    )


def _by_customer(rows: Rows) -> dict[int, list[tuple[Any, ...]]]:
    found: dict[int, list[tuple[Any, ...]]] = {}
    for customer, *rest in rows:
        found.setdefault(customer, []).append(tuple(rest))
    return found
