"""Define programs and promotions, change them, and take them through their approval: contract §7.

As the edits of target groups, each is decided with the newest definitions and saved only if no other
process has changed them meanwhile.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal

from milepost import logs
from milepost.actions.definitions import BOUNDARY
from milepost.actions.expressions import evaluate, refuse_expression, variables_of
from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, PROMOTION_UNKNOWN, Refusal
from milepost.rules import promotion_edits as edits
from milepost.rules.activities import EVENT, TRANSACTION_ADD, Activity
from milepost.rules.audit import AuditEntry, record_entry
from milepost.rules.book import Completion
from milepost.rules.definitions import (
    TARGET_COMPLETED,
    Actor,
    Criteria,
    Definitions,
    Period,
    Program,
    Promotion,
    TargetGroup,
)
from milepost.rules.promotion_edits import PromotionDraft
from milepost.rules.redemption import completion_attributes
from milepost.runner import Decided, Moment
from milepost.store.audit import insert_audit
from milepost.store.definitions import allot_ids, claim_definitions
from milepost.store.jobs import set_alarms
from milepost.store.promotions import (
    PromotionChange,
    count_usage,
    save_program,
    save_promotion,
)

_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class DefineProgram:
    """Make a program; with `program_id` the id that it had elsewhere."""

    credential_id: int
    name: str
    program_id: int | None = None
    request_id: str = field(default_factory=logs.request_id.get)


@dataclass(frozen=True, slots=True)
class DefinePromotion:
    """Make a promotion: published at once, or (`state` DRAFT) to be approved first.

    The draft's `promotion_id` is the id that it had elsewhere.
    """

    credential_id: int
    draft: PromotionDraft
    state: str = "ACTIVE"
    request_id: str = field(default_factory=logs.request_id.get)


@dataclass(frozen=True, slots=True)
class EditPromotion:
    """Change what the draft says, at once."""

    credential_id: int
    promotion_id: int
    draft: PromotionDraft
    request_id: str = field(default_factory=logs.request_id.get)


@dataclass(frozen=True, slots=True)
class ReplacePromotion:
    """Replace a promotion by what the draft says; a published one once that is approved."""

    credential_id: int
    promotion_id: int
    draft: PromotionDraft
    request_id: str = field(default_factory=logs.request_id.get)


@dataclass(frozen=True, slots=True)
class ChangeState:
    """Submit, pause, resume or stop a promotion."""

    credential_id: int
    promotion_id: int
    state: str
    comment: str | None = None
    request_id: str = field(default_factory=logs.request_id.get)


@dataclass(frozen=True, slots=True)
class Review:
    """Approve what waits for approval, or send it back to draft."""

    credential_id: int
    promotion_id: int
    approve: bool
    comment: str | None = None
    request_id: str = field(default_factory=logs.request_id.get)


@dataclass(frozen=True, slots=True)
class DiscardDraft:
    """Throw away the draft of a published promotion."""

    credential_id: int
    promotion_id: int
    request_id: str = field(default_factory=logs.request_id.get)


Command = (
    DefineProgram
    | DefinePromotion
    | EditPromotion
    | ReplacePromotion
    | ChangeState
    | Review
    | DiscardDraft
)


@dataclass(frozen=True, slots=True)
class Defined:
    """The outcome of an accepted edit: the program or promotion as it is now, `now` when it was made."""

    now: datetime
    made: Program | Promotion


@dataclass(frozen=True, slots=True)
class Saving:
    """What an edit saves; `counts`: the use of the promotion by all customers is limited from now on."""

    program: Program | None = None
    change: PromotionChange | None = None
    alarms: tuple[datetime, ...] = ()
    counts: bool = False
    audit: AuditEntry | None = None


class PromotionEdits:
    """Outcome per command: a `Defined`, or a `Refusal`. Boundary: the organisation's definitions."""

    name = "promotions"
    batch_size_max: int | None = 1

    def boundary(self, command: Command) -> str:
        """All definitions of the organisation."""
        return BOUNDARY

    async def load(
        self,
        tx: Tx,
        tenant: Tenant,
        commands: Sequence[Command],
        moment: Callable[[], Awaitable[Moment]],
    ) -> list[int]:
        """A fresh id; the definitions come with the moment."""
        return await allot_ids(tx, len(commands))

    def decide(self, state: list[int], commands: Sequence[Command], moment: Moment) -> Decided:
        """Decide the one command of the batch."""
        (command,), (fresh_id,) = commands, state
        definitions, actor = moment.definitions, Actor(command.credential_id, moment.now)
        if isinstance(command, DefineProgram):
            program_id = command.program_id if command.program_id is not None else fresh_id
            program = edits.define_program(definitions, command.name, program_id, actor)
            if isinstance(program, Refusal):
                return Decided([program])
            told = record_entry(
                definitions.org_id, actor, command.request_id, "PROGRAM", program.id, None, program
            )
            saving = Saving(program=program, audit=told)
            return Decided([Defined(moment.now, program)], {BOUNDARY: saving})
        before: Promotion | None = None
        if not isinstance(command, DefinePromotion):
            before = definitions.promotions.get(command.promotion_id)
            if before is None:
                return Decided([Refusal(PROMOTION_UNKNOWN)])
        after = _edit(definitions, command, before, fresh_id, actor)
        if isinstance(after, Promotion) and after != before:
            refusal = _refuse_criteria(after, before)
            after = refusal or after
        if isinstance(after, Refusal):
            return Decided([after])
        if after == before:
            return Decided([Defined(moment.now, after)])
        change = PromotionChange(
            definitions.revision + 1,
            moment.now,
            "CREATED" if before is None else "UPDATED",
            after,
            command.request_id,
            command.credential_id,
        )
        ends_anew = (before is None or before.ends_at != after.ends_at) and (
            after.ends_at > moment.now
        )
        saving = Saving(
            change=change,
            alarms=(after.ends_at,) if ends_anew else (),
            counts=after.is_counted and not (before is not None and before.is_counted),
            audit=record_entry(
                definitions.org_id, actor, command.request_id, "PROMOTION", after.id, before, after
            ),
        )
        return Decided([Defined(moment.now, after)], {BOUNDARY: saving})

    async def claim(
        self, tx: Tx, tenant: Tenant, changes: Mapping[str, Saving], moment: Moment
    ) -> set[str]:
        """The boundary, if the definitions are still those that the edit was decided with."""
        won = await claim_definitions(tx, tenant, moment.definitions.revision)
        return {BOUNDARY} if won else set()

    async def save(self, tx: Tx, tenant: Tenant, changes: Mapping[str, Saving]) -> None:
        """The program, or the promotion with this version of it, and what follows from its dates."""
        saving = changes[BOUNDARY]
        if saving.program is not None:
            await save_program(tx, tenant, saving.program)
        if saving.change is not None:
            await save_promotion(tx, tenant, saving.change)
            if saving.counts:
                await count_usage(tx, tenant, [saving.change.promotion.id])
        await set_alarms(tx, saving.alarms)
        await insert_audit(tx, [saving.audit] if saving.audit is not None else [])


