"""What is counted and traced of a batch, wherever it comes from."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from milepost.metrics import metrics
from milepost.traces import span


@dataclass(slots=True)
class ObservedBatch:
    """A batch on its way; who runs it says how many of its commands were `lost` to another process."""

    lost: int = 0


@contextmanager
def observed_batch(action: str, commands: int) -> Iterator[ObservedBatch]:
    """Count and trace the block as one batch of so many commands of an action."""
    batch = ObservedBatch()
    began = time.perf_counter()
    try:
        with span(f"batch {action}", {"milepost.action": action, "milepost.commands": commands}):
            yield batch
    except BaseException:
        metrics().count_failed_batch(action)
        raise
    metrics().observe_batch(action, commands, time.perf_counter() - began, lost=batch.lost)
