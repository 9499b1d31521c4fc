"""The error catalogue: every number a caller can meet, with its message and HTTP status, once.

A rule returns a `Refusal`; code at the edge that has no outcome to return raises `Refused`. The API
renders either in the envelope of its family (contract §3). `docs/errors.md` is generated from here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Error:
    """One entry of the catalogue.

    `code` is the number on the wire, unique in the catalogue; `message` its text; `status` the HTTP
    status of a single (non-bulk) answer; `family` where it belongs: "target", "customer",
    "transaction", "operator" or "transport". `when` is the sentence for the documentation. `{0}` in
    the message stands for the `subject` of the refusal.
    """

    code: int
    message: str
    status: int
    family: str
    when: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A business "no": the catalogue entry and, if there is more to say, the reason in plain words.

    `detail` never holds a secret or anything of the database; it may quote the caller's own input.
    """

    error: Error
    detail: str = ""
    subject: object = None

    @property
    def message(self) -> str:
        """The text on the wire: the entry's message, then the detail."""
        message = self.error.message.replace("{0}", str(self.subject))
        return f"{message} {self.detail}" if self.detail else message


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning of the catalogue: what was asked is done, and the caller should know something more."""

    code: int
    message: str
    family: str
    when: str


class Refused(Exception):
    """Raised where there is no outcome to return a `Refusal` in: decoding, authentication, reads."""

    def __init__(self, error: Error, detail: str = "") -> None:
        self.refusal = Refusal(error, detail)
        super().__init__(self.refusal.message)


# Transport: the code is the HTTP status (contract §3), but for 403, which carries 4000.
BAD_REQUEST = Error(400, "Bad request.", 400, "transport", "a v2 body or query is malformed")
UNAUTHENTICATED = Error(
    401,
    "Authentication failed. Please check username and password.",
    401,
    "transport",
    "no credential, a wrong one, or one of the wrong kind",
)
FORBIDDEN = Error(
    4000,
    "Not authorized. Access is denied!",
    403,
    "transport",
    "the credential lacks the permission that the route names",
)
NOT_FOUND = Error(404, "Resource not found.", 404, "transport", "no route has this path")
METHOD_NOT_ALLOWED = Error(
    405, "Method not allowed.", 405, "transport", "the path exists, for other methods"
)
PAYLOAD_TOO_LARGE = Error(
    413, "Payload too large.", 413, "transport", "a body is longer than the limit (1 MiB)"
)
UNSUPPORTED_MEDIA_TYPE = Error(
    415, "Unsupported media type.", 415, "transport", "a body is sent with a content encoding"
)
INTERNAL = Error(
    500, "Internal error.", 500, "transport", "a defect of Milepost; the log has the request id"
)
UNAVAILABLE = Error(
    503,
    "Service unavailable, try again.",
    503,
    "transport",
    "the queue is full, the database cannot be reached, or the service is stopping; "
    "nothing was done, or it was done whole",
)

# Targets: milestones and streaks (domain/milestones-and-streaks.md §5).
INVALID_INPUT = Error(
    300004, "Invalid input.", 400, "target", "a body, a path id or a value is malformed"
)
TARGET_NAME_TOO_LONG = Error(
    310008,
    "Length of Target rule name cannot exceed 200",
    400,
    "target",
    "a target's name is longer than 200 characters",
)
INVALID_USER = Error(310011, "Invalid userId", 400, "target", "the customer id names nobody")
TARGET_GROUP_NOT_FOUND = Error(
    310017,
    "Target group not found or deactivated",
    400,
    "target",
    "the target group is unknown or inactive",
)
TARGET_NOT_FOUND = Error(
    310018,
    "Target rule not found",
    400,
    "target",
    "the target is unknown, inactive, or of another group",
)
TARGET_PERIOD_NOT_FOUND = Error(
    310019,
    "Target period not found",
    400,
    "target",
    "the named cycle is unknown or over, or no cycle is left",
)
INVALID_ENTITY_AND_TYPE = Error(
    310033,
    "Invalid target entity and target type combination",
    400,
    "target",
    "targetEntity does not go with targetType",
)
TARGET_GROUP_NAME_TAKEN = Error(
    310069,
    "Target group name already exists",
    400,
    "target",
    "another group of the organisation has the name, in any case",
)
EXTENDED_FIELD_INFO_MISSING = Error(
    310094,
    "Target rule metadata is required in case of EXTENDED_FIELD/ALTERNATE_CURRENCIES target type",
    400,
    "target",
    "extendedFieldInfo is missing",
)
ALREADY_ENROLLED = Error(
    310119,
    "User already enrolled for the target.",
    400,
    "target",
    "the chosen cycle is already covered by the customer's enrolment",
)
NOT_ENROLLED = Error(
    310126,
    "User is not enrolled to this target",
    400,
    "target",
    "the customer was never enrolled, or has no cycle left to leave",
)
INVALID_ENROLMENT_TYPE = Error(
    310130,
    "Invalid enrollment type as input",
    400,
    "target",
    "enrollmentType is not TRANSACTION, IMPORT or AUDIENCE_FILTER",
)
LEADERBOARD_WINDOW_UNSUPPORTED = Error(
    310132,
    "Target evaluation type not supported for leaderboard, "
    "currently only FIXED_CALENDER_WINDOW is supported",
    400,
    "target",
    "leaderboardEnabled on a group that is not FIXED_CALENDAR_WINDOW",
)
LEADERBOARD_NOT_ENABLED = Error(
    310133,
    "Leaderboard is not enabled for the org",
    400,
    "target",
    "leaderboardEnabled, which no organisation has yet",
)
DATA_SCOPE_ALL_UNSUPPORTED = Error(
    310141,
    "Datascope 'ALL' is not supported for this 'API'",
    400,
    "target",
    "DATA-SCOPE is ALL on a route that does not take it",
)
CONNECTED_ORGS_NOT_SET = Error(
    310144,
    "Connected Orgs not set properly in Headers.",
    400,
    "target",
    "DATA-SCOPE or DATA-SCOPE-ORG name something the caller may not act on",
)
INVALID_NAME_TYPE = Error(
    310145, "Invalid key is passed", 400, "target", "isValidName with an unknown type"
)
NO_USER_TARGET = Error(
    310149,
    "No record found in user target for given UserId and TargetId",
    400,
    "target",
    "the events of a target that the customer was never enrolled in",
)
INVALID_PROGRAM = Error(
    310146,
    "Invalid program id",
    400,
    "target",
    "a target on ALTERNATE_CURRENCIES whose extendedFieldInfo has no integer programId",
)
INVALID_CURRENCY = Error(
    310147,
    "Invalid or null Alternate Currency Identifier for target rule",
    400,
    "target",
    "a target on ALTERNATE_CURRENCIES whose extendedFieldInfo has no alternateCurrencyIdentifier",
)

# Customers (domain/promotions-and-platform.md §5).
SOURCE_MISSING = Error(8001, "Source is required", 400, "customer", "a look-up without a source")
IDENTIFIERS_MISSING = Error(
    8002, "Identifiers are required", 400, "customer", "a look-up without name or value"
)
INVALID_SOURCE = Error(8003, "Invalid source", 400, "customer", "a look-up in an unknown source")
PROFILE_SOURCE_MISSING = Error(
    8004, "Source is missing", 400, "customer", "a profile without a source"
)
NO_VALID_IDENTIFIERS = Error(
    8005,
    "No valid identifiers passed",
    400,
    "customer",
    "a registration without any identifier, or with one that cannot be registered",
)
CUSTOMER_EXISTS = Error(
    8006,
    "Add failed, Customer already exists with id {0} for same source",
    400,
    "customer",
    "an identifier is registered in that source, identifiers belong to another customer, "
    "or the customerId is taken",
)
INVALID_IDENTIFIER = Error(
    8013, "Lookup, Invalid identifier passed", 400, "customer", "an unknown identifierName"
)
CUSTOMER_NOT_FOUND = Error(
    8015,
    "Customer not found for the given identifiers",
    400,
    "customer",
    "the identifier resolves to nobody",
)
PROFILE_SOURCE_INVALID = Error(
    3217, "Source is invalid", 400, "customer", "a profile with an unknown source"
)
CUSTOMERS_COMBINED = Notice(
    8050,
    "Same Customer found in other sources, Combining",
    "customer",
    "an identifier was known in another source, and the profile joined its customer",
)
# Transactions (domain/promotions-and-platform.md §6.1, §6.3). Only the first message is published.
BILL_NUMBER_TAKEN = Error(
    604,
    "Duplicate transaction number",
    400,
    "transaction",
    "the customer has a bill of that number, or just this return of it",
)
RETURN_BEFORE_SALE = Error(
    624,
    "Return date is before the transaction date",
    400,
    "transaction",
    "the return is dated before its bill",
)
PARENT_BILL_MISSING = Error(
    625,
    "Transaction to be returned is not found",
    400,
    "transaction",
    "a return names no bill of the customer",
)
QUANTITY_TOO_HIGH = Error(
    626,
    "Returned quantity is more than the purchased quantity",
    400,
    "transaction",
    "more of an item is returned than is left of it",
)
RETURN_TYPE_INVALID = Error(
    628, "Return type is invalid", 400, "transaction", "a return whose returnType is unknown"
)
RETURN_AMOUNT_TOO_HIGH = Error(
    630,
    "Return amount is more than the transaction amount",
    400,
    "transaction",
    "more is returned than is left of the bill",
)
AMOUNT_RETURN_AFTER_LINES = Error(
    632,
    "Amount cannot be returned, line items of the transaction are returned",
    400,
    "transaction",
    "an AMOUNT return of a bill of which line items were returned",
)
BILL_RETURNED = Error(
    633, "Transaction is already returned", 400, "transaction", "nothing is left of the bill"
)
LINE_RETURN_AFTER_AMOUNT = Error(
    638,
    "Line items cannot be returned, an amount of the transaction is returned",
    400,
    "transaction",
    "a LINE_ITEM return of a bill of which an amount was returned",
)
FULL_RETURN_AFTER_PARTIAL = Error(
    639,
    "Full return is not possible, the transaction is partially returned",
    400,
    "transaction",
    "a FULL return of a bill of which something was returned",
)
LINE_INVALID = Error(
    660,
    "Line item is invalid",
    400,
    "transaction",
    "a line without itemCode, a returned one without quantity, or a LINE_ITEM return without lines",
)
LINE_NOT_ON_BILL = Error(
    687,
    "No matching line item found in the transaction",
    400,
    "transaction",
    "an item is returned that the bill does not have",
)


CATALOGUE: tuple[Error, ...] = tuple(
    entry for entry in globals().values() if isinstance(entry, Error)
)
NOTICES: tuple[Notice, ...] = tuple(
    entry for entry in globals().values() if isinstance(entry, Notice)
)

_FAMILIES = {
    "transport": "Transport: every route",
    "target": "Targets: milestones and streaks",
    "customer": "Customers",
    "transaction": "Transactions",
}


def render_page() -> str:
    """`docs/errors.md`: the catalogue as a page."""
    lines = [
        "# Errors",
        "",
        "<!-- Generated by `make errors` from src/milepost/errors.py. -->",
        "",
        "A client keys on the code; a message may go on after the text given here, to say what was wrong.",
        "Which envelope an error comes in depends on the path: see [the API guide](api.md).",
    ]
    for family, title in _FAMILIES.items():
        lines += [
            "",
            f"## {title}",
            "",
            "| code | HTTP | message | when |",
            "| ---: | ---: | --- | --- |",
        ]
        lines += [
            f"| {entry.code} | {entry.status} | {entry.message} | {entry.when} |"
            for entry in sorted(CATALOGUE, key=lambda entry: entry.code)
            if entry.family == family
        ]
        lines += [
            f"| {notice.code} | warning | {notice.message} | {notice.when} |"
            for notice in sorted(NOTICES, key=lambda notice: notice.code)
            if notice.family == family
        ]
    return "\n".join(lines) + "\n"
