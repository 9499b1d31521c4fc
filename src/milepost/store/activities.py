"""Activities as stored: those known already, and the returns of a transaction, with what each did."""

from __future__ import annotations

import json
from collections.abc import Collection
from decimal import Decimal
from typing import Any

from milepost.database import Tenant, Tx
from milepost.rules.activities import Activity, LineItem
from milepost.rules.returns import Received
from milepost.store.journal import decode_details
from milepost.store.pipeline import Reply, Rows, ask
from milepost.store.shards import on_shards

_COLUMNS = """
SELECT a.activity_id, a.customer_id, a.type, a.occurred_at, a.event_name, a.net_amount, a.gross_amount,
       a.store_id, a.zone_id, a.concept_id, a.line_items::text, a.attributes::text, a.return_of, a.is_full,
       j.details::text"""
_OF_CUSTOMERS = f"""{_COLUMNS}
FROM unnest(%b::bigint[], %b::text[]) AS k (customer_id, named)
CROSS JOIN LATERAL (
    SELECT * FROM activities a WHERE a.org_id = %b AND a.customer_id = k.customer_id
"""  # noqa: S608 - ours
_WITH_THEIR_LINES = """
) AS a
LEFT JOIN LATERAL (
    SELECT details FROM journal j
    WHERE j.org_id = a.org_id AND j.customer_id = a.customer_id AND j.version = a.version
      AND j.ordinal = a.ordinal OFFSET 0
) AS j ON true
"""
ASK_ACTIVITIES = f"{_OF_CUSTOMERS} AND a.activity_id = k.named OFFSET 0 {_WITH_THEIR_LINES}"
ASK_RETURNS = f"""{_OF_CUSTOMERS} AND a.return_of = k.named OFFSET 0 {_WITH_THEIR_LINES}
ORDER BY a.customer_id, a.version, a.ordinal
"""
for _statement, _named in ((ASK_ACTIVITIES, "activity_id"), (ASK_RETURNS, "return_of")):
    on_shards(
        _statement,
        f"""{_COLUMNS}
FROM unnest(%b::bigint[], %b::text[]) AS k (customer_id, named)
JOIN activities a ON a.org_id = %b AND a.customer_id = k.customer_id AND a.{_named} = k.named
LEFT JOIN journal j ON j.org_id = a.org_id AND j.customer_id = a.customer_id AND j.version = a.version
    AND j.ordinal = a.ordinal
ORDER BY a.customer_id, a.version, a.ordinal
""",
    )


async def ask_activities(tx: Tx, tenant: Tenant, keys: Collection[tuple[int, str]]) -> Reply:
    """The activities with the given (customer id, activity id), for `read_received`."""
    return await ask(tx, ASK_ACTIVITIES, *_columns(keys), tenant.org_id)


async def ask_returns(tx: Tx, tenant: Tenant, keys: Collection[tuple[int, str]]) -> Reply:
    """The returns of the given (customer id, transaction id), in the order in which they came."""
    return await ask(tx, ASK_RETURNS, *_columns(keys), tenant.org_id)


def read_received(rows: Rows) -> list[Received]:
    """Activities with their effects."""
    return [
        Received(read_activity(*columns), decode_details(details)[1]) for *columns, details in rows
    ]


def read_activity(*columns: Any) -> Activity:
    """An activity of its columns, in the order of the statements."""
    activity_id, customer_id, kind, occurred_at, event_name, *rest = columns
    net, gross, store_id, zone_id, concept_id, items, attributes, return_of, full = rest
    return Activity(
        activity_id,
        customer_id,
        kind,
        occurred_at,
        event_name,
        net,
        gross,
        store_id,
        zone_id,
        concept_id,
        tuple(_line_item(item) for item in _decode(items) or ()),
        _decode(attributes) or {},
        return_of,
        full,
    )


def _line_item(item: dict[str, Any]) -> LineItem:
    return LineItem(
        item["sku"],
        Decimal(item["quantity"]),
        Decimal(item["net_amount"]),
        Decimal(item["gross_amount"]),
        item["attributes"],
    )


def _decode(text: str | None) -> Any:
    return None if text is None else json.loads(text, parse_float=Decimal)


def _columns(keys: Collection[tuple[int, str]]) -> tuple[list[int], list[str]]:
    return [customer for customer, _ in keys], [activity for _, activity in keys]
