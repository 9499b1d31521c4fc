"""Dataclasses of values: frozen to whoever writes the code, at no cost to whoever runs it.

A frozen dataclass sets each of its fields by a call, which makes it three times as dear to build; an activity
builds two dozen. So `@dataclass(frozen=True)` is checked by the type checker alone here. What it says still
holds: values are compared and hashed by their fields, and nobody changes one.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool = False, **options: Any) -> Any:
        """`dataclasses.dataclass`, with the hash of a frozen one and without its guards."""
        if frozen:
            options.setdefault("unsafe_hash", options.get("eq", True))
        return dataclasses.dataclass(**options)
