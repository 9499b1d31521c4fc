"""Promotions of a world of rows, defined by the store itself."""

from __future__ import annotations

from datetime import UTC, datetime

from milepost.database import Tenant, Tx
from milepost.rules.definitions import Actor, Definitions, Program, Promotion
from milepost.runner import Moment, Runner
from milepost.store.definitions import claim_definitions
from milepost.store.pipeline import act_for
from milepost.store.promotions import PromotionChange, count_usage, save_program, save_promotion
from tests.rules.promotion_samples import PROGRAM

AUTHOR = Actor(1, datetime(2026, 5, 1, tzinfo=UTC))


async def definitions_of(runner: Runner, tenant: Tenant) -> Definitions:
    """The organisation's definitions as they are now."""

    async def query(tx: Tx, tenant: Tenant, moment: Moment) -> Definitions:
        return moment.definitions

    return await runner.read(tenant, query)


async def define(runner: Runner, tenant: Tenant, *promotions: Promotion) -> Definitions:
    """Make promotions, or make them what they are now; what is limited for all is counted."""
    before = await definitions_of(runner, tenant)
    async with runner.database.transaction() as tx:
        await act_for(tx, tenant, writes=True)
        assert await claim_definitions(tx, tenant, before.revision)
        if PROGRAM not in before.programs:
            await save_program(tx, tenant, Program(PROGRAM, "Club", AUTHOR, AUTHOR))
        for promotion in promotions:
            known = before.promotions.get(promotion.id)
            what = "CREATED" if known is None else "UPDATED"
            change = PromotionChange(
                # Several at once need a revision each in their history.
                (before.revision + 1) * 1_000 + promotion.id,
                AUTHOR.at,
                what,
                promotion,
                "",
                1,
            )
            await save_promotion(tx, tenant, change)
            if promotion.is_counted and not (known is not None and known.is_counted):
                await count_usage(tx, tenant, [promotion.id])
    return await definitions_of(runner, tenant)
