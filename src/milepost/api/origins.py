"""Whose call the one being answered is, for what is journalled of it."""

from __future__ import annotations

from milepost.api.authentication import calling
from milepost.logs import request_id
from milepost.rules.effects import Origin


def origin() -> Origin:
    """The request id of this call, and its credential, till and store."""
    caller = calling.get()
    if caller is None:
        return Origin(request_id.get())
    return Origin(request_id.get(), caller.credential_id, caller.till_id, caller.store_id)
