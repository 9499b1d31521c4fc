"""A customer's promotions and what they brought, in the vendor's v2 shapes.

Domain: promotions §3.6 (`promotionData`), §3.7 (`actionSummary`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

import msgspec
from litestar import Response, get

from milepost.api import wire
from milepost.api.customer_promotion_views import (
    CustomerPromotion,
    amount,
    promotion_view,
    written_timelines,
)
from milepost.api.customers import V2Warning
from milepost.api.promotion_views import PageView, page_view
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, declare, read_each, reading_tenant, runner_of
from milepost.database import Tenant, Tx
from milepost.errors import (
    CUSTOMER_NOT_FOUND,
    CUSTOMER_STATUS_INVALID,
    IDENTIFIERS_MISSING,
    INVALID_IDENTIFIER,
    INVALID_SOURCE,
    LIMIT_TOO_LARGE,
    LIMIT_TOO_SMALL,
    NOTHING_EARNED,
    OFFSET_NEGATIVE,
    PROGRAM_REQUIRED,
    PROMOTION_DATA_FAILED,
    PROMOTION_TYPE_INVALID,
    PROMOTION_UNKNOWN,
    SORT_FIELD_INVALID,
    SORT_ORDER_INVALID,
    SOURCE_MISSING,
    SOURCE_TYPE_INVALID,
    Error,
    Refusal,
    Refused,
)
from milepost.rules.calendar import written_instant
from milepost.rules.customer_promotions import (
    SORT_FIELDS,
    SOURCE_TYPES,
    STATUSES,
    TYPES,
    Filter,
    Records,
    find_promotions,
    read_filter,
)
from milepost.rules.customers import ANY_SOURCE, Lookup, read_lookup, resolve
from milepost.rules.definitions import Definitions, Promotion
from milepost.runner import Moment
from milepost.store.customer_promotions import Benefit, load_benefits, load_customer_promotions
from milepost.store.customers import load_known

T = TypeVar("T")

LIMIT_MAX = 100
LIMIT_DEFAULT = 10

_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_LOOKUP_QUERY = {
    "source": "where the identifier is known; ALL: anywhere",
    "identifierName": "id, mobile, email or externalId",
    "identifierValue": "who the customer is",
    "accountId": "the account of the source; absent: any",
}
_LOOKUP_ERRORS = (
    SOURCE_MISSING,
    INVALID_SOURCE,
    IDENTIFIERS_MISSING,
    INVALID_IDENTIFIER,
    CUSTOMER_NOT_FOUND,
)
_LIST_QUERY = {
    "promotionStatusForCustomer": f"{', '.join(STATUSES)}; absent: all",
    "promotionType": f"{', '.join(TYPES)}; absent: all",
    "sourceType": f"{', '.join(SOURCE_TYPES)}; absent: all",
    "programs": "ids of programs, divided by commas; absent: all",
    "promotionIdentifier": "the caller's own identifier of one; absent: all",
    "fetchAllUsage": "true: limits too that there are not, with maxLimit -1",
    "sortOn": f"{', '.join(SORT_FIELDS)}; absent: by their ids",
    "sortBy": "ASC (default) or DESC",
    "limit": f"promotions at most, 1 to {LIMIT_MAX} (default {LIMIT_DEFAULT})",
    "offset": "promotions to leave out at the beginning (default 0)",
}
_LIST_ERRORS = (
    OFFSET_NEGATIVE,
    LIMIT_TOO_SMALL,
    LIMIT_TOO_LARGE,
    SOURCE_TYPE_INVALID,
    PROMOTION_TYPE_INVALID,
    PROMOTION_DATA_FAILED,
    SORT_FIELD_INVALID,
    SORT_ORDER_INVALID,
    CUSTOMER_STATUS_INVALID,
    CUSTOMER_NOT_FOUND,
)


class CustomerPromotions(msgspec.Struct):
    """A page of a customer's promotions."""

    pageDetails: PageView
    customerId: int
    promotions: list[CustomerPromotion]
    warnings: list[V2Warning]


class PointsIssued(msgspec.Struct):
    """The points that a promotion brought."""

    pointsCategory: str
    totalPointsIssued: str
    numberOfTimesIssued: int
    lastIssuedOn: str