PROMOTION_EDITS = PromotionEdits()


def _edit(
    definitions: Definitions,
    command: Command,
    before: Promotion | None,
    fresh_id: int,
    actor: Actor,
) -> Promotion | Refusal:
    if isinstance(command, DefinePromotion):
        asked = command.draft.promotion_id
        promotion_id = asked if asked is not None else fresh_id
        return edits.define_promotion(
            definitions, command.draft, promotion_id, actor, command.state
        )
    assert before is not None
    match command:
        case EditPromotion():
            return edits.edit_promotion(definitions, before, command.draft, actor)
        case ReplacePromotion():
            return edits.replace_promotion(definitions, before, command.draft, actor)
        case ChangeState():
            return edits.change_state(before, command.state, actor, command.comment)
        case Review():
            return edits.review(
                definitions, before, actor, approve=command.approve, comment=command.comment
            )
        case DiscardDraft():
            return edits.discard_draft(before, actor)
        case DefineProgram():
            raise AssertionError


def _refuse_criteria(after: Promotion, before: Promotion | None) -> Refusal | None:
    """300004 for an expression that does not compile, or reads what its events do not have."""
    known = (before.criteria, before.draft and before.draft.criteria) if before is not None else ()
    for promotion in (after, after.draft):
        criteria = promotion.criteria if promotion is not None else None
        if criteria is not None and criteria not in known:
            refusal = _refuse_expression(criteria)
            if refusal is not None:
                return refusal
    return None


def _refuse_expression(criteria: Criteria) -> Refusal | None:
    refusal = refuse_expression(criteria.expression)
    if refusal is not None:
        return Refusal(refusal.error, f"criteria: the {refusal.detail}")
    read = variables_of(criteria.expression)
    missing = read & {"currentLineItem"}
    if criteria.event != TRANSACTION_ADD:
        missing = read & {"currentLineItem", "currentTxn"}
    if missing:
        return Refusal(
            INVALID_INPUT,
            f"criteria: the expression reads {min(missing)}, which there is not for {criteria.event}.",
        )
    if criteria.event != TARGET_COMPLETED:
        return None
    failed = evaluate(criteria.expression, _sample_completion(), None)
    if isinstance(failed, Refusal):
        return Refusal(INVALID_INPUT, f"criteria: {failed.detail}")
    return None


def _sample_completion() -> Activity:
    """A completion that has everything that one can have: all are alike, so what fails on it always fails."""
    at = datetime(2000, 1, 1, tzinfo=UTC)
    group = TargetGroup(1, "", "DEFAULT", "UTC", at, at)
    completion = Completion(group, None, Period(1, 1, "", at, at), 1, _ONE, _ONE, ("",))
    attributes = {**completion_attributes(completion, at_once=True), "targetRuleId": 1}
    return Activity("1", 1, EVENT, at, TARGET_COMPLETED, attributes=attributes)
