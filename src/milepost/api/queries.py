"""Query parameters of the v3 family, and the moment that a read answers for."""

from __future__ import annotations

from collections.abc import Collection

from milepost.api import wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import read_each, reading_tenant, runner_of
from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, Refused
from milepost.runner import Moment

_FLAGS = {"true": True, "false": False, "": False}


def flag(request: ApiRequest, name: str) -> bool:
    """A boolean parameter, in any case, absent = false; raises 300004 for any other text."""
    text = request.query_params.get(name, "").strip().lower()
    if text not in _FLAGS:
        raise Refused(INVALID_INPUT, f"{name} must be true or false.")
    return _FLAGS[text]


def words(request: ApiRequest, name: str, choices: Collection[str]) -> frozenset[str]:
    """Some of `choices` (upper case), in any case, divided by commas or sent one by one.

    Blank ones don't matter; raises 300004 for any that is none of `choices`.
    """
    texts = request.query_params.getall(name, [])
    found = {word.strip().upper() for text in texts for word in text.split(",")} - {""}
    if not found.issubset(choices):
        raise Refused(INVALID_INPUT, f"{name} must be one or more of {', '.join(choices)}.")
    return frozenset(found)


def integer(request: ApiRequest, name: str, otherwise: int, low: int, high: int) -> int:
    """An integer parameter from `low` to `high`, absent or blank = `otherwise`; else raises 300004."""
    text = request.query_params.get(name, "").strip()
    value = wire.integer(text, name) if text else otherwise
    if not low <= value <= high:
        raise Refused(INVALID_INPUT, f"{name} must be {low} to {high}.")
    return value


def optional_integer(request: ApiRequest, name: str) -> int | None:
    """An integer query parameter, absent or blank = None; raises 300004 for all that is not an int64."""
    text = request.query_params.get(name, "").strip()
    return wire.integer(text, name) if text else None


async def read_moment(request: ApiRequest) -> Moment:
    """The newest definitions of the one organisation that is read, and the instant by its clock."""
    return await runner_of(request).read(await reading_tenant(request), _moment)


async def read_moments(request: ApiRequest) -> list[Moment]:
    """The same of each organisation that is read, the parent first."""
    return [moment for _, moment in await read_each(request, _moment)]


async def _moment(tx: Tx, tenant: Tenant, moment: Moment) -> Moment:
    return moment
