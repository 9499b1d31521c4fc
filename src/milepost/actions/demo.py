"""The demo organisation: what the sample requests of the vendor's documentation name (contract §1).

Made step by step, each of which may be there already, so a start that was killed is completed by the
next one, and so is a demo that an earlier release made without promotions. After that nothing is ever
added again.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

from milepost.actions.credentials import new_oauth_client, new_till
from milepost.actions.customers import REGISTRATION
from milepost.actions.definitions import DEFINITION_EDITS, DefineGroup
from milepost.actions.enrolment import ENROLMENT
from milepost.actions.orgs import CreatedOrg, OrgDraft, create_org
from milepost.actions.promotions import PROMOTION_EDITS, DefineProgram, DefinePromotion
from milepost.coalescer import Coalescer
from milepost.database import Tenant, Tx
from milepost.errors import CUSTOMER_EXISTS, Refusal, Refused
from milepost.rules.calendar import local_midnight
from milepost.rules.customers import ProfileDraft, read_registration
from milepost.rules.definitions import (
    DIRECT,
    ENROL_AND_ISSUE,
    UNLIMITED,
    Criteria,
    RewardDefinition,
)
from milepost.rules.drafts import GroupDraft, TargetDraft, ValueDraft
from milepost.rules.enrolment import Enrol
from milepost.rules.promotion_edits import LimitsDraft, PromotionDraft
from milepost.runner import Moment, Runner
from milepost.settings import Settings
from milepost.store.credentials import load_credential
from milepost.store.members import ask_kept_versions

TILL: Final = "demo.till"
PASSWORD: Final = "demo-password"  # noqa: S105 - public on purpose, and bound to loopback
CHILD_TILL: Final = "demo.child"
CHILD_OAUTH_KEY: Final = "demo-child-key"
OAUTH_KEY: Final = "demo-key"
OAUTH_SECRET: Final = "demo-secret"  # noqa: S105

GROUP_ID = TARGET_ID = 29463
ENROLLED_CUSTOMER = 423789336
CUSTOMERS: tuple[tuple[int | None, str | None], ...] = (
    (345651201, None),
    (555567088, None),
    (423926198, None),
    (423926199, None),
    (423926200, None),
    (423926201, None),
    (None, "11223569865"),
    (None, "919986000586"),
    (ENROLLED_CUSTOMER, None),
)
"""Id and mobile: one of them. The enrolled one is last, for it marks the end."""
PROGRAMS = ((469, "Demo programme"), (2714, "Second demo programme"))
PROMOTIONS = (
    (57099, 469, "Review and save", ENROL_AND_ISSUE),
    (69218, 469, "Bring a friend", ENROL_AND_ISSUE),
    (202188, 2714, "Summer club", ENROL_AND_ISSUE),
    (202090, 2714, "A treat for you", DIRECT),
)
"""Id, program, name and type."""
PROMOTION_DAYS = 365
_UTC = ZoneInfo("UTC")


async def make_demo(runner: Runner, settings: Settings) -> None:
    """Make what is missing of the demo, unless it was complete once. Raises `Refused`."""
    tenant = await _org(runner, OrgDraft("Milepost demo", "UTC", sandbox=True), TILL, OAUTH_KEY)
    coalescer = Coalescer(runner, settings)
    await _make_promotions(runner, coalescer, tenant)
    await _make_child(runner, coalescer, tenant)
    if await _complete(runner, tenant):
        await coalescer.close()
        return
    if GROUP_ID not in (await _moment(runner, tenant)).definitions.groups:
        await _done(coalescer.submit(DEFINITION_EDITS, tenant, _group()))
    for customer_id, mobile in CUSTOMERS:
        identifiers = (("mobile", mobile),) if mobile else (("externalId", f"demo-{customer_id}"),)
        registration = read_registration(
            [ProfileDraft("INSTORE", identifiers=identifiers, first_name="Demo")], customer_id
        )
        if isinstance(registration, Refusal):
            raise Refused(registration.error, registration.detail)
        await _done(coalescer.submit(REGISTRATION, tenant, registration), but=CUSTOMER_EXISTS.code)
    await _done(coalescer.submit(ENROLMENT, tenant, Enrol(GROUP_ID, TARGET_ID, ENROLLED_CUSTOMER)))
    await coalescer.close()


async def _org(runner: Runner, draft: OrgDraft, till: str, key: str) -> Tenant:
    """The organisation that has the till, made if there is none."""
    found = await runner.operate(lambda tx: load_credential(tx, "TILL", till))
    if found is not None:
        return Tenant(found.org_id, found.root_org_id)
    made = await create_org(
        runner,
        draft,
        till=await asyncio.to_thread(new_till, till, PASSWORD),
        oauth=await asyncio.to_thread(new_oauth_client, key, OAUTH_SECRET),
    )
    if isinstance(made, CreatedOrg):
        return Tenant(made.org.org_id, made.org.root_org_id)
    return await _org(runner, draft, till, key)  # another service made it meanwhile


async def _make_child(runner: Runner, coalescer: Coalescer, parent: Tenant) -> None:
    """A connected child with a milestone of the same ids, so the samples work on its behalf too."""
    draft = OrgDraft("Milepost demo, a connected child", "UTC", parent_org_id=parent.org_id)
    child = await _org(runner, draft, CHILD_TILL, CHILD_OAUTH_KEY)
    # Once: what is deleted later stays deleted.
    if not (await _moment(runner, child)).definitions.revision:
        await _done(coalescer.submit(DEFINITION_EDITS, child, _group()))


async def _complete(runner: Runner, tenant: Tenant) -> bool:
    """Whether the last of it was done: also if that customer has been erased since."""

    async def read(tx: Tx, tenant: Tenant, _: Moment) -> int:
        reply = await ask_kept_versions(tx, tenant, [ENROLLED_CUSTOMER])
        ((_customer, version),) = await reply.rows()
        return int(version)

    return await runner.read(tenant, read) > 0


async def _make_promotions(runner: Runner, coalescer: Coalescer, tenant: Tenant) -> None:
    """Programs and promotions that are missing: a promotion is never deleted, so only the first time."""
    moment = await _moment(runner, tenant)
    for program_id, name in PROGRAMS:
        if program_id not in moment.definitions.programs:
            await _done(
                coalescer.submit(PROMOTION_EDITS, tenant, DefineProgram(0, name, program_id))
            )
    for promotion_id, program_id, name, kind in PROMOTIONS:
        if promotion_id not in moment.definitions.promotions:
            draft = PromotionDraft(
                program_id,
                name,
                kind,
                moment.now,
                local_midnight(moment.now.date() + timedelta(days=PROMOTION_DAYS), _UTC),
                identifier=f"demo-{promotion_id}",
                # The samples may be sent as often as one likes.
                limits=LimitsDraft(UNLIMITED, UNLIMITED),
                criteria=Criteria("TransactionAdd", "currentTxn.value >= 50"),
                rewards=(RewardDefinition(name, "POINTS", Decimal(50)),),
                promotion_id=promotion_id,
            )
            await _done(coalescer.submit(PROMOTION_EDITS, tenant, DefinePromotion(0, draft)))


async def _moment(runner: Runner, tenant: Tenant) -> Moment:
    async def read(tx: Tx, tenant: Tenant, moment: Moment) -> Moment:
        return moment

    return await runner.read(tenant, read)


def _group() -> DefineGroup:
    """A milestone of twelve monthly cycles from now on: spend 1,000, get 100 points."""
    draft = GroupDraft(
        name="Spend 1,000 a month",
        description="The demo milestone",
        tracking_type="DEFAULT",
        frequency_type="MONTHLY",
        frequency=1,
        recurring_cycles=12,
        total_periods=12,
        targets=(
            TargetDraft(
                name="Spend 1,000 a month",
                target_entity="TRANSACTION",
                target_type="SALES",
                rewards=(RewardDefinition("Demo points", "POINTS", Decimal(100)),),
                default_values=(ValueDraft(Decimal(1000)),),
            ),
        ),
    )
    return DefineGroup(0, draft, GROUP_ID, (TARGET_ID,))


async def _done(outcome: Any, but: int | None = None) -> None:
    """Wait for the outcome; a refusal is a defect, unless it says that the thing is there."""
    found = await outcome
    if isinstance(found, Refusal) and found.error.code != but:
        raise Refused(found.error, found.detail)
