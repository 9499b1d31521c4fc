"""Seal what the service must read again, with its secret key, before it goes into the database.

A sealed text is a JWE (direct encryption, A256GCM). The setting `secret_key` may hold several keys,
divided by commas: the first one seals, all of them open, so that it can be changed without an outage.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

_HEADER = {"alg": "dir", "enc": "A256GCM"}
_ALGORITHMS = ["dir", "A256GCM"]


class Seal:
    """Seals and opens for one purpose: what was sealed for another one does not open."""

    def __init__(self, secret_key: str, purpose: str) -> None:
        """Use the setting; while that is empty, a key that this process alone has and nobody keeps."""
        given = [part.strip() for part in secret_key.split(",") if part.strip()]
        self._keys: Sequence[OctKey] = [
            _derived(key, purpose) for key in given or [secrets.token_urlsafe(32)]
        ]

    def seal(self, text: str) -> str:
        """The text, sealed with the first key."""
        return jwe.encrypt_compact(_HEADER, text.encode(), self._keys[0], algorithms=_ALGORITHMS)

    def open(self, sealed: str) -> str | None:
        """What was sealed; None when none of the keys opens it."""
        for key in self._keys:
            try:
                opened = jwe.decrypt_compact(sealed, key, algorithms=_ALGORITHMS)
            except (JoseError, ValueError):
                continue
            if opened.plaintext is not None:
                return opened.plaintext.decode()
        return None


def _derived(secret_key: str, purpose: str) -> OctKey:
    # The settings want so many characters that there is nothing to stretch.
    digest = hashlib.sha256(f"milepost {purpose}\0{secret_key}".encode()).digest()
    return OctKey.import_key(digest)
