"""Tokens of OAuth clients: the vendor's call, and the standard ones (RFC 6749 §4.4, RFC 7009).

The standard ones take forms and answer in the form of their standards, so that libraries understand
them; only what any route may answer (413, 415, 503) is in the envelope of the v3 family.
"""

from __future__ import annotations

import urllib.parse
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response, post

from milepost.actions.tokens import Token, revoke
from milepost.api import wire
from milepost.api.authentication import Authenticator, decode_basic
from milepost.api.requests import ApiRequest
from milepost.api.routes import declare_public, runner_of
from milepost.errors import PAYLOAD_TOO_LARGE, UNAUTHENTICATED, Refusal, Refused
from milepost.store.credentials import Credential

FORM_BYTES_MAX = 16_384
FIELDS_MAX = 32
# A token must not be found in anybody's cache (RFC 6749 §5.1).
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}

Part = Annotated[str, msgspec.Meta(min_length=1, max_length=1_000)]


class KeyBody(msgspec.Struct):
    """An OAuth client's key and secret."""

    key: Part
    secret: Part


class TokenData(msgspec.Struct):
    """A token, and how long it is valid."""

    accessToken: str
    ttlSeconds: int


class TokenView(msgspec.Struct):
    """A new token."""

    data: TokenData
    errors: None = None


class GrantForm(msgspec.Struct):
    """A request for a token. The client's id and secret come here or as Basic credentials."""

    grant_type: Literal["client_credentials"]
    client_id: str = ""
    client_secret: str = ""
    scope: str = ""
    """Ignored: what a client may do is its access."""


class GrantView(msgspec.Struct):
    """A new token, as RFC 6749 has it; `expires_in` is in seconds."""

    access_token: str
    token_type: str
    expires_in: int


class RevocationForm(msgspec.Struct):
    """A token to revoke. The client's id and secret come here or as Basic credentials."""

    token: str
    token_type_hint: str = ""
    client_id: str = ""
    client_secret: str = ""


class RevocationView(msgspec.Struct):
    """Nothing: the token is not valid, or never was."""


class OAuthFailure(msgspec.Struct):
    """A refusal as RFC 6749 has it."""

    error: str
    error_description: str


class _Refused(Exception):
    """A refusal of the standard's own, on its way out."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(error)
        headers = dict(_NO_STORE)
        if status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="milepost", charset="UTF-8"'
        body = wire.encode(OAuthFailure(error, description))
        self.answer = wire.Answer(body, status_code=status, headers=headers)


_key_body = msgspec.json.Decoder(KeyBody)
_BAD_REQUEST = "`invalid_request`: the form is malformed or lacks a field"
_BAD_CLIENT = "`invalid_client`: no client has this id and secret"


def _declare_form(form: Any, answer: Any, bad_request: str) -> dict[str, Any]:
    """The `opt` of a route that takes a form and refuses as RFC 6749 says."""
    return {
        **declare_public(body=form, answer=answer, failure=OAuthFailure),
        "form": True,
        "refusals": {"400": bad_request, "401": _BAD_CLIENT},
    }


@post(
    "/v3/oauth/token/generate",
    status_code=200,
    opt=declare_public(body=KeyBody, answer=TokenView, errors=(UNAUTHENTICATED,)),
)
async def generate_token(request: ApiRequest) -> Response[bytes]:
    """Get a token for an OAuth client's key and secret. Each call makes a new one."""
    body = await wire.read_body(request, _key_body)
    try:
        client = await _authenticator(request).client(body.key, body.secret)
    except Refused as refused:
        if refused.refusal.error is not UNAUTHENTICATED:
            raise
        failed = Refusal(UNAUTHENTICATED, "Failed to generate OAuth token.")
        return wire.refuse(failed, request.scope["path"])
    token = await _issue(request, client)
    view = TokenView(TokenData(token.text, token.ttl_seconds))
    return wire.Answer(wire.encode(view), status_code=200, headers=_NO_STORE)


