"""The OpenAPI document, made from the routes and their declarations, and its interactive page.

Schemas come from the msgspec types that the decoders use, so the document cannot say more or less than
what is accepted. `openapi.json` in the repository is this, rendered; a test keeps it fresh.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.routes import HTTPRoute

from milepost import __version__
from milepost.api import wire
from milepost.api.authentication import OPERATOR
from milepost.api.requests import ApiRequest
from milepost.api.routes import PREFIXES, declare_public
from milepost.errors import (
    BAD_REQUEST,
    CONNECTED_ORGS_NOT_SET,
    DATA_SCOPE_ALL_UNSUPPORTED,
    FORBIDDEN,
    INVALID_INPUT,
    KEY_IN_USE,
    KEY_OF_ANOTHER_REQUEST,
    NOT_FOUND,
    PAYLOAD_TOO_LARGE,
    TOO_MANY_REQUESTS,
    UNAUTHENTICATED,
    UNAVAILABLE,
    Error,
    Refused,
)

_TRANSPORT = (UNAVAILABLE,)
_GUARDED = (UNAUTHENTICATED, FORBIDDEN)
_NDJSON = "application/x-ndjson"
_FORM = "application/x-www-form-urlencoded"
_SCHEMA_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")


def document(app: Litestar) -> dict[str, Any]:
    """The OpenAPI 3.1 document of every route of `app`."""
    operations = sorted(_operations(app), key=lambda found: (found[0], found[1]))
    types = [wire.Envelope[None], wire.V2Failure]
    for _, _, handler in operations:
        opt = handler.opt
        kinds = (opt["body"], opt["answer"], opt["failure"], *opt.get("lines", ()))
        types += [kind for kind in kinds if kind is not None]
    schemas, components = _exact(msgspec.json.schema_components(types, ref_template=_SCHEMA_REF))
    schema_of = {repr(kind): schema for kind, schema in zip(types, schemas, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for path, method, handler in operations:
        paths.setdefault(path, {})[method] = _operation(path, method, handler, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Milepost",
            "version": __version__,
            "description": "A self-hosted loyalty engine: milestones, streaks and rewards.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in sorted({_tag(path) for path in paths})],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "till": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "A till's name, and its password or the hex md5 of it.",
                },
                "oauth": {
                    "type": "oauth2",
                    "description": "An OAuth client's token, as `Authorization: Bearer`.",
                    "flows": {"clientCredentials": {"tokenUrl": "/oauth/token", "scopes": {}}},
                },
                "token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "X-CAP-API-OAUTH-TOKEN",
                    "description": "An OAuth client's token, with or without `Bearer `.",
                },
                "operator": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The admin token of the service.",
                },
            },
        },
    }


def _exact(schema: Any) -> Any:
    """The schema with decimals as what they are on the wire: JSON numbers."""
    if isinstance(schema, dict):
        if schema.get("format") == "decimal":
            return {"type": "number"}
        return {key: _exact(value) for key, value in schema.items()}
    return [_exact(value) for value in schema] if isinstance(schema, list | tuple) else schema


def _operations(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for method, (handler, _) in route.route_handler_map.items():
            if method != "OPTIONS" and handler.opt.get("documented", True):
                path = _PARAMETER.sub(lambda found: f"{{{_camel(found[1])}}}", route.path_format)
                yield path, method.lower(), handler


def _operation(
    path: str, method: str, handler: HTTPRouteHandler, schema_of: dict[str, Any]
) -> dict[str, Any]:
    opt = handler.opt
    access = opt["access"]
    summary, _, rest = (handler.fn.__doc__ or "").strip().partition("\n")
    operation: dict[str, Any] = {
        "operationId": _operation_id(path, handler),
        "tags": [_tag(path)],
        "summary": summary.rstrip("."),
        "parameters": _parameters(path, method, opt),
        "responses": _responses(path, method, opt, schema_of),
    }
    if rest.strip():
        operation["description"] = " ".join(rest.split())
    if access == OPERATOR:
        operation["security"] = [{"operator": []}]
    elif access != "public":
        resource, permission = access
        operation["security"] = [{"till": []}, {"oauth": []}, {"token": []}]
        operation["x-access"] = {"resource": resource, "permission": permission}
    if opt["body"] is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {
                _FORM if "form" in opt else "application/json": {
                    "schema": schema_of[repr(opt["body"])]
                }
            },
        }
    if "lines" in opt:
        line_sent, line_answered = opt["lines"]
        sent = operation["requestBody"]["content"]
        answered = operation["responses"][str(opt["answer_status"])]["content"]
        sent[_NDJSON] = {"schema": schema_of[repr(line_sent)]}
        answered[_NDJSON] = {"schema": schema_of[repr(line_answered)]}
    return operation


def _parameters(path: str, method: str, opt: dict[str, Any]) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, **_path_schema(opt["texts"].get(name))}
        for name in _PARAMETER.findall(path)
    ]
    parameters += [
        {"name": name, "in": "query", "description": text, "schema": {"type": "string"}}
        for name, text in opt["query"].items()
    ]
    headers: dict[str, str] = {}
    if method == "post" and opt["idempotent"]:
        headers["Idempotency-Key"] = (
            "1 to 255 characters: the same request gets the first answer again"
        )
    if _reads_scope(path, opt):
        headers["DATA-SCOPE"] = "SELF (default), OTHER or ALL"
        headers["DATA-SCOPE-ORG"] = "ids of connected organisations, for OTHER"
    parameters += [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in headers.items()
    ]
    return parameters


def _reads_scope(path: str, opt: dict[str, Any]) -> bool:
    """Whether the connected-organisation headers mean something there (contract §4, §8)."""
    return isinstance(opt["access"], tuple) and not path.startswith("/v3/") and opt["scoped"]


def _path_schema(text: str | None) -> dict[str, Any]:
    """An id, unless a description says that it is a text."""
    if text is None:
        return {"schema": {"type": "integer", "format": "int64"}}
    return {"description": text, "schema": {"type": "string"}}


def _responses(
    path: str, method: str, opt: dict[str, Any], schema_of: dict[str, Any]
) -> dict[str, Any]:
    answer = schema_of.get(repr(opt["answer"]), {})
    responses: dict[str, Any] = {
        str(opt["answer_status"]): {
            "description": "Success",
            "content": {opt.get("answer_media_type", "application/json"): {"schema": answer}},
        }
    }
    errors: list[Error] = [*opt["errors"], *_TRANSPORT]
    if opt["access"] != "public":
        errors += _GUARDED
    if _reads_scope(path, opt):
        errors += [DATA_SCOPE_ALL_UNSUPPORTED, CONNECTED_ORGS_NOT_SET]
    if method == "post" and opt["idempotent"]:
        errors += [KEY_IN_USE, KEY_OF_ANOTHER_REQUEST]
    if opt["access"] not in ("public", OPERATOR):
        errors.append(TOO_MANY_REQUESTS)
    if "form" in opt:
        errors.append(PAYLOAD_TOO_LARGE)
    elif opt["body"] is not None:
        errors += [BAD_REQUEST if wire.is_v2(path) else INVALID_INPUT, PAYLOAD_TOO_LARGE]
    failure = schema_of[repr(wire.V2Failure if wire.is_v2(path) else wire.Envelope[None])]
    refusal = failure
    if opt["failure"] is not None:
        # What is refused before the route is asked, such as a bad key, has the family's frame.
        refusal = {"anyOf": [schema_of[repr(opt["failure"])], failure]}
    by_status: dict[int, dict[int, Error]] = {}
    for error in errors:
        by_status.setdefault(error.status, {})[error.code] = error
    for status, of_status in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "\n".join(
                f"- {code}: {error.when}" for code, error in sorted(of_status.items())
            ),
            "content": {"application/json": {"schema": refusal if status == 400 else failure}},
        }
    # Refusals that are none of the catalogue's: a standard's own.
    for code, description in opt.get("refusals", {}).items():
        content = {"application/json": {"schema": refusal}}
        responses[code] = {"description": description, "content": content}
    return responses


def _operation_id(path: str, handler: HTTPRouteHandler) -> str:
    if path.startswith("/v3/webhooks"):  # the vendor's other spelling of /v3/webHooks
        return f"{handler.fn.__name__}_lower"
    prefix = _prefix(path)
    suffix = {None: "", "/v3": "", "": "_plain", "/v3.1": "_v31"}.get(prefix, "_gateway")
    return f"{handler.fn.__name__}{suffix}"


def _prefix(path: str) -> str | None:
    """Which of the four prefixes the path has; None when it isn't a target API."""
    for prefix in sorted(PREFIXES, key=len, reverse=True):
        rest = path.removeprefix(prefix)
        if path.startswith(prefix) and rest.startswith(("/targetGroups", "/users", "/milestones")):
            return prefix
    return None


