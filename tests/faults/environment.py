"""How a service is set that is to be killed."""

from __future__ import annotations

from collections.abc import Callable


def prepare(set_variable: Callable[[str, str], None]) -> None:
    """Deliver to this machine, look for what was left often, and let everybody call as often as they like."""
    set_variable("MILEPOST_WEBHOOK_ALLOWED_NETWORKS", "127.0.0.1/32")
    set_variable("MILEPOST_SWEEP_SECONDS", "0.5")
    set_variable("MILEPOST_RATE_LIMITS", "none")