@post(
    "/oauth/token",
    status_code=200,
    opt=_declare_form(
        GrantForm,
        GrantView,
        f"- {_BAD_REQUEST}\n- `unsupported_grant_type`: grant_type is not client_credentials",
    ),
)
async def grant_token(request: ApiRequest) -> Response[bytes]:
    """Get a token by the client credentials grant of RFC 6749, for libraries that speak it."""
    try:
        form = await _read_form(request)
        if not form.get("grant_type"):
            raise _Refused("invalid_request", "grant_type is required.")
        client = await _client(request, form)
        if form["grant_type"] != "client_credentials":
            raise _Refused("unsupported_grant_type", "Only client_credentials is supported.")
    except _Refused as refused:
        return refused.answer
    token = await _issue(request, client)
    view = GrantView(token.text, "Bearer", token.ttl_seconds)
    return wire.Answer(wire.encode(view), status_code=200, headers=_NO_STORE)


@post(
    "/oauth/revoke",
    status_code=200,
    opt=_declare_form(RevocationForm, RevocationView, f"- {_BAD_REQUEST}"),
)
async def revoke_token(request: ApiRequest) -> Response[bytes]:
    """Revoke a token of the client's own (RFC 7009); 200 also for one that is not valid, or another's."""
    try:
        form = await _read_form(request)
        if not form.get("token"):
            raise _Refused("invalid_request", "token is required.")
        client = await _client(request, form)
    except _Refused as refused:
        return refused.answer
    services = request.app.state.services
    claims = await services.keyring.verify(form["token"])
    if claims is not None and (claims.org_id, claims.client_id) == (client.org_id, client.name):
        await revoke(runner_of(request), claims)
        services.authenticator.forget_token(form["token"].encode())
    return wire.Answer(wire.encode(RevocationView()), status_code=200, headers=_NO_STORE)


async def _issue(request: ApiRequest, client: Credential) -> Token:
    token: Token = await request.app.state.services.keyring.issue(client)
    return token


def _authenticator(request: ApiRequest) -> Authenticator:
    authenticator: Authenticator = request.app.state.services.authenticator
    return authenticator


async def _read_form(request: ApiRequest) -> dict[str, str]:
    """The fields of a form; one without a value counts as absent. Raises 413, 415 or `_Refused`."""
    wire.refuse_encoding(request)
    body = await request.body()
    if len(body) > FORM_BYTES_MAX:
        raise Refused(PAYLOAD_TOO_LARGE)
    try:
        pairs = urllib.parse.parse_qsl(
            body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"
        )
    except ValueError:
        raise _Refused("invalid_request", "The body is not a form.") from None
    form = {name: value for name, value in pairs if value}
    if len({name for name, _ in pairs}) < len(pairs):
        raise _Refused("invalid_request", "A field is sent more than once.")
    return form


async def _client(request: ApiRequest, form: dict[str, str]) -> Credential:
    """The client that a form's request comes from, by Basic credentials or by fields of the form."""
    header = b""
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            header = value
            break
    key, secret = form.get("client_id", ""), form.get("client_secret", "")
    try:
        if header:
            named, (key, secret) = (key, secret), _unquoted(decode_basic(header))
            if named[1] or named[0] not in ("", key):
                raise _Refused("invalid_request", "The client says twice who it is.")
        if not key or not secret or "\x00" in key + secret:
            raise Refused(UNAUTHENTICATED)
        return await _authenticator(request).client(key, secret)
    except Refused as refused:
        if refused.refusal.error is not UNAUTHENTICATED:
            raise
        raise _Refused("invalid_client", "No client has this id and secret.", 401) from None


def _unquoted(pair: tuple[str, str]) -> tuple[str, str]:
    """Both are encoded as in a form before they become Basic credentials (RFC 6749 §2.3.1)."""
    name, secret = pair
    return urllib.parse.unquote_plus(name), urllib.parse.unquote_plus(secret)


ROUTES = (generate_token, grant_token, revoke_token)