def _tag(path: str) -> str:
    behind = (
        path.removeprefix("/api_gateway").removeprefix("/intouch-api-v3").removeprefix("/loyalty")
    )
    parts = [part for part in behind.split("/") if part]
    parts = [part for part in parts if not re.fullmatch(r"v[\d.]+|milepost", part)]
    return parts[0].replace("webHooks", "webhooks") if parts else "service"


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


# The page. Its assets come with the package `swagger-ui-py`, so nothing is loaded from elsewhere.

_ASSETS = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Milepost API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true, docExpansion: "list",
  filter: true, defaultModelsExpandDepth: 0, validatorUrl: null,
});
"""
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; connect-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_undocumented = {**declare_public(), "documented": False}


@get("/openapi.json", opt=_undocumented, media_type=MediaType.JSON)
async def openapi_json(request: ApiRequest) -> Response[bytes]:
    """The document itself."""
    return Response(render(request.app), media_type=MediaType.JSON, headers=_HEADERS)


@get("/docs", opt=_undocumented, media_type=MediaType.HTML)
async def docs(request: ApiRequest) -> Response[str]:
    """The interactive reference."""
    return Response(_PAGE, media_type=MediaType.HTML, headers=_HEADERS)


@get("/docs/{name:str}", opt=_undocumented)
async def docs_asset(request: ApiRequest, name: FromPath[str]) -> Response[bytes]:
    """A script or style sheet of the interactive reference."""
    if name == "start.js":
        return Response(_START.encode(), media_type="text/javascript", headers=_HEADERS)
    if name not in _ASSETS:
        raise Refused(NOT_FOUND)
    content = (_assets_dir() / name).read_bytes()
    return Response(content, media_type=_ASSETS[name], headers=_HEADERS)


def render(app: Litestar) -> bytes:
    """The document as it is served and committed."""
    return msgspec.json.format(msgspec.json.encode(document(app)), indent=1) + b"\n"


def _assets_dir() -> Path:
    # Found without importing the package, which brings its own server for other frameworks.
    spec = importlib.util.find_spec("swagger_ui")
    folders: Sequence[str] = spec.submodule_search_locations or [] if spec is not None else []
    return Path(folders[0]) / "static"


ROUTES = (openapi_json, docs, docs_asset)
