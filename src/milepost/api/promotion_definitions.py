"""Programs and promotions, the plain way: `/milepost/v1/programs` and `…/promotions` (contract §7)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from litestar import Response, get, post, put

from milepost.actions.promotions import (
    PROMOTION_EDITS,
    Command,
    Defined,
    DefineProgram,
    DefinePromotion,
    EditPromotion,
)
from milepost.api import queries, wire
from milepost.api.promotion_bodies import PromotionBody, promotion_draft
from milepost.api.promotion_views import PromotionView, promotion_view
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, acting_tenant, caller_of, declare, write
from milepost.errors import (
    INVALID_INPUT,
    INVALID_PROGRAM_ID,
    PROMOTION_IDENTIFIER_TAKEN,
    PROMOTION_NAME_TAKEN,
    PROMOTION_UNKNOWN,
    Refusal,
    Refused,
)
from milepost.logs import request_id
from milepost.rules.definitions import Program, Promotion

DEFINE_ERRORS = (
    INVALID_INPUT,
    INVALID_PROGRAM_ID,
    PROMOTION_NAME_TAKEN,
    PROMOTION_IDENTIFIER_TAKEN,
)
"""What a new or changed promotion is refused with, whatever the form it is sent in."""


class ProgramBody(msgspec.Struct):
    """A program; `programId` keeps the id that it has elsewhere."""

    name: wire.Text
    programId: wire.Id | None = None


class ProgramView(msgspec.Struct):
    """A program."""

    programId: int
    name: str


_program_body = msgspec.json.Decoder(ProgramBody)
_promotion_body = msgspec.json.Decoder(PromotionBody)


@post(
    "/milepost/v1/programs",
    opt=declare(
        "Customer",
        "WRITE",
        body=ProgramBody,
        answer=wire.Envelope[ProgramView],
        status=201,
        errors=(INVALID_INPUT,),
    ),
)
async def create_program(request: ApiRequest) -> Response[bytes]:
    """Make a program, which promotions belong to."""
    body = await wire.read_body(request, _program_body)
    credential = caller_of(request).credential_id

    def render(made: Defined) -> Response[bytes]:
        assert isinstance(made.made, Program)
        return wire.answer(_program_view(made.made), status=201)

    command = DefineProgram(credential, body.name, body.programId, request_id.get())
    return await edit(request, command, render)


@get(
    "/milepost/v1/programs",
    opt=declare("Customer", answer=wire.Envelope[list[ProgramView]]),
)
async def list_programs(request: ApiRequest) -> Response[bytes]:
    """List the programs."""
    definitions = (await queries.read_moment(request)).definitions
    return wire.answer([_program_view(program) for program in definitions.programs.values()])


@post(
    "/milepost/v1/promotions",
    opt=declare(
        "Customer",
        "WRITE",
        body=PromotionBody,
        answer=wire.Envelope[PromotionView],
        status=201,
        errors=DEFINE_ERRORS,
    ),
)
async def create_promotion(request: ApiRequest) -> Response[bytes]:
    """Make a promotion."""
    body = await wire.read_body(request, _promotion_body)
    credential = caller_of(request).credential_id
    command = DefinePromotion(credential, promotion_draft(body), "ACTIVE", request_id.get())
    return await edit(request, command, lambda made: wire.answer(_view_of(made), status=201))


@put(
    "/milepost/v1/promotions/{promotion_id:str}",
    opt=declare(
        "Customer",
        "WRITE",
        body=PromotionBody,
        answer=wire.Envelope[PromotionView],
        errors=(*DEFINE_ERRORS, PROMOTION_UNKNOWN),
    ),
)
async def change_promotion(request: ApiRequest, promotion_id: PathId) -> Response[bytes]:
    """Change a promotion: what is sent, at once.

    Id, program and type stay, and so does the start once it has come.
    """
    number = wire.integer(promotion_id, "promotionId")
    body = await wire.read_body(request, _promotion_body)
    credential = caller_of(request).credential_id
    command = EditPromotion(credential, number, promotion_draft(body), request_id.get())
    return await edit(request, command, lambda made: wire.answer(_view_of(made)))


@get(
    "/milepost/v1/promotions",
    opt=declare(
        "Customer",
        answer=wire.Envelope[list[PromotionView]],
        errors=(INVALID_INPUT,),
        query={"programId": "only those of this program"},
    ),
)
async def list_promotions(request: ApiRequest) -> Response[bytes]:
    """List the promotions, newest id first."""
    program_id = queries.optional_integer(request, "programId")
    moment = await queries.read_moment(request)
    return wire.answer(
        [
            promotion_view(promotion, moment.now)
            for _, promotion in sorted(moment.definitions.promotions.items(), reverse=True)
            if program_id in (None, promotion.program_id)
        ]
    )


@get(
    "/milepost/v1/promotions/{promotion_id:str}",
    opt=declare(
        "Customer",
        answer=wire.Envelope[PromotionView],
        errors=(INVALID_INPUT, PROMOTION_UNKNOWN),
    ),
)
async def read_promotion(request: ApiRequest, promotion_id: PathId) -> Response[bytes]:
    """One promotion."""
    number = wire.integer(promotion_id, "promotionId")
    moment = await queries.read_moment(request)
    promotion = moment.definitions.promotions.get(number)
    if promotion is None:
        raise Refused(PROMOTION_UNKNOWN)
    return wire.answer(promotion_view(promotion, moment.now))


async def edit(
    request: ApiRequest, command: Command, render: Callable[[Defined], Response[bytes]]
) -> Response[bytes]:
    """Answer what `render` makes of an edit; raises what it was refused for."""

    def render_outcome(outcome: Defined | Refusal) -> Response[bytes]:
        if isinstance(outcome, Refusal):
            raise Refused(outcome.error, outcome.detail)
        return render(outcome)

    tenant = await acting_tenant(request)
    return await write(request, PROMOTION_EDITS, tenant, command, render_outcome)


def _view_of(made: Defined) -> PromotionView:
    assert isinstance(made.made, Promotion)
    return promotion_view(made.made, made.now)


def _program_view(program: Program) -> ProgramView:
    return ProgramView(program.id, program.name)


ROUTES = (
    create_program,
    list_programs,
    create_promotion,
    change_promotion,
    list_promotions,
    read_promotion,
)
