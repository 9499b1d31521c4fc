"""Note in the audit trail that somebody was given all that is kept of a customer."""

from __future__ import annotations

from datetime import datetime

from milepost import logs
from milepost.database import Tenant, Tx
from milepost.rules.audit import AuditEntry
from milepost.runner import Runner
from milepost.store.audit import insert_audit


async def note_export(
    runner: Runner, tenant: Tenant, now: datetime, credential_id: int, customer_id: int
) -> None:
    """Note an export, before anything of it is sent."""
    entry = AuditEntry(
        tenant.org_id,
        now,
        credential_id,
        logs.request_id.get(),
        "EXPORTED",
        "CUSTOMER",
        str(customer_id),
    )

    async def write(tx: Tx) -> None:
        await insert_audit(tx, [entry])

    await runner.operate(write)
