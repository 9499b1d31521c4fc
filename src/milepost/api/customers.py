"""Customers: register and look up, `/v2/customers` (contract §6)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, get, post

from milepost.actions.customers import REGISTRATION, look_up
from milepost.api import wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import acting_tenant, declare, reading_tenant, runner_of, write
from milepost.errors import (
    CUSTOMER_EXISTS,
    CUSTOMER_NOT_FOUND,
    CUSTOMERS_COMBINED,
    IDENTIFIERS_MISSING,
    INVALID_IDENTIFIER,
    INVALID_SOURCE,
    NO_VALID_IDENTIFIERS,
    PROFILE_SOURCE_INVALID,
    PROFILE_SOURCE_MISSING,
    SOURCE_MISSING,
    Refusal,
)
from milepost.rules.customers import ProfileDraft, Registered, read_lookup, read_registration

PROFILES_MAX = 20
IDENTIFIERS_MAX = 20
CHANNELS_MAX = 50
FIELDS_MAX = 200

Name = Annotated[str, msgspec.Meta(max_length=100)]
CustomerId = Annotated[int, msgspec.Meta(ge=1, le=wire.INT64_MAX)]
Scalar = wire.Text | bool | wire.Id | float | None
Fields = Annotated[dict[wire.Text, Scalar | list[Scalar]], msgspec.Meta(max_length=FIELDS_MAX)]


class IdentifierBody(msgspec.Struct):
    """One entry of `identifiers`: mobile, email or externalId."""

    type: wire.Text | None = None
    value: wire.Text | None = None


class ChannelBody(msgspec.Struct, omit_defaults=True):
    """One entry of `commChannels`: kept as it is sent."""

    type: wire.Text | None = None
    value: wire.Text | None = None
    primary: bool | None = None
    verified: bool | None = None
    meta: Fields | None = None


Identifiers = Annotated[list[IdentifierBody], msgspec.Meta(max_length=IDENTIFIERS_MAX)]
Channels = Annotated[list[ChannelBody], msgspec.Meta(max_length=CHANNELS_MAX)]


class ProfileBody(msgspec.Struct):
    """One entry of `profiles`: the customer in one account of one source."""

    source: wire.Text | None = None
    accountId: wire.Text | None = None
    firstName: Name | None = None
    lastName: Name | None = None
    identifiers: Identifiers | None = None
    commChannels: Channels | None = None
    fields: Fields | None = None


class LoyaltyInfoBody(msgspec.Struct):
    """Whether the customer takes part in loyalty; default loyalty."""

    loyaltyType: Literal["loyalty", "non_loyalty"] | None = None


class CustomerBody(msgspec.Struct):
    """A registration, as the vendor has it."""

    profiles: Annotated[list[ProfileBody], msgspec.Meta(max_length=PROFILES_MAX)] | None = None
    customerId: CustomerId | None = None
    """The id to keep when moving in; null: a new one."""
    loyaltyInfo: LoyaltyInfoBody | None = None


class V2Warning(msgspec.Struct):
    """One warning of the v2 family; `status` is always false."""

    status: bool
    code: int
    message: str


class CustomerCreated(msgspec.Struct):
    """The id of the customer that was registered or, with warning 8050, joined."""

    createdId: int
    warnings: list[V2Warning]
    errors: list[wire.V2ErrorItem]
    sideEffects: list[dict[str, Any]]


class CustomerFound(msgspec.Struct):
    """The id of the customer."""

    entity: int
    warnings: list[V2Warning]


_customer_body = msgspec.json.Decoder(CustomerBody)


@post(
    "/v2/customers",
    status_code=200,
    opt=declare(
        "Customer",
        "WRITE",
        body=CustomerBody,
        answer=CustomerCreated,
        errors=(
            PROFILE_SOURCE_MISSING,
            PROFILE_SOURCE_INVALID,
            NO_VALID_IDENTIFIERS,
            CUSTOMER_EXISTS,
        ),
    ),
)
async def register_customer(request: ApiRequest) -> Response[bytes]:
    """Register a customer.

    An identifier that is known in another source joins its customer, with warning 8050.
    """
    body = await wire.read_body(request, _customer_body)
    info = body.loyaltyInfo or LoyaltyInfoBody()
    command = read_registration(
        [_draft(profile) for profile in body.profiles or ()],
        body.customerId,
        info.loyaltyType or "loyalty",
    )
    if isinstance(command, Refusal):
        return wire.refuse(command, request.scope["path"])
    path = request.scope["path"]
    tenant = await acting_tenant(request)
    return await write(
        request, REGISTRATION, tenant, command, lambda outcome: _registered(outcome, path)
    )


def _registered(outcome: Registered | Refusal, path: str) -> Response[bytes]:
    if isinstance(outcome, Refusal):
        return wire.refuse(outcome, path)
    warnings = []
    if outcome.combined:
        notice = CUSTOMERS_COMBINED
        warnings.append(V2Warning(status=False, code=notice.code, message=notice.message))
    return wire.answer_v2(CustomerCreated(outcome.customer_id, warnings, [], []))


@get(
    "/v2/customers/lookup",
    opt=declare(
        "Customer",
        answer=CustomerFound,
        query={
            "source": "where the identifier is known; ALL: anywhere",
            "identifierName": "id, mobile, email or externalId",
            "identifierValue": "the identifier",
            "accountId": "the account of the source; absent: any",
        },
        errors=(
            SOURCE_MISSING,
            INVALID_SOURCE,
            IDENTIFIERS_MISSING,
            INVALID_IDENTIFIER,
            CUSTOMER_NOT_FOUND,
        ),
    ),
)
async def look_up_customer(request: ApiRequest) -> Response[bytes]:
    """Find the customer that an identifier names."""
    query = request.query_params
    found: int | Refusal
    lookup = read_lookup(
        query.get("source"),
        query.get("identifierName"),
        query.get("identifierValue"),
        query.get("accountId"),
    )
    if isinstance(lookup, Refusal):
        found = lookup
    else:
        found = await look_up(runner_of(request), await reading_tenant(request), lookup)
    if isinstance(found, Refusal):
        return wire.refuse(found, request.scope["path"])
    return wire.answer_v2(CustomerFound(found, []))


def _draft(body: ProfileBody) -> ProfileDraft:
    return ProfileDraft(
        source=body.source,
        account_id=body.accountId,
        identifiers=[(item.type, item.value) for item in body.identifiers or ()],
        first_name=body.firstName or "",
        last_name=body.lastName or "",
        comm_channels=[msgspec.to_builtins(channel) for channel in body.commChannels or ()],
        fields=body.fields or {},
    )


ROUTES = (register_customer, look_up_customer)
