"""The verdict of `make soak`: what grows without bound is said to, and what is kept may become more."""

from __future__ import annotations

import pytest

from benchmarks.soak_figures import (
    BYTES_A_ROW,
    COUNT,
    GROWING,
    HOT_BYTES,
    MEMORY,
    Bound,
    judge,
    table,
)

SECONDS = [10.0 * number for number in range(1, 121)]
MIB = 2**20


@pytest.mark.parametrize(
    ("bound", "first", "per_hour", "is_bounded"),
    [
        (MEMORY, 100 * MIB, 10 * MIB, True),
        (MEMORY, 100 * MIB, 100 * MIB, False),
        (COUNT, 40, 0, True),
        (COUNT, 40, 120, False),
        (HOT_BYTES, 200 * 1024, 100 * 1024, True),
        (HOT_BYTES, 200 * 1024, 4 * MIB, False),
        (BYTES_A_ROW, 400, 10, True),
        (BYTES_A_ROW, 400, 400, False),
        (GROWING, 100 * MIB, 1000 * MIB, True),
    ],
)
def test_a_figure_that_grows_by_more_than_it_may_is_found(
    bound: Bound, first: float, per_hour: float, is_bounded: bool
) -> None:
    samples = [{("it", bound): first + per_hour * at / 3600} for at in SECONDS]
    (line,) = judge(SECONDS, samples)
    assert line.per_hour == pytest.approx(per_hour, abs=1e-6)
    assert line.is_bounded == is_bounded
    assert ("GROWS" in list(table([line]))[-1]) != is_bounded


def test_what_grows_while_it_warms_up_is_no_leak() -> None:
    samples = [{("it", MEMORY): min(at, 250.0) * MIB} for at in SECONDS]
    (line,) = judge(SECONDS, samples)
    assert line.is_bounded
