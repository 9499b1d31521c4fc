"""Sends one notification to one endpoint: signed, bounded in time and size, and following nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime

import httpcore

from milepost import __version__, clock
from milepost.rules.addresses import parse_networks
from milepost.rules.deliveries import Answer, read_retry_after
from milepost.settings import Settings
from milepost.store.webhooks import Endpoint
from milepost.worker.network import AddressRefused, CheckedNetwork

CONNECTIONS_MAX = 500
"""Of one process, to all receivers together."""
IDLE_SECONDS = 15.0
RESPONSE_BYTES_MAX = 1_024
"""What is kept of an answer; of the rest nothing is read, and the connection is closed."""


class Sender:
    """The connections of one process to all receivers."""

    def __init__(self, settings: Settings) -> None:
        self._timeout_seconds = settings.webhook_timeout_seconds
        self._pool = httpcore.AsyncConnectionPool(
            # Once: to read the certificates for each connection takes longer than most receivers do.
            ssl_context=httpcore.default_ssl_context(),
            max_connections=CONNECTIONS_MAX,
            max_keepalive_connections=CONNECTIONS_MAX // 5,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=CheckedNetwork(parse_networks(settings.webhook_allowed_networks)),
        )

    async def send(self, endpoint: Endpoint, event_id: str, body: bytes) -> Answer:
        """What the receiver answered, or why it did not within the time for the whole exchange."""
        headers = _headers(endpoint, event_id, body, clock.now())
        status: int | None = None
        try:
            async with asyncio.timeout(self._timeout_seconds):
                async with self._pool.stream(
                    "POST", endpoint.webhook.url, headers=list(headers.items()), content=body
                ) as response:
                    status = response.status
                    text = await _beginning(response)
                    retry_after = _retry_after(response)
        except AddressRefused as refused:
            return Answer(None, f"The address is not allowed: {refused}.")
        except TimeoutError:
            # Who has answered with a status has answered, even if the rest never comes.
            said = "" if status is not None else f"No answer within {self._timeout_seconds:g} s."
            return Answer(status, said)
        except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError) as error:
            return Answer(status, _reason(error))
        except (OSError, ValueError, RuntimeError) as error:
            return Answer(status, _reason(error))
        return Answer(status, text, retry_after)

    async def close(self) -> None:
        """Close every connection."""
        with suppress(Exception):
            await self._pool.aclose()


def _headers(endpoint: Endpoint, event_id: str, body: bytes, at: datetime) -> Mapping[str, str]:
    """The endpoint's own headers and, whatever those are, ours: Standard Webhooks, with the wall clock."""
    from standardwebhooks import Webhook  # noqa: PLC0415 - only who delivers needs it

    text = body.decode()
    signatures = (Webhook(secret).sign(event_id, at, text) for secret in endpoint.secrets)
    return {
        **endpoint.webhook.headers,
        "Content-Type": "application/json",
        "User-Agent": f"Milepost/{__version__}",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


async def _beginning(response: httpcore.Response) -> str:
    """The first bytes of an answer, as text that can be stored."""
    found = b""
    async for part in response.aiter_stream():
        found += part[: RESPONSE_BYTES_MAX - len(found)]
        if len(found) >= RESPONSE_BYTES_MAX:
            break
    return found.decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _retry_after(response: httpcore.Response) -> float:
    for name, value in response.headers:
        if name.lower() == b"retry-after":
            return read_retry_after(value.decode("latin-1"))
    return 0.0


def _reason(error: Exception) -> str:
    said = str(error).replace("\x00", "")[:RESPONSE_BYTES_MAX]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__
