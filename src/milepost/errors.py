"""The error catalogue: every number a caller can meet, with its message and HTTP status, once.

A rule returns a `Refusal`; code at the edge that has no outcome to return raises `Refused`. The API
renders either in the envelope of its family (contract §3). `errors_page.py` makes `docs/errors.md`
of it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Error:
    """One entry of the catalogue.

    `code` is the number on the wire, unique in the catalogue; `message` its text; `status` the HTTP
    status of a single (non-bulk) answer; `family` where it belongs: "target", "customer",
    "transaction", "promotion", "organisation" or "transport". `when` is the sentence for the
    documentation. `{0}` in the message stands for the `subject` of the refusal.
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
    retry_after_seconds: int = 1
    """Said to the caller with 429 and 503 only."""

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

    def __init__(self, error: Error, detail: str = "", *, retry_after_seconds: int = 1) -> None:
        self.refusal = Refusal(error, detail, retry_after_seconds=retry_after_seconds)
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
KEY_IN_USE = Error(
    409,
    "A request with this Idempotency-Key is being worked on.",
    409,
    "transport",
    "the same request came before this one and is not answered yet: send it again in a moment",
)
PAYLOAD_TOO_LARGE = Error(
    413, "Payload too large.", 413, "transport", "a body is longer than the limit (1 MiB)"
)
URI_TOO_LONG = Error(414, "URI too long.", 414, "transport", "path and query are longer than 8 KiB")
UNSUPPORTED_MEDIA_TYPE = Error(
    415, "Unsupported media type.", 415, "transport", "a body is sent with a content encoding"
)
KEY_OF_ANOTHER_REQUEST = Error(
    422,
    "The Idempotency-Key belongs to another request.",
    422,
    "transport",
    "a key is sent again with another method, path, query, scope or body: nothing is done",
)
TOO_MANY_REQUESTS = Error(
    429,
    "Too many requests.",
    429,
    "transport",
    "the credential has used up what the route takes in a minute; `Retry-After` says when the next begins",
)
HEADERS_TOO_LARGE = Error(
    431,
    "Request header fields too large.",
    431,
    "transport",
    "a request has more than 64 KiB of headers, or more than 200 of them",
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


# Every business error is HTTP 400 (contract §3).


def _target(code: int, message: str, when: str) -> Error:
    return Error(code, message, 400, "target", when)


def _customer(code: int, message: str, when: str) -> Error:
    return Error(code, message, 400, "customer", when)


def _transaction(code: int, message: str, when: str) -> Error:
    return Error(code, message, 400, "transaction", when)


def _promotion(code: int, message: str, when: str) -> Error:
    return Error(code, message, 400, "promotion", when)


def _organisation(code: int, message: str, when: str) -> Error:
    return Error(code, message, 400, "organisation", when)


# Targets: milestones and streaks (domain/milestones-and-streaks.md §5).
INVALID_INPUT = _target(300004, "Invalid input.", "a body, a path id or a value is malformed")
TARGET_NAME_TOO_LONG = _target(
    310008,
    "Length of Target rule name cannot exceed 200",
    "a target's name is longer than 200 characters",
)
INVALID_USER = _target(310011, "Invalid userId", "the customer id names nobody")
TARGET_GROUP_NOT_FOUND = _target(
    310017, "Target group not found or deactivated", "the target group is unknown or inactive"
)
TARGET_NOT_FOUND = _target(
    310018, "Target rule not found", "the target is unknown, inactive, or of another group"
)
TARGET_PERIOD_NOT_FOUND = _target(
    310019, "Target period not found", "the named cycle is unknown or over, or no cycle is left"
)
INVALID_ENTITY_AND_TYPE = _target(
    310033,
    "Invalid target entity and target type combination",
    "targetEntity does not go with targetType",
)
TARGET_GROUP_NAME_TAKEN = _target(
    310069,
    "Target group name already exists",
    "another group of the organisation has the name, in any case",
)
EXTENDED_FIELD_INFO_MISSING = _target(
    310094,
    "Target rule metadata is required in case of EXTENDED_FIELD/ALTERNATE_CURRENCIES target type",
    "extendedFieldInfo is missing",
)
ALREADY_ENROLLED = _target(
    310119,
    "User already enrolled for the target.",
    "the chosen cycle is already covered by the customer's enrolment",
)
NOT_ENROLLED = _target(
    310126,
    "User is not enrolled to this target",
    "the customer was never enrolled, or has no cycle left to leave",
)
INVALID_ENROLMENT_TYPE = _target(
    310130,
    "Invalid enrollment type as input",
    "enrollmentType is not TRANSACTION, IMPORT or AUDIENCE_FILTER",
)
LEADERBOARD_WINDOW_UNSUPPORTED = _target(
    310132,
    "Target evaluation type not supported for leaderboard, currently only FIXED_CALENDER_WINDOW"
    " is supported",
    "leaderboardEnabled on a group that is not FIXED_CALENDAR_WINDOW",
)
LEADERBOARD_NOT_ENABLED = _target(
    310133,
    "Leaderboard is not enabled for the org",
    "leaderboardEnabled, which no organisation has yet",
)
DATA_SCOPE_ALL_UNSUPPORTED = _target(
    310141,
    "Datascope 'ALL' is not supported for this 'API'",
    "DATA-SCOPE is ALL on a route that does not take it",
)
CONNECTED_ORGS_NOT_SET = _target(
    310144,
    "Connected Orgs not set properly in Headers.",
    "DATA-SCOPE or DATA-SCOPE-ORG name something the caller may not act on",
)
INVALID_NAME_TYPE = _target(310145, "Invalid key is passed", "isValidName with an unknown type")
NO_USER_TARGET = _target(
    310149,
    "No record found in user target for given UserId and TargetId",
    "the events of a target that the customer was never enrolled in",
)
INVALID_PROGRAM = _target(
    310146,
    "Invalid program id",
    "a target on ALTERNATE_CURRENCIES whose extendedFieldInfo has no integer programId",
)
INVALID_CURRENCY = _target(
    310147,
    "Invalid or null Alternate Currency Identifier for target rule",
    "a target on ALTERNATE_CURRENCIES whose extendedFieldInfo has no alternateCurrencyIdentifier",
)

# Customers (domain/promotions-and-platform.md §5).
SOURCE_MISSING = _customer(8001, "Source is required", "a look-up without a source")
IDENTIFIERS_MISSING = _customer(8002, "Identifiers are required", "a look-up without name or value")
INVALID_SOURCE = _customer(8003, "Invalid source", "a look-up in an unknown source")
PROFILE_SOURCE_MISSING = _customer(8004, "Source is missing", "a profile without a source")
NO_VALID_IDENTIFIERS = _customer(
    8005,
    "No valid identifiers passed",
    "a registration without any identifier, or with one that cannot be registered",
)
CUSTOMER_EXISTS = _customer(
    8006,
    "Add failed, Customer already exists with id {0} for same source",
    "an identifier is registered in that source, identifiers belong to another customer, or the"
    " customerId is taken",
)
INVALID_IDENTIFIER = _customer(
    8013, "Lookup, Invalid identifier passed", "an unknown identifierName"
)
CUSTOMER_NOT_FOUND = _customer(
    8015, "Customer not found for the given identifiers", "the identifier resolves to nobody"
)
PROFILE_SOURCE_INVALID = _customer(3217, "Source is invalid", "a profile with an unknown source")
CUSTOMERS_COMBINED = Notice(
    8050,
    "Same Customer found in other sources, Combining",
    "customer",
    "an identifier was known in another source, and the profile joined its customer",
)
# Transactions (domain/promotions-and-platform.md §6.1, §6.3). Only the first message is published.
BILL_NUMBER_TAKEN = _transaction(
    604,
    "Duplicate transaction number",
    "the customer has a bill of that number, or just this return of it",
)
RETURN_BEFORE_SALE = _transaction(
    624, "Return date is before the transaction date", "the return is dated before its bill"
)
PARENT_BILL_MISSING = _transaction(
    625, "Transaction to be returned is not found", "a return names no bill of the customer"
)
QUANTITY_TOO_HIGH = _transaction(
    626,
    "Returned quantity is more than the purchased quantity",
    "more of an item is returned than is left of it",
)
RETURN_TYPE_INVALID = _transaction(
    628, "Return type is invalid", "a return whose returnType is unknown"
)
RETURN_AMOUNT_TOO_HIGH = _transaction(
    630,
    "Return amount is more than the transaction amount",
    "more is returned than is left of the bill",
)
AMOUNT_RETURN_AFTER_LINES = _transaction(
    632,
    "Amount cannot be returned, line items of the transaction are returned",
    "an AMOUNT return of a bill of which line items were returned",
)
BILL_RETURNED = _transaction(633, "Transaction is already returned", "nothing is left of the bill")
LINE_RETURN_AFTER_AMOUNT = _transaction(
    638,
    "Line items cannot be returned, an amount of the transaction is returned",
    "a LINE_ITEM return of a bill of which an amount was returned",
)
FULL_RETURN_AFTER_PARTIAL = _transaction(
    639,
    "Full return is not possible, the transaction is partially returned",
    "a FULL return of a bill of which something was returned",
)
LINE_INVALID = _transaction(
    660,
    "Line item is invalid",
    "a line without itemCode, a returned one without quantity, or a LINE_ITEM return without lines",
)
LINE_NOT_ON_BILL = _transaction(
    687,
    "No matching line item found in the transaction",
    "an item is returned that the bill does not have",
)


# Promotions (domain/promotions-and-platform.md §3.1–3.8, contract §7).
INVALID_PROGRAM_ID = _promotion(1101, "invalid programId passed", "the program is unknown")
BATCH_TOO_LARGE = _promotion(1060, "Batch limit size exceeded.", "a call has too many customers")
ENTITY_TYPE_INVALID = _promotion(
    1212, "Entity type is invalid", "the type of a single issue call is not CUSTOMER"
)
NO_LIVE_ISSUAL = _promotion(
    2305,
    "Active issued promotion is not available for the customer.",
    "the customer is not enrolled in the promotion, or has nothing of it to revoke",
)
PROMOTION_NAME_TAKEN = _promotion(
    4003,
    "Promotion name already exists",
    "another promotion of the program has the name, in any case",
)
PROMOTION_IDENTIFIER_TAKEN = _promotion(
    4007,
    "Promotion identifier already exists",
    "another promotion of the program has the identifier",
)
START_DATE_MISSING = _promotion(4011, "Start date cannot be null", "a promotion without startDate")
END_DATE_MISSING = _promotion(4012, "End date cannot be null", "a promotion without endDate")
EVENT_NAME_UNKNOWN = _promotion(4027, "Invalid event name", "a list by an event name that is none")
LIST_LIMIT_TOO_LARGE = _promotion(
    4055, "Limit cannot be greater than 100", "a list's limit is above 100"
)
TARGETS_MISSING = _promotion(
    4074,
    "Target group ids and target rule ids are required",
    "a USER_CREATED promotion without targetGroupIds or targetRuleIds",
)
ONE_RULESET_REQUIRED = _promotion(
    4075,
    "Exactly one ruleset is required",
    "a promotion with several rulesetInfos, or a USER_CREATED one without any",
)
RULESET_INVALID = _promotion(
    4076, "Invalid ruleset", "a ruleset or its rule lacks a field or has a wrong one"
)
FILTER_INVALID = _promotion(4078, "Invalid filter name", "a ruleset's filter has an unknown name")
SOURCE_TYPE_MISSING = _promotion(
    4079,
    "Source type is missing",
    "a promotion whose promotionSourceType is absent, or none that can be sent",
)
ACTION_INVALID = _promotion(
    4080, "Invalid action properties", "an action of a rule lacks its name or its properties"
)
LIST_LIMIT_INVALID = _promotion(4082, "Invalid limit", "a list's limit is no number from 0 on")
LIST_OFFSET_INVALID = _promotion(4083, "Invalid offset", "a list's offset is no number from 0 on")
LIST_SOURCE_TYPE_INVALID = _promotion(
    4084, "Invalid source type", "a list by a source type that is none"
)
LIST_PROMOTION_INVALID = _promotion(
    4085, "Invalid promotion id", "a list by a promotion id that is no number"
)
LIST_QUERY_INCOMPLETE = _promotion(
    4086,
    "Mandatory parameters are missing",
    "a list without limit or offset, or one of a program without sourceType",
)
OFFSET_NEGATIVE = _promotion(
    8100, "Offset cannot have value less than 0", "offset is not an integer ≥ 0"
)
LIMIT_TOO_SMALL = _promotion(8101, "Limit should be greater than 0", "limit is not an integer > 0")
LIMIT_TOO_LARGE = _promotion(8102, "Limit cannot be greater than 100", "limit is above 100")
SOURCE_TYPE_INVALID = _promotion(
    8103,
    "Invalid source type, please select values from (UI, API, CAMPAIGN)",
    "sourceType is none of these",
)
PROMOTION_TYPE_INVALID = _promotion(
    8104,
    "Invalid promotion type, please select values from (GENERIC, DIRECT_ISSUE, ENROL_AND_ISSUE)",
    "promotionType is none of these",
)
PROMOTION_DATA_FAILED = _promotion(
    8105,
    "Error fetching promotion data. Verify programs/promotionIdentifier passed.",
    "programs or promotionIdentifier name what there is not",
)
SORT_FIELD_INVALID = _promotion(
    8110,
    "Invalid sortOn, please select values from (CREATED_DATE, END_DATE, START_DATE, EXPIRY_ON, "
    "ISSUAL_DATE)",
    "sortOn is none of these",
)
SORT_ORDER_INVALID = _promotion(
    8111, "Invalid sortBy, please select values from (ASC, DESC)", "sortBy is none of these"
)
CUSTOMER_STATUS_INVALID = _promotion(
    8125,
    "Invalid promotionStatusForCustomer. It should be one of: AVAILABLE_TO_ENROL, "
    "AVAILABLE_TO_EARN, AVAILABLE_TO_REDEEM, EXPIRED",
    "promotionStatusForCustomer is none of these",
)
PROMOTION_UNKNOWN = _promotion(
    8874, "promotion id passed is invalid", "the promotion is unknown or of another program"
)
PARAMETERS_MISSING = _promotion(
    8881,
    "insufficient parameters passed, program id and one of promotion id/identifier are required",
    "programId, or both of promotionId and promoIdentifier, are absent or of a wrong type",
)
PROGRAM_REQUIRED = _promotion(
    8883, "Program id is required", "a benefits summary without programId"
)
PROMOTION_INACTIVE = _promotion(
    8892,
    "promotion is inactive",
    "the promotion is not live: switched off, not approved, not begun or over",
)
ISSUE_FAILED = _promotion(
    8896,
    "Error occurred while issuing promotion to the customer",
    "an enrolment is revoked while an earned record is live",
)
USER_GROUP_REFUSED = _promotion(
    8899, "Cannot enrol/issue to the user group", "the type is USERGROUP2"
)
ENTITY_TYPE_UNKNOWN = _promotion(
    8901, "invalid entity type passed", "the type of a bulk call is absent or not CUSTOMER"
)
ACTION_UNSUPPORTED = _promotion(
    8902,
    "{0}bulk action passed not supported for loyalty/generic promotion type",
    "bulkAction is absent, unknown, or does not fit the promotion's type; begins with `revoke` "
    "on the calls that revoke",
)
EARN_IDS_INVALID = _promotion(
    8903,
    "Earn IDs passed are either invalid or already revoked",
    "earnIds names what is no live earned record of the customer's in the promotion",
)
IDENTIFIERS_EMPTY = _promotion(
    11013,
    "identifierName, identifierValue, source can not be empty",
    "one of them, or the list of customers, is absent, blank or unknown",
)
PROMOTION_NOT_PUBLISHED = _promotion(
    310193,
    "Promotion not found for the given identifier",
    "no promotion has the id; of a customer's promotions: no active, paused or stopped one has the"
    " identifier",
)
LIMITS_EXHAUSTED = Notice(
    8890,
    "promotion not issued due to config issues or customer exhausted limits",
    "promotion",
    "a limit is used up, and nothing was done",
)
NOTHING_EARNED = Notice(
    8116,
    "No benefits earned by the customer from the promotion",
    "promotion",
    "the customer has not collected anything from the promotion yet",
)

# Tills, stores and attribution (domain/promotions-and-platform.md §4.2). No message is published.
LOOKUP_INCOMPLETE = _organisation(
    1061,
    "Attribution lookup type and lookup value are required together",
    "one of the headers X-CAP-API-ATTRIBUTION-LOOKUP-TYPE and -LOOKUP without the other",
)
TILL_NAME_TAKEN = _organisation(
    1207, "Till name already exists", "another till, of whichever organisation, has the name"
)
STORE_INVALID = _organisation(1214, "Store is invalid", "a till's storeId names no store")


CATALOGUE: tuple[Error, ...] = tuple(
    entry for entry in globals().values() if isinstance(entry, Error)
)
NOTICES: tuple[Notice, ...] = tuple(
    entry for entry in globals().values() if isinstance(entry, Notice)
)
