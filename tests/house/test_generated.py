"""What is generated is committed, and fresh; what routes must declare, they declare."""

from __future__ import annotations

import json
from pathlib import Path

from litestar.routes import HTTPRoute

from milepost.api.app import create_litestar
from milepost.api.authentication import OPERATOR
from milepost.api.openapi import render
from milepost.errors_page import render_page
from milepost.rules.access import RESOURCES
from milepost.settings import Settings

WITHOUT_BODY = {"/milepost/v1/customers/{customerId}/erasure"}
"""Calls that write and whose path says all."""


def test_the_openapi_document_is_fresh() -> None:
    assert Path("openapi.json").read_bytes() == render(create_litestar(Settings())), "make openapi"


def test_the_page_of_errors_is_fresh() -> None:
    assert Path("docs/errors.md").read_text("utf-8") == render_page(), "make errors"


def test_every_route_declares_who_may_call_it() -> None:
    for route in create_litestar(Settings()).routes:
        assert isinstance(route, HTTPRoute)
        for method, (handler, _) in route.route_handler_map.items():
            if method == "OPTIONS":
                continue
            access = handler.opt["access"]
            assert access in ("public", OPERATOR) or access[0] in RESOURCES, (
                f"{method} {route.path}"
            )


def test_every_operation_has_its_own_id_and_names_its_answer() -> None:
    document = json.loads(render(create_litestar(Settings())))
    operations = [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    ids = [operation["operationId"] for _, _, operation in operations]
    assert len(ids) == len(set(ids))
    for path, method, operation in operations:
        (answer,) = [code for code in operation["responses"] if code.startswith("2")]
        content = operation["responses"][answer]["content"]
        assert all(each["schema"] for each in content.values()), f"{method} {path} names no answer"
        says_all = method in ("get", "delete") or path in WITHOUT_BODY
        assert says_all or "requestBody" in operation, path