class RewardIssued(msgspec.Struct):
    """A reward other than points; `rewardSeriesId` is its reference."""

    rewardSeriesId: str | None
    rewardName: str
    rewardType: str
    numberOfTimesIssued: int
    lastIssuedOn: str


class BadgeIssued(msgspec.Struct):
    """A badge; `badgeSeriesId` is its reference."""

    badgeSeriesId: str | None
    badgeName: str
    numberOfTimesIssued: int
    lastIssuedOn: str


class ActionSummary(msgspec.Struct):
    """What a customer got from a promotion; warning 8116 if nothing yet."""

    orgId: int
    programId: int
    customerId: int
    promotionId: int
    promotionIdentifier: str | None
    points: list[PointsIssued]
    alternateCurrencies: list[Any]
    rewards: list[RewardIssued]
    badges: list[BadgeIssued]
    warnings: list[V2Warning]


@get(
    "/v2/customers/lookup/promotionData",
    opt=declare(
        "Customer",
        answer=CustomerPromotions,
        query={**_LOOKUP_QUERY, **_LIST_QUERY},
        errors=(*_LOOKUP_ERRORS, *_LIST_ERRORS[:-1]),
    ),
)
async def promotion_data(request: ApiRequest) -> Response[bytes]:
    """A customer's promotions: those that are live, and those that they ever had anything of."""
    return await _list(request, _lookup_of(request))


@get(
    "/v2.1/customers/lookup/promotionData",
    opt=declare(
        "Customer",
        answer=CustomerPromotions,
        query={**_LOOKUP_QUERY, **_LIST_QUERY},
        errors=(*_LOOKUP_ERRORS, *_LIST_ERRORS[:-1]),
    ),
)
async def promotion_data_of_org(request: ApiRequest) -> Response[bytes]:
    """The same, with the organisation of each promotion."""
    return await _list(request, _lookup_of(request), with_org=True)


@get(
    "/v2/customers/{customer_id:str}/promotionData",
    opt=declare("Customer", answer=CustomerPromotions, query=_LIST_QUERY, errors=_LIST_ERRORS),
)
async def promotion_data_of_customer(request: ApiRequest, customer_id: PathId) -> Response[bytes]:
    """The same, of a customer by id."""
    return await _list(request, _read(read_lookup(ANY_SOURCE, "id", customer_id)))


@get(
    "/v2/customers/lookup/customerPromotionDetails/actionSummary",
    opt=declare(
        "Customer",
        answer=ActionSummary,
        query={
            **_LOOKUP_QUERY,
            "programId": "the promotion's program",
            "promotionId": "its id, or",
            "promotionIdentifier": "the caller's own identifier of it",
        },
        errors=(*_LOOKUP_ERRORS, PROGRAM_REQUIRED, PROMOTION_DATA_FAILED, PROMOTION_UNKNOWN),
    ),
)
async def action_summary(request: ApiRequest) -> Response[bytes]:
    """What a customer has collected from a promotion."""
    params = request.query_params
    program = _number(params.get("programId"))
    if program is None:
        raise Refused(PROGRAM_REQUIRED)
    lookup = _lookup_of(request)
    promotion_id = _number(params.get("promotionId"))
    identifier = params.get("promotionIdentifier", "").strip()

    async def query(
        tx: Tx, tenant: Tenant, moment: Moment
    ) -> tuple[Promotion, int, list[Benefit]] | Refusal:
        customer = resolve(await load_known(tx, tenant, [lookup.identifier]), lookup)
        if isinstance(customer, Refusal):
            return customer
        promotion = _find(moment.definitions, program, promotion_id, identifier)
        if isinstance(promotion, Refusal):
            return promotion
        return promotion, customer, await load_benefits(tx, tenant, customer, promotion.id)

    tenant = await reading_tenant(request)
    promotion, customer, benefits = _read(await runner_of(request).read(tenant, query))
    warnings = []
    if not benefits:
        warnings.append(V2Warning(False, NOTHING_EARNED.code, NOTHING_EARNED.message))
    return wire.answer_v2(
        ActionSummary(
            tenant.org_id,
            promotion.program_id,
            customer,
            promotion.id,
            promotion.identifier,
            _points_issued(benefits),
            [],
            [
                RewardIssued(
                    each.reference, each.name, each.type, each.times, written_instant(each.last_at)
                )
                for each in benefits
                if each.type not in ("POINTS", "BADGE")
            ],
            [
                BadgeIssued(each.reference, each.name, each.times, written_instant(each.last_at))
                for each in benefits
                if each.type == "BADGE"
            ],
            warnings,
        )
    )


