"""Note changes in the audit trail that are made as the operator, in the transaction that makes them."""

from __future__ import annotations

from milepost import clock, logs
from milepost.database import Tx
from milepost.rules.audit import AuditEntry, action_of, changed
from milepost.store.audit import insert_audit
from milepost.store.orgs import load_org


async def note_change(
    tx: Tx,
    org_id: int,
    subject_type: str,
    subject_id: object,
    before: object,
    after: object,
    *,
    action: str | None = None,
    credential_id: int | None = None,
) -> None:
    """Note a change of a record of an organisation; nothing if there is none, but for an `action` named.

    `before` None is a new one. `credential_id` None is the operator. No secret may be in the records.
    """
    changes = changed(before, after)
    if not changes and action is None:
        return
    org = await load_org(tx, org_id)
    assert org is not None
    entry = AuditEntry(
        org_id,
        org.sandbox_now or clock.now(),
        credential_id,
        logs.request_id.get(),
        action or action_of(before, after),
        subject_type,
        str(subject_id),
        changes,
    )
    await insert_audit(tx, [entry])
