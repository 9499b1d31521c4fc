"""Every route asks for the permission that it declares, and for no other (contract §2, §3)."""

from collections.abc import Iterator
from typing import Any

import httpx
from litestar.routes import HTTPRoute

from milepost.api.app import create_litestar
from milepost.api.authentication import OPERATOR
from milepost.api.routes import PREFIXES
from milepost.rules.access import RESOURCES
from milepost.settings import Settings
from tests.harness import Org, Service

DENIED = "Not authorized. Access is denied!"


def client(service: Service, org: Org, access: dict[str, str]) -> httpx.Client:
    """A client of a new till with just this access."""
    body = {"orgId": org.id, "type": "TILL", "access": access}
    response = service.operator.post("/milepost/v1/credentials", json=body)
    till = response.json()["data"]["till"]
    return service.connect(auth=(till["username"], till["password"]))


def routes() -> Iterator[tuple[str, str, Any]]:
    for route in create_litestar(Settings()).routes:
        assert isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items():
            if method != "OPTIONS":
                yield method, route.path_format, handler.opt["access"]


def filled(path: str) -> str:
    """The path with 1 for each of its ids."""
    return "/".join("1" if "{" in part else part for part in path.split("/"))


def test_every_route_asks_for_just_the_permission_that_it_declares(
    service: Service, org: Org
) -> None:
    found = [
        (method, filled(path), access)
        for method, path, access in routes()
        if access not in ("public", OPERATOR)
    ]
    assert len(found) > 100
    clients: dict[tuple[str, str], httpx.Client] = {}
    for resource in {access[0] for _, _, access in found}:
        for permission in ("NONE", "READ", "WRITE"):
            access = {**dict.fromkeys(RESOURCES, "WRITE"), resource: permission}
            if permission != "NONE":
                access = {resource: permission}
            clients[resource, permission] = client(service, org, access)
    for method, path, (resource, permission) in found:
        for granted in ("NONE", "READ", "WRITE"):
            answer = clients[resource, granted].request(method, path, content=b"")
            allowed = granted in ("WRITE", permission)
            assert (answer.status_code == 403) is not allowed, (method, path, granted)
            assert answer.status_code < 500, (method, path, granted)
            if not allowed:
                assert answer.json() == denied(path)


def denied(path: str) -> dict[str, Any]:
    if path.startswith(("/v2/", "/v2.1/")):
        return {"errors": [{"status": False, "code": 4000, "message": DENIED}], "warnings": []}
    return {"data": None, "errors": [{"code": 4000, "message": DENIED}], "warnings": None}


def test_every_route_that_may_change_something_needs_permission_to_write() -> None:
    reading = {
        path
        for method, path, access in routes()
        if access not in ("public", OPERATOR) and access[1] == "READ" and method != "GET"
    }
    # It asks by POST whether a name could be used.
    assert reading == {f"{prefix}/targetGroups/isValidName" for prefix in PREFIXES}
