"""Names: what is unique among an organisation's definitions (domain: milestones §2.1, §3.5, §7-25).

Group names, target names and level names are each unique in the organisation, whatever their case,
inactive ones included; period names only in their group, and to the letter (`rules/periods.py`).
"""

from __future__ import annotations

from collections.abc import Iterable

from milepost.errors import INVALID_NAME_TYPE, Refusal
from milepost.rules.checks import check_label, check_name
from milepost.rules.definitions import Definitions


def name_key(name: str) -> str:
    """What two names have in common that differ only in case: the tables' `name_key`."""
    return name.casefold()


def group_names(definitions: Definitions) -> dict[str, int]:
    """The id of each group by the key of its name."""
    return {name_key(group.name): group.id for group in definitions.groups.values()}


def target_names(definitions: Definitions) -> dict[str, int]:
    """The id of each target by the key of its name."""
    return {
        name_key(target.name): target.id
        for group in definitions.groups.values()
        for target in group.targets
    }


def level_names(definitions: Definitions) -> dict[str, int]:
    """The id of each streak level by the key of its name."""
    return {
        name_key(level.name): level.id
        for group in definitions.groups.values()
        for level in group.levels
    }


def name_is_free(definitions: Definitions, kind: str | None, value: str) -> bool | Refusal:
    """Whether a new definition may be given the name (`isValidName`, §3.5); inactive ones count.

    `kind`, in any case: targetGroupName and streakName (both: a group's), targetName,
    streakLevelName, periodName (that of any group's period); anything else → 310145. A name that no
    definition may have is not free.
    """
    taken: Iterable[str]
    match (kind or "").lower():
        case "targetgroupname" | "streakname":
            taken = group_names(definitions)
        case "targetname":
            taken = target_names(definitions)
        case "streaklevelname":
            taken = level_names(definitions)
        case "periodname":
            taken = {
                name_key(period.ref_code)
                for group in definitions.groups.values()
                for period in group.periods
            }
            return check_label(value, "value") is None and name_key(value) not in taken
        case _:
            return Refusal(INVALID_NAME_TYPE)
    return check_name(value, "value") is None and name_key(value) not in taken
