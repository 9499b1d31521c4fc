"""Which versions of which customers brands have to be told of, written with what happened.

Only that: whom to tell, and of what, is found by the worker (`store/deliveries.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

from milepost.rules.effects import Changes
from milepost.rules.notifications import may_notify

SAVE_OUTBOX = """
INSERT INTO webhook_outbox (org_id, customer_id, version)
SELECT %b, k.customer_id, k.version FROM unnest(%b::bigint[], %b::bigint[]) AS k (customer_id, version)
"""


def outbox_rows(changes: Sequence[Changes]) -> list[tuple[object, ...]]:
    """Customer id and new version of each change that brings anything to tell, where anybody listens."""
    return [
        (change.customer_id, change.version + 1)
        for change in changes
        if change.is_notified and any(map(may_notify, change.journal))
    ]
