"""Define and change target groups: the configuration endpoints (domain: milestones §3.5).

One edit at a time and organisation: each is decided with the newest definitions and saved only if no
other process has changed them meanwhile, so of two edits at once neither is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from milepost.actions.expressions import refuse_expression
from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, TARGET_GROUP_NOT_FOUND, Refusal
from milepost.rules import groups, periods, targets
from milepost.rules.definitions import Actor, Definitions, TargetGroup
from milepost.rules.drafts import (
    TARGETS_MAX,
    GroupDraft,
    PeriodDraft,
    TargetDraft,
    ids_needed,
    ids_needed_to_add,
    ids_needed_to_edit,
)
from milepost.runner import Decided, Moment
from milepost.store.definitions import Edit, allot_ids, claim_definitions, save_definitions

BOUNDARY = "definitions"
EXPRESSIONS_CHARACTERS_MAX = 100_000
"""In one edit, together: they are compiled while the others wait."""


@dataclass(frozen=True, slots=True)
class DefineGroup:
    """Make a target group; `group_id` and `target_ids` (the first targets') are for demo data."""

    credential_id: int
    draft: GroupDraft
    group_id: int | None = None
    target_ids: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EditGroup:
    """Change a group by a whole group object."""

    credential_id: int
    target_group_id: int
    draft: GroupDraft


@dataclass(frozen=True, slots=True)
class DeleteGroup:
    """Take a group away: nobody finds it afterwards, its names are free, what was granted stays."""

    credential_id: int
    target_group_id: int


@dataclass(frozen=True, slots=True)
class AddPeriods:
    """Add periods to a group."""

    credential_id: int
    target_group_id: int
    drafts: tuple[PeriodDraft, ...]


@dataclass(frozen=True, slots=True)
class EditPeriods:
    """Change periods of a group."""

    credential_id: int
    target_group_id: int
    drafts: tuple[PeriodDraft, ...]


@dataclass(frozen=True, slots=True)
class AddTargets:
    """Add targets to a group."""

    credential_id: int
    target_group_id: int
    drafts: tuple[TargetDraft, ...]


@dataclass(frozen=True, slots=True)
class EditTarget:
    """Change one target."""

    credential_id: int
    target_group_id: int
    target_id: int
    draft: TargetDraft


@dataclass(frozen=True, slots=True)
class DeactivateTarget:
    """Make one target inactive: nothing counts in it any more."""

    credential_id: int
    target_group_id: int
    target_id: int


@dataclass(frozen=True, slots=True)
class EditUnified:
    """Change, add and deactivate targets of a unified group, and its threshold."""

    credential_id: int
    target_group_id: int
    threshold_value: Decimal | None
    drafts: tuple[TargetDraft, ...]
    deactivate_target_ids: tuple[int, ...]


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

    async def load(self, tx: Tx, tenant: Tenant, commands: Sequence[Command]) -> list[int]:
        """Fresh ids, as many as the edit may need; the definitions come with the moment."""
        return await allot_ids(tx, sum(_ids_needed(command) for command in commands))

    def decide(self, state: list[int], commands: Sequence[Command], moment: Moment) -> Decided:
        """Decide the one command of the batch."""
        (command,) = commands
        refusal = _refuse_expressions(command)
        if refusal is not None:
            return Decided([refusal])
        actor = Actor(command.credential_id, moment.now)
        edited = _edit(moment.definitions, command, iter(state), actor)
        if isinstance(edited, Refusal) or edited.before == edited.after:
            return Decided([edited])
        before, after = edited.before, edited.after
        edit = Edit(
            moment.now,
            saved=() if after is None else (after,),
            deleted=(before.id,) if before is not None and after is None else (),
        )
        return Decided([edited], {BOUNDARY: edit})

    async def claim(
        self, tx: Tx, tenant: Tenant, changes: Mapping[str, Edit], moment: Moment
    ) -> set[str]:
        """The boundary, if the definitions are still those that the edit was decided with."""
        won = await claim_definitions(tx, tenant, moment.definitions.revision)
        return {BOUNDARY} if won else set()

    async def save(self, tx: Tx, tenant: Tenant, changes: Mapping[str, Edit]) -> None:
        """The whole group, or its deletion."""
        await save_definitions(tx, tenant, changes[BOUNDARY])


DEFINITION_EDITS = DefinitionEdits()


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


def _refuse_expressions(command: Command) -> Refusal | None:
    """300004 for the first expression that does not compile, or for too much of them. Blank: none."""
    # More targets than a group may have are refused by the rules.
    drafts = _target_drafts(command)[:TARGETS_MAX]
    sent = [draft.expression or "" for draft in drafts]
    if sum(map(len, sent)) > EXPRESSIONS_CHARACTERS_MAX:
        return Refusal(
            INVALID_INPUT,
            f"expressions must not be longer than {EXPRESSIONS_CHARACTERS_MAX:,} characters together.",
        )
    for index, expression in enumerate(sent):
        refusal = refuse_expression(expression) if expression.strip() else None
        if refusal is not None:
            return Refusal(refusal.error, f"targets[{index}].{refusal.detail}")
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
    return after if isinstance(after, Refusal) else Edited(actor.at, before, after)


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
