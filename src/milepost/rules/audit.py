"""The audit trail: who changed what. Here is how a change is told, field by field.

What happens to customers is in their journal; the audit trail has the rest: definitions, credentials,
organisations, clocks, and what was done with a customer's own data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, fields, is_dataclass
from datetime import UTC, datetime

from milepost.rules.definitions import Actor, TargetGroup
from milepost.rules.frozen import dataclass

CHANGES_MAX = 1_000
"""Fields that one entry tells of; how many more there were, it says in the field `…`."""

Change = tuple[object, object]
"""From and to, as JSON values; None: it was not there, or is no longer."""

JOURNAL_ACTIONS: Mapping[str, str] = {
    "ENROLLED": "ENROLLED",
    "RE_ENROLLED": "ENROLLED",
    "EXTENDED_BACK": "ENROLLED",
    "FIRST_ACTIVITY": "ENROLLED",
    "LEFT": "UNENROLLED",
    "OWN_TARGET_VALUE": "TARGET_VALUE_SET",
    "PROMOTION_ENROLLED": "ENROLLED",
    "PROMOTION_RE_ENROLLED": "ENROLLED",
    "PROMOTION_ENROLMENT_REVOKED": "UNENROLLED",
    "PROMOTION_EARNED": "ISSUED",
    "PROMOTION_EARN_REVOKED": "REVOKED",
}
"""By its reason, what a caller did that the journal tells of. What followed by itself is not among them."""
_TAKEN_AWAY = frozenset({"UNENROLLED", "REVOKED"})

_DERIVED = frozenset({"id", "created", "updated", "closes_at", "period_id", "group_id"})
"""Fields that follow from others, or that the entry itself says."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One act: `action` (a verb in capitals, such as CHANGED) on the subject.

    `at` is the organisation's own now. `credential_id` None is the operator. Secrets, and what could
    name a person, never belong into `changes`: it is kept for good.
    """

    org_id: int
    at: datetime
    credential_id: int | None
    request_id: str
    action: str
    subject_type: str
    subject_id: str
    changes: Mapping[str, Change] = field(default_factory=dict)


def group_entry(
    org_id: int,
    actor: Actor,
    request_id: str,
    before: TargetGroup | None,
    after: TargetGroup | None,
) -> AuditEntry:
    """The entry of an edit of a target group; its periods, targets and levels are told with it.

    CREATED where there was none, DELETED where there is none any more: that tells its name alone.
    """
    known = after or before
    assert known is not None
    changes: Mapping[str, Change] = {"name": (known.name, None)}
    if after is not None:
        changes = changed(before, after)
    return AuditEntry(
        org_id,
        actor.at,
        actor.credential_id or None,  # that of the demo data is 0
        request_id,
        action_of(before, after),
        "TARGET_GROUP",
        str(known.id),
        changes,
    )


def record_entry(
    org_id: int,
    actor: Actor,
    request_id: str,
    subject_type: str,
    subject_id: object,
    before: object,
    after: object,
) -> AuditEntry:
    """The entry of a change of any other record: `before` None is a new one."""
    return AuditEntry(
        org_id,
        actor.at,
        actor.credential_id or None,
        request_id,
        action_of(before, after),
        subject_type,
        str(subject_id),
        changed(before, after),
    )


def changed(before: object, after: object) -> dict[str, Change]:
    """The fields in which two records differ, by their names on the wire; None is no record.

    The fields of a record within it are told one by one (`limits.issualsPerCustomer`), as are the
    parts of a target group by their ids (`targets.29463.active`), and any other list as a whole. What
    is new tells only of what is not empty.
    """
    one, other = _flat(before), _flat(after)
    differing = [key for key in {**one, **other} if not _same(one.get(key), other.get(key))]
    found = {key: (one.get(key), other.get(key)) for key in differing[:CHANGES_MAX]}
    if len(differing) > CHANGES_MAX:
        found["…"] = (None, len(differing) - CHANGES_MAX)
    return found


def action_of(before: object, after: object) -> str:
    """CREATED, DELETED, DEACTIVATED (no longer `active`) or CHANGED."""
    if before is None:
        return "CREATED"
    if after is None:
        return "DELETED"
    was, now = getattr(before, "active", None), getattr(after, "active", None)
    return "DEACTIVATED" if was and now is False else "CHANGED"


def act_of_journal(
    reason: str, details: Mapping[str, object], named: Mapping[str, object]
) -> tuple[str, dict[str, Change]]:
    """The action, and what was given to the customer or taken away, of a line of the journal.

    `named` has the ids of its target group, target and period, None where there is none.
    """
    action = JOURNAL_ACTIONS[reason]
    if action == "TARGET_VALUE_SET":
        changes = {key: (each, each) for key, each in named.items()}
        asked = (details.get("earlierTargetValue"), details.get("targetValue"))
        return action, {**changes, "targetValue": asked}
    things = {
        **named,
        "promotionId": details.get("promotion"),
        "issualId": details.get("issual"),
        "earnedId": details.get("earn") or details.get("earns"),
    }
    return action, {
        key: (each, None) if action in _TAKEN_AWAY else (None, each)
        for key, each in things.items()
        if each is not None
    }


def _same(one: object, other: object) -> bool:
    """Equal, and of one kind: true is no 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def _flat(record: object) -> dict[str, object]:
    found: dict[str, object] = {}
    if record is not None:
        _flatten(record, "", found)
    return found


def _flatten(value: object, path: str, into: dict[str, object]) -> None:
    if isinstance(value, Mapping):
        members = {str(key): each for key, each in value.items()}
    elif is_dataclass(value):
        members = {
            _wire_name(each.name): getattr(value, each.name)
            for each in fields(value)
            if each.name not in _DERIVED
        }
    else:
        if value not in (None, "", [], ()):
            into[path] = _plain(value)
        return
    for name, each in members.items():
        below = f"{path}.{name}" if path else name
        if isinstance(each, tuple) and isinstance(value, TargetGroup):
            for part in each:
                _flatten(part, f"{below}.{part.id}", into)
        else:
            _flatten(each, below, into)


def _plain(value: object) -> object:
    """A value as JSON has it; decimals stay exact."""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat()}Z"
    if is_dataclass(value):
        return {_wire_name(each.name): _plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value


def _wire_name(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
