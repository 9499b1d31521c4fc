"""What can be imported: how a row of each kind is read, and the action that takes it (contract §1)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import msgspec

from milepost.actions.activities import RECORD
from milepost.actions.customers import REGISTRATION
from milepost.actions.enrolment import ENROLMENT
from milepost.errors import INVALID_INPUT, Refusal
from milepost.imports.lines import Columns
from milepost.rules.activities import Activity
from milepost.rules.customers import CUSTOMER_ID_MAX, ProfileDraft, Registration, read_registration
from milepost.rules.effects import Origin
from milepost.rules.enrolment import BALANCE_MAX, Enrol
from milepost.rules.own_target_values import exact_number, read_target_value
from milepost.rules.recording import RecordActivity
from milepost.runner import Action

T = TypeVar("T")

Id = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Text = Annotated[str, msgspec.Meta(max_length=10_000)]
Name = Annotated[str, msgspec.Meta(max_length=100)]

# An escape that stands for the character NUL: its backslash is not itself escaped.
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


@dataclass(frozen=True, slots=True)
class Kind:
    """What the rows of a file are. `read` makes a row, with the id that the journal knows it by, a command.

    `required` are the columns without which a CSV file has nothing to say, `tables` those that grow.
    """

    name: str
    columns: Columns
    required: Sequence[str]
    tables: Sequence[str]
    action: Action[Any]
    read: Callable[[bytes, str], Any]


class _CustomerRow(msgspec.Struct):
    customerId: Annotated[int, msgspec.Meta(ge=1, le=CUSTOMER_ID_MAX)] | None = None
    firstName: Name | None = None
    lastName: Name | None = None
    mobile: Text | None = None
    email: Text | None = None
    externalId: Text | None = None
    source: Text | None = None


class _EnrolmentRow(msgspec.Struct):
    targetGroupId: Id
    targetId: Id
    customerId: Id
    periodName: Text | None = None
    initialBalance: Annotated[int, msgspec.Meta(ge=0, le=BALANCE_MAX)] | None = None
    resetStreakStatus: bool | None = None
    targetValue: Any = None


_customer_row = msgspec.json.Decoder(_CustomerRow)
_enrolment_row = msgspec.json.Decoder(_EnrolmentRow, float_hook=exact_number)


def activities(decode: Callable[[bytes], Activity | Refusal]) -> Kind:
    """Activities, as `POST /milepost/v1/activities` decodes them one by one."""

    def read(content: bytes, request_id: str) -> RecordActivity | Refusal:
        activity = decode(content)
        return (
            activity
            if isinstance(activity, Refusal)
            else RecordActivity(activity, Origin(request_id))
        )

    return Kind(
        "activities",
        {
            "id": "text",
            "customerId": "json",
            "type": "text",
            "occurredAt": "text",
            "eventName": "text",
            "returnOf": "text",
            "netAmount": "json",
            "grossAmount": "json",
            "storeId": "json",
            "zoneId": "json",
            "conceptId": "json",
            "lineItems": "json",
            "attributes": "json",
        },
        ("id", "customerId", "type", "occurredAt"),
        ("activities", "journal", "progress", "enrolments", "customer_versions", "rewards"),
        RECORD,
        read,
    )


def _read_customer(content: bytes, _: str) -> Registration | Refusal:
    row = _decode(_customer_row, content)
    if isinstance(row, Refusal):
        return row
    identifiers = (("mobile", row.mobile), ("email", row.email), ("externalId", row.externalId))
    draft = ProfileDraft(
        source=row.source,
        identifiers=[(kind, value) for kind, value in identifiers if value and value.strip()],
        first_name=row.firstName or "",
        last_name=row.lastName or "",
    )
    return read_registration([draft], row.customerId)


def _read_enrolment(content: bytes, request_id: str) -> Enrol | Refusal:
    row = _decode(_enrolment_row, content)
    if isinstance(row, Refusal):
        return row
    target_value = read_target_value(row.targetValue)
    if isinstance(target_value, Refusal):
        return target_value
    return Enrol(
        row.targetGroupId,
        row.targetId,
        row.customerId,
        row.periodName,
        row.initialBalance,
        bool(row.resetStreakStatus),
        Origin(request_id),
        target_value,
    )


def _decode(decoder: msgspec.json.Decoder[T], content: bytes) -> T | Refusal:
    """The row, else 300004 with what was expected and where, never raw bytes."""
    try:
        # As text, because the decoder does not look at the bytes of fields that it ignores.
        row = decoder.decode(content.decode())
    except msgspec.ValidationError as error:
        return Refusal(INVALID_INPUT, f"{error}.")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Refusal(INVALID_INPUT, "It is not JSON.")
    if b"\\u0000" in content and _NUL.search(content):
        # PostgreSQL takes none, and one in a batch would spoil its neighbours.
        return Refusal(INVALID_INPUT, "A text holds the character NUL.")
    return row


CUSTOMERS = Kind(
    "customers",
    {
        "customerId": "json",
        "firstName": "text",
        "lastName": "text",
        "mobile": "text",
        "email": "text",
        "externalId": "text",
        "source": "text",
    },
    (),
    ("customers", "customer_identifiers", "customer_profiles"),
    REGISTRATION,
    _read_customer,
)

ENROLMENTS = Kind(
    "enrolments",
    {
        "targetGroupId": "json",
        "targetId": "json",
        "customerId": "json",
        "periodName": "text",
        "initialBalance": "json",
        "resetStreakStatus": "json",
        "targetValue": "json",
    },
    ("targetGroupId", "targetId", "customerId"),
    ("enrolments", "progress", "journal", "customer_versions", "rewards", "level_achievements"),
    ENROLMENT,
    _read_enrolment,
)
