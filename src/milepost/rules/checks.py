"""What single fields of a definition may hold; each check names the field as the caller wrote it.

A check gives the refusal, or None when there is nothing to say; None as the value, an absent field,
always passes unless it is required. Bounds: domain/milestones-and-streaks.md §2, and where it has
none, ones that nobody meets by honest means. Nothing that a caller sends makes a check raise.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from math import isfinite

from milepost.errors import INVALID_INPUT, Error, Refusal
from milepost.rules.definitions import REWARD_TYPES, RewardDefinition
from milepost.rules.drafts import REWARDS_MAX

NAME_CHARACTERS_MAX = 200
DESCRIPTION_CHARACTERS_MAX = 255
EXPRESSION_CHARACTERS_MAX = 10_000
EXPRESSION_JSON_CHARACTERS_MAX = 100_000
JSON_CHARACTERS_MAX = 20_000
JSON_DEPTH_MAX = 16
AMOUNT_MAX = Decimal(10**15)
DECIMAL_PLACES_MAX = 6
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1

# PostgreSQL has no NUL, UTF-8 no lone surrogate; one of them in a batch would spoil its neighbours.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def refuse(at: str, reason: str) -> Refusal:
    """300004 with a sentence about the field `at`, such as `periods[2].endDate`."""
    return Refusal(INVALID_INPUT, f"{at}: {reason}.")


def placed(refusal: Refusal, at: str) -> Refusal:
    """A refusal that doesn't say where it arose, with its place; for one of several alike."""
    return refusal if refusal.detail else replace(refusal, detail=f"({at})")


def check_given(value: object, at: str) -> Refusal | None:
    """Whether a required field is there."""
    return refuse(at, "is required") if value is None else None


def check_text(value: str | None, at: str, characters_max: int) -> Refusal | None:
    """A text that may be empty, of bounded length, that the database can hold."""
    if value is None:
        return None
    if len(value) > characters_max:
        return refuse(at, f"must not be longer than {characters_max:,} characters")
    if _UNSTORABLE.search(value):
        return refuse(at, "holds a null byte or a lone surrogate, which cannot be kept")
    return None


def check_label(value: str | None, at: str) -> Refusal | None:
    """A text that says something: not blank, at most 200 characters. Its blanks belong to it."""
    if value is not None and not value.strip():
        return refuse(at, "must not be blank")
    return check_text(value, at, NAME_CHARACTERS_MAX)


def check_name(value: str | None, at: str, *, too_long: Error | None = None) -> Refusal | None:
    """A unique name: as `check_label`, and without blanks around it. `too_long` has its own code."""
    if value is None:
        return None
    if too_long is not None and len(value) > NAME_CHARACTERS_MAX:
        return Refusal(too_long)
    if value != value.strip() and value.strip():
        return refuse(at, "must not begin or end with a blank")
    return check_label(value, at)


def check_choice(value: str | None, at: str, choices: Collection[str]) -> Refusal | None:
    """One of the wire's words, in any case."""
    if value is None or (value.isascii() and value.upper() in choices):
        return None
    return refuse(at, f"must be one of {', '.join(choices)}")


def check_integer(value: int | None, at: str, low: int, high: int) -> Refusal | None:
    """An integer from `low` to `high`, both included."""
    if value is None or low <= value <= high:
        return None
    return refuse(at, f"must be {low} to {high}")


def check_amount(value: Decimal | None, at: str, *, or_zero: bool = False) -> Refusal | None:
    """A decimal > 0, or ≥ 0, to 10^15, written with at most 6 decimal places."""
    if value is None:
        return None
    if not value.is_finite() or value < 0 or value > AMOUNT_MAX or (value == 0 and not or_zero):
        return refuse(at, f"must be {'at least' if or_zero else 'more than'} 0 and at most 10^15")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -DECIMAL_PLACES_MAX:
        return refuse(at, f"must not have more than {DECIMAL_PLACES_MAX} decimal places")
    return None


def check_count(given: Sequence[object], at: str, count_max: int) -> Refusal | None:
    """A list of at most `count_max` entries."""
    if len(given) > count_max:
        return refuse(at, f"must not have more than {count_max} entries")
    return None


def check_json(value: object, at: str) -> Refusal | None:
    """JSON kept as it is: about 20,000 characters, 16 levels, nothing that cannot be kept."""
    characters = 0
    waiting: list[tuple[object, int]] = [(value, 1)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            characters += len(item) + 2
            if _UNSTORABLE.search(item):
                return refuse(at, "holds a null byte or a lone surrogate, which cannot be kept")
        elif isinstance(item, Mapping):
            waiting += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list | tuple):
            waiting += [(part, depth + 1) for part in item]
        elif isinstance(item, float):
            if not isfinite(item):
                return refuse(at, "holds a number that JSON does not have")
        elif isinstance(item, int):
            if not INT64_MIN <= item <= INT64_MAX:
                return refuse(at, "holds an integer beyond 64 bits")
        elif item is not None:
            return refuse(at, "is not JSON")
        characters += 4
        if characters > JSON_CHARACTERS_MAX or len(waiting) > JSON_CHARACTERS_MAX:
            return refuse(at, f"must not be longer than {JSON_CHARACTERS_MAX:,} characters")
        if depth > JSON_DEPTH_MAX:
            return refuse(at, f"must not be nested deeper than {JSON_DEPTH_MAX}")
    return None


def check_rewards(rewards: Sequence[RewardDefinition] | None, at: str) -> Refusal | None:
    """`rewards` of a target or level: at most 20 entries, each with name, type and value ≥ 0."""
    if rewards is None:
        return None
    refusal = check_count(rewards, at, REWARDS_MAX)
    if refusal is not None:
        return refusal
    for index, reward in enumerate(rewards):
        here = f"{at}[{index}]"
        refusal = (
            check_label(reward.name, f"{here}.name")
            or check_choice(reward.type, f"{here}.type", REWARD_TYPES)
            or check_amount(reward.value, f"{here}.value", or_zero=True)
            or check_text(reward.reference, f"{here}.reference", DESCRIPTION_CHARACTERS_MAX)
        )
        if refusal is not None:
            return refusal
    return None


def spelt_rewards(rewards: Sequence[RewardDefinition]) -> tuple[RewardDefinition, ...]:
    """Checked rewards with their types as the wire spells them."""
    return tuple(replace(reward, type=reward.type.upper()) for reward in rewards)
