"""Alarms: jobs by which the worker wakes at the instants at which something falls due."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from milepost.database import Tx
from milepost.store.pipeline import tell


async def set_alarms(tx: Tx, instants: Sequence[datetime]) -> None:
    """Set an alarm at each instant for the organisation that the transaction acts for, if it commits.

    A sandbox gets none: whoever moves its clock does what is due.
    """
    if instants:
        await tell(tx, "SELECT jobs.set_alarms(%b::timestamptz[])", list(instants))
