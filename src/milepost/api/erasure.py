"""Erase a customer: `POST /milepost/v1/customers/{customerId}/erasure` (docs/privacy.md)."""

from __future__ import annotations

from typing import Literal

from litestar import Response, post

from milepost.actions.erasure import erase
from milepost.api import wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, acting_tenant, caller_of, declare, runner_of
from milepost.api.target_group_views import View
from milepost.errors import INVALID_INPUT, INVALID_USER, Refusal
from milepost.rules.calendar import written_instant


class ErasureView(View):
    """An erased customer. RUNNING: nobody finds the person any more, but not all that the books hold of
    them is gone yet; that is done without a further call.
    """

    customer_id: int
    erased_at: str
    status: Literal["DONE", "RUNNING"]


@post(
    "/milepost/v1/customers/{customer_id:str}/erasure",
    status_code=200,
    opt=declare(
        "Customer",
        "WRITE",
        answer=wire.Envelope[ErasureView],
        errors=(INVALID_INPUT, INVALID_USER),
    ),
)
async def erase_customer(request: ApiRequest, customer_id: PathId) -> Response[bytes]:
    """Erase a customer in the whole connected hierarchy, for good.

    The person goes: profiles, identifiers, and whatever activities may say of them. Balances, counts and
    rewards stay, under an id that nobody gets again. It can be repeated.
    """
    customer = wire.integer(customer_id, "customerId")
    tenant, credential = await acting_tenant(request), caller_of(request).credential_id
    erased = await erase(runner_of(request), tenant, customer, credential)
    if isinstance(erased, Refusal):
        return wire.refuse(erased, request.scope["path"])
    return wire.answer(
        ErasureView(
            customer_id=erased.customer_id,
            erased_at=written_instant(erased.erased_at),
            status=erased.status,
        )
    )


ROUTES = (erase_customer,)
