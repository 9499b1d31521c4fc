"""Rate limits: how many requests a credential may send to a route in a minute of the wall clock.

The count is in the database, so that it holds for all processes together. Requests that come while a
count is being written are counted together with the next, and a credential that has used its minute
up is refused from memory, so a flood costs the database nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from litestar import Litestar, Request

from milepost import clock
from milepost.api.authentication import Caller
from milepost.errors import TOO_MANY_REQUESTS, Refused
from milepost.runner import Runner
from milepost.settings import SettingError
from milepost.store.rate_usage import Use, count_uses

PER_MINUTE_MAX = 10_000_000
USED_UP_MAX = 10_000
"""Credentials and limits that are known to be used up; the one known longest is forgotten."""

REGIONS = {
    "asia-1": (1_200, 700, 600, 600),
    "asia-2": (100, 1_200, 100, 1_000),
    "emea": (100, 300, 100, 50),
    "us": (None, None, None, None),
}
"""The vendor's table: requests per minute to each of `REGION_ROUTES`, in each of its regions."""
REGION_ROUTES = (
    "POST /v2/transactions",
    "POST /v2/transactions/bulk",
    "POST /v2/customers",
    "PUT /v2/customers/{id}",  # no route of ours yet: it is left out until there is one
)
DEFAULT_REGION = "asia-1"

_ENTRY = re.compile(r"([A-Z]+) +(/[^\s=]*) *= *([0-9]{1,8})", re.ASCII)
_PART = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True, slots=True)
class Limit:
    """`per_minute` requests of one credential to one route, by whichever of its paths they come."""

    name: str
    per_minute: int


Routes = Mapping[tuple[str, str], Iterable[str]]
"""By method and path as it is declared: all paths of that route."""


def routes_of(app: Litestar) -> Routes:
    """The routes of an application."""
    return {
        (str(method), route.path_format): {
            other.path_format
            for other in app.routes
            if method in getattr(other, "route_handler_map", {})
            and other.route_handler_map[method][0].fn is handler.fn  # type: ignore[union-attr]
        }
        for route in app.routes
        for method, (handler, _) in getattr(route, "route_handler_map", {}).items()
    }


def read_limits(setting: str, routes: Routes) -> dict[tuple[str, str], Limit]:
    """The limits that the setting `rate_limits` names, by method and path as declared.

    It is `default`, `none`, a region of the vendor's, or a list such as `POST /v2/customers=100,
    POST /milepost/v1/activities=6000`. Raises `SettingError` for anything else, and for a path of the
    list that no route has.
    """
    text = setting.strip()
    region = REGIONS.get(DEFAULT_REGION if text == "default" else text)
    if region is not None:
        wanted = [
            (route, limit)
            for route, limit in zip(REGION_ROUTES, region, strict=True)
            if limit is not None and _paths(route, routes)
        ]
    elif text in ("", "none"):
        wanted = []
    else:
        wanted = [_read_entry(entry) for entry in text.split(",") if entry.strip()]
    limits: dict[tuple[str, str], Limit] = {}
    for route, per_minute in wanted:
        paths = _paths(route, routes)
        if not paths:
            raise SettingError(f"rate_limits names {route!r}, which no route is")
        for key in paths:
            if key in limits:
                raise SettingError(f"rate_limits names the route of {route!r} twice")
            limits[key] = Limit(route, per_minute)
    return limits


def _read_entry(entry: str) -> tuple[str, int]:
    found = _ENTRY.fullmatch(entry.strip())
    if found is None or not 1 <= int(found[3]) <= PER_MINUTE_MAX:
        known = ", ".join(("default", "none", *REGIONS))
        raise SettingError(
            f"rate_limits has {entry.strip()!r}: it takes {known}, or entries like "
            f"POST /v2/customers=100, from 1 to {PER_MINUTE_MAX:,} a minute"
        )
    return f"{found[1]} {found[2]}", int(found[3])


def _paths(route: str, routes: Routes) -> list[tuple[str, str]]:
    """Method and path of everything that is the same route; names of path parameters don't matter."""
    method, _, path = route.partition(" ")
    shape = _PART.sub("{}", path)
    for (known_method, known_path), paths in routes.items():
        if known_method == method and _PART.sub("{}", known_path) == shape:
            return [(method, each) for each in paths]
    return []


class RateLimits:
    """Counts and refuses. One per process."""

    def __init__(self, runner: Runner, limits: Mapping[tuple[str, str], Limit]) -> None:
        self._runner = runner
        self._limits = limits
        self._used_up: OrderedDict[Use, datetime] = OrderedDict()
        self._waiting: dict[Use, list[asyncio.Future[int]]] = {}
        self._counting: asyncio.Task[None] | None = None

    async def check(self, request: Request[Any, Any, Any], caller: Caller) -> None:
        """Count a request of `caller`; raises 429 when its minute is used up.

        Raises `DatabaseUnavailable` when it cannot be counted: it could not be answered either.
        """
        if not self._limits:
            return
        limit = self._limits.get((request.scope["method"], request.scope["path_template"]))
        if limit is None:
            return
        use = (caller.tenant.org_id, caller.credential_id, limit.name)
        now = clock.now()
        minute = now.replace(second=0, microsecond=0)
        # What is over the limit is not counted, unless nobody here knows yet that it is.
        if self._used_up.get(use) != minute:
            number = await self._count(use)
            if number <= limit.per_minute:
                return
            self._remember(use, minute)
        raise Refused(
            TOO_MANY_REQUESTS,
            f"{limit.name} takes {limit.per_minute} a minute.",
            retry_after_seconds=60 - now.second,
        )

    def _remember(self, use: Use, minute: datetime) -> None:
        self._used_up[use] = minute
        self._used_up.move_to_end(use)
        while len(self._used_up) > USED_UP_MAX:
            self._used_up.popitem(last=False)

    async def _count(self, use: Use) -> int:
        """Which request of its minute this is, from 1."""
        counted: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(use, []).append(counted)
        if self._counting is None:
            self._counting = asyncio.create_task(self._count_waiting())
        return await counted

    async def _count_waiting(self) -> None:
        """Count what waits, and what comes meanwhile, until nothing waits any more."""
        try:
            while self._waiting:
                taken, self._waiting = self._waiting, {}
                uses = {use: len(futures) for use, futures in taken.items()}
                try:
                    await self._count_together(taken, uses)
                except Exception as error:  # noqa: BLE001 - whoever waits for it is told
                    for future in (each for futures in taken.values() for each in futures):
                        if not future.done():
                            future.set_exception(error)
        finally:
            self._counting = None

    async def _count_together(
        self, taken: Mapping[Use, list[asyncio.Future[int]]], uses: Mapping[Use, int]
    ) -> None:
        minute = clock.now().replace(second=0, microsecond=0)
        used = await self._runner.operate(lambda tx: count_uses(tx, minute, uses))
        for use, futures in taken.items():
            for number, future in enumerate(futures, start=used[use] - len(futures) + 1):
                if not future.done():  # its request may be gone
                    future.set_result(number)
