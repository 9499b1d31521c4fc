"""A batch of rows and the note that it is done, saved in one transaction: so each row is done once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, Final

from milepost.database import Tenant, Tx
from milepost.runner import Action, Decided, Moment
from milepost.store.imports import Step, advance

_STEP: Final = object()
"""The boundary of the note itself."""


class Contended(Exception):
    """Somebody else changed one of the batch's boundaries meanwhile: nothing was done."""


class Overtaken(Exception):
    """The import is not where the batch begins: it was done already, or another process has it."""


class Booked:
    """An action that saves a batch whole, with its `Step`, or not at all.

    Losers are not left for later, for the results of a batch are kept in the order of its rows.
    `step` is of the outcomes that were saved, once the batch has run.
    """

    batch_size_max: int | None = None

    def __init__(self, action: Action[Any], step_of: Callable[[Sequence[object]], Step]) -> None:
        self.name = action.name
        self.step: Step | None = None
        self._action = action
        self._step_of = step_of

    def boundary(self, command: Any) -> Hashable:
        """The action's."""
        return self._action.boundary(command)

    async def load(
        self,
        tx: Tx,
        tenant: Tenant,
        commands: Sequence[Any],
        moment: Callable[[], Awaitable[Moment]],
    ) -> Any:
        """The action's; nothing if no row of the batch is one for it."""
        return await self._action.load(tx, tenant, commands, moment) if commands else None

    def decide(self, state: Any, commands: Sequence[Any], moment: Moment) -> Decided:
        """The action's decisions, and the step that they are."""
        decided = self._action.decide(state, commands, moment) if commands else Decided(())
        self.step = self._step_of(decided.outcomes)
        return Decided(decided.outcomes, {**decided.changes, _STEP: self.step})

    async def claim(
        self, tx: Tx, tenant: Tenant, changes: Mapping[Any, Any], moment: Moment
    ) -> set[Any]:
        """All of the boundaries, the note's last; raises if one is lost, which undoes the rest."""
        of_rows = _of_rows(changes)
        if of_rows:
            won = await self._action.claim(tx, tenant, of_rows, moment)
            if len(won) < len(of_rows):
                raise Contended
        if not await advance(tx, tenant, changes[_STEP]):
            raise Overtaken
        return set(changes)

    async def save(self, tx: Tx, tenant: Tenant, changes: Mapping[Any, Any]) -> None:
        """The action's: the claim has saved the step."""
        of_rows = _of_rows(changes)
        if of_rows:
            await self._action.save(tx, tenant, of_rows)


def _of_rows(changes: Mapping[Any, Any]) -> dict[Any, Any]:
    return {key: change for key, change in changes.items() if key is not _STEP}
