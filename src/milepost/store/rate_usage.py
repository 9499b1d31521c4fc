"""How often each credential has used each limited route in this minute. Operator transactions only."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from milepost.database import Tx
from milepost.store.pipeline import ask

Use = tuple[int, int, str]
"""Organisation, credential, name of the limit."""

# A process whose clock is a little ahead has begun the next minute for all; one that is far off, or a
# minute that is over, is overwritten.
COUNT = """
INSERT INTO rate_usage AS u (org_id, credential_id, limit_name, minute, used)
SELECT k.org_id, k.credential_id, k.limit_name, %b::timestamptz, k.used
FROM unnest(%b::bigint[], %b::bigint[], %b::text[], %b::bigint[])
    AS k (org_id, credential_id, limit_name, used)
ORDER BY k.org_id, k.credential_id, k.limit_name
ON CONFLICT (org_id, credential_id, limit_name) DO UPDATE
SET minute = CASE WHEN u.minute BETWEEN excluded.minute AND excluded.minute + interval '1 minute'
                  THEN u.minute ELSE excluded.minute END,
    used = CASE WHEN u.minute BETWEEN excluded.minute AND excluded.minute + interval '1 minute'
                THEN u.used ELSE 0 END + excluded.used
RETURNING org_id, credential_id, limit_name, used
"""


async def count_uses(tx: Tx, minute: datetime, uses: Mapping[Use, int]) -> dict[Use, int]:
    """Add `uses` to what the minute that begins at `minute` has seen; returns how many it has now."""
    columns = [
        [org_id for org_id, _, _ in uses],
        [credential_id for _, credential_id, _ in uses],
        [name for _, _, name in uses],
        list(uses.values()),
    ]
    rows = await (await ask(tx, COUNT, minute, *columns)).rows()
    return {(org_id, credential_id, name): used for org_id, credential_id, name, used in rows}