async def _list(request: ApiRequest, lookup: Lookup, *, with_org: bool = False) -> Response[bytes]:
    params = request.query_params
    offset = _bounded(params.get("offset"), 0, OFFSET_NEGATIVE, 0)
    limit = _bounded(params.get("limit"), LIMIT_DEFAULT, LIMIT_TOO_SMALL, 1)
    if limit > LIMIT_MAX:
        raise Refused(LIMIT_TOO_LARGE)
    wanted: Filter = _read(
        read_filter(
            params.get("promotionStatusForCustomer"),
            params.get("promotionType"),
            params.get("sourceType"),
            params.get("promotionIdentifier"),
            params.get("programs"),
            params.get("sortOn"),
            params.get("sortBy"),
        )
    )
    disabled = params.get("fetchAllUsage", "").strip().lower() == "true"

    async def query(
        tx: Tx, tenant: Tenant, moment: Moment
    ) -> tuple[Moment, Records, list[Promotion]] | Refusal:
        customer = resolve(await load_known(tx, tenant, [lookup.identifier]), lookup)
        if isinstance(customer, Refusal):
            return customer
        records = await load_customer_promotions(
            tx, tenant, customer, moment.definitions, moment.now
        )
        found = find_promotions(moment.definitions, records, wanted, moment.now)
        return found if isinstance(found, Refusal) else (moment, records, found)

    listed: list[tuple[Tenant, Moment, Records, Promotion]] = []
    customer_id = 0
    for tenant, read in await read_each(request, query):
        moment, records, found = _read(read)
        customer_id = records.customer_id
        listed += [(tenant, moment, records, promotion) for promotion in found]
    shown: list[CustomerPromotion] = []
    for tenant, moment, records, promotion in listed[offset : offset + limit]:
        view = promotion_view(promotion, records, moment, disabled=disabled)
        if wanted.status is not None:
            view.customerPromotionTimelines = written_timelines(promotion, records, moment)
        if with_org:
            view.orgId = tenant.org_id
        shown.append(view)
    page = page_view(offset // limit, limit, len(listed))
    return wire.answer_v2(CustomerPromotions(page, customer_id, shown, []))


def _points_issued(benefits: Sequence[Benefit]) -> list[PointsIssued]:
    granted = [each for each in benefits if each.type == "POINTS"]
    if not granted:
        return []
    return [
        PointsIssued(
            "REGULAR_POINTS",
            amount(sum((each.value for each in granted), Decimal(0))),
            sum(each.times for each in granted),
            written_instant(max(each.last_at for each in granted)),
        )
    ]


def _find(
    definitions: Definitions, program: int, promotion_id: int | None, identifier: str
) -> Promotion | Refusal:
    if program not in definitions.programs:
        return Refusal(PROMOTION_DATA_FAILED)
    by_identifier: Mapping[tuple[int, str], Promotion] = definitions.promotions_by_identifier
    found = (
        definitions.promotions.get(promotion_id)
        if promotion_id is not None
        else by_identifier.get((program, identifier))
    )
    if found is None or found.program_id != program:
        return Refusal(PROMOTION_UNKNOWN)
    return found


def _lookup_of(request: ApiRequest) -> Lookup:
    query = request.query_params
    return _read(
        read_lookup(
            query.get("source"),
            query.get("identifierName"),
            query.get("identifierValue"),
            query.get("accountId"),
        )
    )


def _read(found: T | Refusal) -> T:
    if isinstance(found, Refusal):
        raise Refused(found.error, found.detail)
    return found


def _bounded(text: str | None, otherwise: int, error: Error, least: int) -> int:
    """An integer parameter, absent or blank = `otherwise`; raises `error` for a lower one or none at all."""
    if not (text or "").strip():
        return otherwise
    value = _number(text)
    if value is None or value < least:
        raise Refused(error)
    return value


def _number(text: str | None) -> int | None:
    """A whole number from 0 on of up to 18 digits."""
    return int(text) if text is not None and _NUMBER.fullmatch(text.strip()) else None


ROUTES = (promotion_data, promotion_data_of_org, promotion_data_of_customer, action_summary)
