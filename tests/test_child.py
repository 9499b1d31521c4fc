"""Children of the service: what their parent makes of one that dies at once."""

from __future__ import annotations

from milepost.child import start_child
from milepost.settings import Settings


def test_a_child_that_dies_before_it_is_told_its_settings_is_started_and_seen_to_be_dead() -> None:
    more_than_fits_into_a_pipe = Settings(admin_token="x" * 200_000)
    child = start_child(
        "platform", more_than_fits_into_a_pipe
    )  # prints something and reads nothing
    assert child.wait(30) == 0
    for end in (child.stdin, child.stdout):
        assert end is not None
        end.close()
