"""Define and change target groups: the configuration endpoints (domain: milestones §3.5).

One edit at a time and organisation: each is decided with the newest definitions and saved only if no
other process has changed them meanwhile, so of two edits at once neither is lost.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from milepost import logs
from milepost.actions.expressions import ALWAYS, refuse_expression, variables_of
from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, TARGET_GROUP_NOT_FOUND, Refusal
from milepost.rules import groups, periods, targets
from milepost.rules.activities import RETURN_BILL, TRANSACTION_ADD
from milepost.rules.audit import group_entry
from milepost.rules.checks import EXPRESSION_JSON_CHARACTERS_MAX
from milepost.rules.definitions import Actor, Definitions, Target, TargetGroup
from milepost.rules.drafts import (
    TARGETS_MAX,
    GroupDraft,
    PeriodDraft,
    TargetDraft,
    ids_needed,
    ids_needed_to_add,
    ids_needed_to_edit,
)
from milepost.rules.due import new_instants
from milepost.rules.expression_json import translate_expression_json
from milepost.runner import Decided, Moment
from milepost.store.audit import insert_audit
from milepost.store.definitions import Edit, allot_ids, claim_definitions, save_definitions
from milepost.store.jobs import set_alarms

BOUNDARY = "definitions"
EXPRESSIONS_CHARACTERS_MAX = 100_000
"""In one edit, together: they are compiled while the others wait."""
BILL_EVENTS = frozenset({TRANSACTION_ADD, RETURN_BILL})
"""The events that are transactions or returns."""


@dataclass(frozen=True, slots=True)
class DefineGroup:
    """Make a target group; `group_id` and `target_ids` (the first targets') are for demo data."""

    credential_id: int
    draft: GroupDraft
    group_id: int | None = None
    target_ids: tuple[int, ...] = ()
    request_id: str = field(default_factory=logs.request_id.get)


@dataclass(frozen=True, slots=True)
class EditGroup:
    """Change a group by a whole group object."""

    credential_id: int
    target_group_id: int
    draft: GroupDraft
    request_id: str = field(default_factory=logs.request_id.get)


@dataclass(frozen=True, slots=True)
class DeleteGroup:
    """Take a group away: nobody finds it afterwards, its names are free, what was granted stays."""

    credential_id: int
    target_group_id: int
    request_id: str = field(default_factory=logs.request_id.get)


@dataclass(frozen=True, slots=True)
class AddPeriods:
    """Add periods to a group."""

    credential_id: int
    target_group_id: int
    drafts: tuple[PeriodDraft, ...]
    request_id: str = field(default_factory=logs.request_id.get)


@dataclass(frozen=True, slots=True)
class EditPeriods:
    """Change periods of a group."""

    credential_id: int
    target_group_id: int
    drafts: tuple[PeriodDraft, ...]
    request_id: str = field(default_factory=logs.request_id.get)


@dataclass(frozen=True, slots=True)
class AddTargets:
    """Add targets to a group."""

    credential_id: int
    target_group_id: int
    drafts: tuple[TargetDraft, ...]
    request_id: str = field(default_factory=logs.request_id.get)


@dataclass(frozen=True, slots=True)
class EditTarget:
    """Change one target."""

    credential_id: int
    target_group_id: int
    target_id: int
    draft: TargetDraft
    request_id: str = field(default_factory=logs.request_id.get)


@dataclass(frozen=True, slots=True)
class DeactivateTarget:
    """Make one target inactive: nothing counts in it any more."""

    credential_id: int
    target_group_id: int
    target_id: int
    request_id: str = field(default_factory=logs.request_id.get)


@dataclass(frozen=True, slots=True)
class EditUnified:
    """Change, add and deactivate targets of a unified group, and its threshold."""

    credential_id: int
    target_group_id: int
    threshold_value: Decimal | None
    drafts: tuple[TargetDraft, ...]
    deactivate_target_ids: tuple[int, ...]
    request_id: str = field(default_factory=logs.request_id.get)


GroupEdit = (
    EditGroup
    | DeleteGroup
    | AddPeriods
    | EditPeriods
    | AddTargets
    | EditTarget
    | DeactivateTarget
    | EditUnified
)
Command = DefineGroup | GroupEdit


@dataclass(frozen=True, slots=True)
class Edited:
    """The outcome of an accepted edit: the group before and after it, and the instant it was made.

    `before` is None for a new group, `after` for a deleted one; an edit that changes nothing has the
    same twice.
    """

    now: datetime
    before: TargetGroup | None
    after: TargetGroup | None


class DefinitionEdits:
    """Outcome per command: `Edited`, or a `Refusal`. Boundary: the organisation's definitions."""

    name = "definitions"
    batch_size_max: int | None = 1

    def boundary(self, command: Command) -> str:
        """All definitions of the organisation, for names are unique in it."""
        return BOUNDARY

    async def load(
        self,
        tx: Tx,
        tenant: Tenant,
        commands: Sequence[Command],
        moment: Callable[[], Awaitable[Moment]],
    ) -> list[int]:
        """Fresh ids, as many as the edit may need; the definitions come with the moment."""
        return await allot_ids(tx, sum(_ids_needed(command) for command in commands))

    def decide(self, state: list[int], commands: Sequence[Command], moment: Moment) -> Decided:
        """Decide the one command of the batch."""
        (command,) = commands
        settled = _with_settled_expressions(command)
        if isinstance(settled, Refusal):
            return Decided([settled])
        actor = Actor(command.credential_id, moment.now)
        edited = _edit(moment.definitions, settled, iter(state), actor)
        if isinstance(edited, Refusal) or edited.before == edited.after:
            return Decided([edited])
        refusal = _refuse_what_never_holds(edited)
        if refusal is not None:
            return Decided([refusal])
        before, after = edited.before, edited.after
        edit = Edit(
            moment.now,
            saved=() if after is None else (after,),
            deleted=(before.id,) if before is not None and after is None else (),
            alarms=new_instants(before, after),
            audit=group_entry(moment.definitions.org_id, actor, command.request_id, before, after),
        )
        return Decided([edited], {BOUNDARY: edit})

    async def claim(
        self, tx: Tx, tenant: Tenant, changes: Mapping[str, Edit], moment: Moment
    ) -> set[str]:
        """The boundary, if the definitions are still those that the edit was decided with."""
        won = await claim_definitions(tx, tenant, moment.definitions.revision)
        return {BOUNDARY} if won else set()

    async def save(self, tx: Tx, tenant: Tenant, changes: Mapping[str, Edit]) -> None:
        """The whole group, or its deletion; alarms for what falls due at new instants; who did it."""
        edit = changes[BOUNDARY]
        await save_definitions(tx, tenant, edit)
        await set_alarms(tx, edit.alarms)
        await insert_audit(tx, [edit.audit] if edit.audit is not None else [])


DEFINITION_EDITS = DefinitionEdits()


def drafted_group(
    definitions: Definitions,
    draft: GroupDraft,
    ids: Iterator[int],
    actor: Actor,
    group_id: int | None = None,
) -> TargetGroup | Refusal:
    """The group that `DefineGroup` would make at `actor.at`, or how it is refused; nothing is saved."""
    settled = _with_settled_expressions(DefineGroup(actor.credential_id, draft, group_id))
    if isinstance(settled, Refusal):
        return settled
    edited = _edit(definitions, settled, ids, actor)
    if isinstance(edited, Refusal):
        return edited
    group = edited.after
    assert group is not None
    return _refuse_what_never_holds(edited) or group


def _ids_needed(command: Command) -> int:
    match command:
        case DefineGroup():
            return ids_needed(command.draft)
        case AddPeriods():
            return ids_needed_to_add(periods=command.drafts)
        case AddTargets() | EditUnified():
            return ids_needed_to_add(targets=command.drafts)
        case EditGroup() | EditTarget():
            return ids_needed_to_edit(_target_drafts(command))
        case DeleteGroup() | EditPeriods() | DeactivateTarget():
            return 0


def _target_drafts(command: Command) -> tuple[TargetDraft, ...]:
    match command:
        case DefineGroup() | EditGroup():
            return command.draft.targets
        case AddTargets() | EditUnified():
            return command.drafts
        case EditTarget():
            return (command.draft,)
        case DeleteGroup() | AddPeriods() | EditPeriods() | DeactivateTarget():
            return ()


def _with_target_drafts(command: Command, drafts: tuple[TargetDraft, ...]) -> Command:
    match command:
        case DefineGroup() | EditGroup():
            return replace(command, draft=replace(command.draft, targets=drafts))
        case AddTargets() | EditUnified():
            return replace(command, drafts=drafts)
        case EditTarget():
            return replace(command, draft=drafts[0])
        case DeleteGroup() | AddPeriods() | EditPeriods() | DeactivateTarget():
            return command


def _with_settled_expressions(command: Command) -> Command | Refusal:
    """The command with the expression that counts in each target draft.

    300004 for the first that does not compile or cannot be translated, or for too much of them.
    """
    # More targets than a group may have are refused by the rules.
    drafts = _target_drafts(command)[:TARGETS_MAX]
    sent = sum(len(draft.expression or "") for draft in drafts)
    if sent > EXPRESSIONS_CHARACTERS_MAX:
        return Refusal(
            INVALID_INPUT,
            f"expressions must not be longer than {EXPRESSIONS_CHARACTERS_MAX:,} characters together.",
        )
    settled = []
    for index, draft in enumerate(drafts):
        expression = _settled_expression(draft)
        if isinstance(expression, Refusal):
            return Refusal(expression.error, f"targets[{index}].{expression.detail}")
        settled.append(replace(draft, expression=expression))
    if settled == list(drafts):
        return command
    return _with_target_drafts(command, (*settled, *_target_drafts(command)[TARGETS_MAX:]))


def _settled_expression(draft: TargetDraft) -> str | Refusal | None:
    """The expression, where one is sent that says something; else what `expressionJson` says.

    The vendor sends both and means the same by them. Each must be good in itself; where the expression
    is absent, blank or `true`, the other one counts.
    """
    expression, sent = draft.expression, draft.expression_json
    refusal = refuse_expression(expression) if expression and expression.strip() else None
    if refusal is not None or sent is None or not sent.strip():
        return refusal or expression
    if len(sent) > EXPRESSION_JSON_CHARACTERS_MAX:
        # The rules refuse it.
        return expression
    translated = translate_expression_json(sent)
    if isinstance(translated, Refusal):
        return translated
    refusal = refuse_expression(translated)
    if refusal is not None:
        return Refusal(refusal.error, f"expressionJson: the {refusal.detail}")
    says_nothing = expression is None or expression.strip() in ("", ALWAYS)
    return translated if says_nothing else expression


def _refuse_what_never_holds(edited: Edited) -> Refusal | None:
    """300004 for an expression that reads what the activities of its target do not have.

    It would fail, and reject every one of them.
    """
    before = edited.before.targets_by_id if edited.before is not None else {}
    for target in edited.after.targets if edited.after is not None else ():
        missing = _missing_variable(target) if target != before.get(target.id) else None
        if missing is not None:
            return Refusal(
                INVALID_INPUT,
                f"expression of the target {target.name}: there is no {missing} "
                f"for {target.target_entity} and {target.event_name}.",
            )
    return None


def _missing_variable(target: Target) -> str | None:
    read = variables_of(target.expression)
    if "currentLineItem" in read and target.target_entity != "LINEITEM":
        return "currentLineItem"
    by_event = target.target_entity not in ("TRANSACTION", "LINEITEM")
    if "currentTxn" in read and by_event and target.event_name not in BILL_EVENTS:
        return "currentTxn"
    return None


def _edit(
    definitions: Definitions, command: Command, ids: Iterator[int], actor: Actor
) -> Edited | Refusal:
    after: TargetGroup | Refusal | None
    if isinstance(command, DefineGroup):
        before = None
        after = groups.define_group(
            definitions,
            command.draft,
            ids,
            actor,
            group_id=command.group_id,
            target_ids=command.target_ids,
        )
    else:
        # An inactive group is edited as any other: that is how it becomes active again.
        before = definitions.groups.get(command.target_group_id)
        if before is None:
            return Refusal(TARGET_GROUP_NOT_FOUND)
        after = _edit_group(definitions, before, command, ids, actor)
    if isinstance(after, Refusal):
        return after
    if after is not None:
        after = periods.with_closings(before, after, actor.at)
    return Edited(actor.at, before, after)


def _edit_group(
    definitions: Definitions,
    group: TargetGroup,
    command: GroupEdit,
    ids: Iterator[int],
    actor: Actor,
) -> TargetGroup | Refusal | None:
    match command:
        case EditGroup():
            return groups.edit_group(definitions, group, command.draft, ids, actor)
        case DeleteGroup():
            return None
        case AddPeriods():
            return periods.add_periods(group, command.drafts, ids, actor)
        case EditPeriods():
            return periods.edit_periods(group, command.drafts, actor)
        case AddTargets():
            return targets.add_targets(definitions, group, command.drafts, ids, actor)
        case EditTarget():
            return targets.edit_target(
                definitions, group, command.target_id, command.draft, ids, actor
            )
        case DeactivateTarget():
            return targets.deactivate_target(group, command.target_id, actor)
        case EditUnified():
            return groups.edit_unified(
                definitions,
                group,
                command.threshold_value,
                command.drafts,
                command.deactivate_target_ids,
                ids,
                actor,
            )
