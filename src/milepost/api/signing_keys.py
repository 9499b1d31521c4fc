"""The operator's routes for the keys that an organisation's tokens are signed with."""

from __future__ import annotations

from datetime import datetime

import msgspec
from litestar import Response, get, post

from milepost.actions.tokens import Keyring
from milepost.api import wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, declare_operator
from milepost.errors import INVALID_INPUT, Refusal
from milepost.store.tokens import SigningKey

KEYS_PATH = "/milepost/v1/orgs/{org_id:str}/signing-keys"


class RotationBody(msgspec.Struct):
    """How to change the key; an empty body is one without fields."""

    endOthers: bool | None = None
    """Whether the keys before end at once, with all their tokens: one has leaked. Default false."""


class SigningKeyView(msgspec.Struct):
    """A key. It signs while `retiredAt` is null; for 61 minutes after it still verifies."""

    kid: str
    createdAt: datetime
    retiredAt: datetime | None


_rotation_body = msgspec.json.Decoder(RotationBody)


@get(
    KEYS_PATH,
    opt=declare_operator(answer=wire.Envelope[list[SigningKeyView]], errors=(INVALID_INPUT,)),
)
async def list_signing_keys(request: ApiRequest, org_id: PathId) -> Response[bytes]:
    """List an organisation's keys that still verify, oldest first; none before its first token."""
    found = await _keyring(request).list_keys(wire.integer(org_id, "orgId"))
    if isinstance(found, Refusal):
        return wire.refuse(found, request.scope["path"])
    return wire.answer([_view(key) for key in found])


@post(
    KEYS_PATH,
    opt=declare_operator(
        body=RotationBody,
        answer=wire.Envelope[list[SigningKeyView]],
        status=201,
        errors=(INVALID_INPUT,),
    ),
)
async def rotate_signing_key(request: ApiRequest, org_id: PathId) -> Response[bytes]:
    """Sign with a new key from now on; answers the keys as they are listed.

    Tokens that are in use stay valid until they expire, unless `endOthers` says otherwise.
    """
    number = wire.integer(org_id, "orgId")
    sent = bool((await request.body()).strip())
    body = await wire.read_body(request, _rotation_body) if sent else RotationBody()
    found = await _keyring(request).rotate(number, end_others=body.endOthers is True)
    if isinstance(found, Refusal):
        return wire.refuse(found, request.scope["path"])
    return wire.answer([_view(key) for key in found], status=201)


def _keyring(request: ApiRequest) -> Keyring:
    keyring: Keyring = request.app.state.services.keyring
    return keyring


def _view(key: SigningKey) -> SigningKeyView:
    return SigningKeyView(key.kid, key.created_at, key.retired_at)


ROUTES = (list_signing_keys, rotate_signing_key)
