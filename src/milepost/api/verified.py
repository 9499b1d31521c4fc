"""What has been verified, and is believed for a short, bounded time.

What a caller shows is not kept: the key is its keyed hash, made anew with each process.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from milepost.errors import UNAVAILABLE, Refused

T = TypeVar("T")

KNOWN_MAX = 10_000
"""How many are remembered; whoever was verified longest ago is forgotten first."""
VERIFICATIONS_MAX = 64
"""How many may be verified, or wait for it, at once; the next one is answered 503."""


class Verified(Generic[T]):
    """Remembers what one kind of proof stands for. Each kind has bounds of its own: none starves another."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, tuple[float, T]] = OrderedDict()
        self._salt = secrets.token_bytes(32)
        self._verifying: dict[bytes, asyncio.Task[T]] = {}

    async def find(self, shown: bytes, verify: Callable[[], Awaitable[tuple[T, float]]]) -> T:
        """What `shown` stands for. If that is not known, `verify` says it, and for how many seconds.

        What `verify` raises is not remembered. Raises 503 when too many wait.
        """
        key = self._key(shown)
        known = self._known.get(key)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        # Requests that show the same unknown thing together wait for one verification.
        verifying = self._verifying.get(key)
        if verifying is None:
            if len(self._verifying) >= VERIFICATIONS_MAX:
                raise Refused(UNAVAILABLE)
            verifying = self._verifying[key] = asyncio.create_task(self._verify(key, verify))
        return await asyncio.shield(verifying)

    def forget(self, shown: bytes) -> None:
        """Verify it again the next time."""
        self._known.pop(self._key(shown), None)

    async def _verify(self, key: bytes, verify: Callable[[], Awaitable[tuple[T, float]]]) -> T:
        try:
            found, seconds = await verify()
        finally:
            del self._verifying[key]
        self._known[key] = (time.monotonic() + seconds, found)
        self._known.move_to_end(key)
        while len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return found

    def _key(self, shown: bytes) -> bytes:
        return hashlib.blake2b(shown, key=self._salt, digest_size=32).digest()
