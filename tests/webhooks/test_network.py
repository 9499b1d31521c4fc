"""Where deliveries may not go, and what they do not wait for."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from milepost import clock
from milepost.database import Tenant
from milepost.rules.addresses import parse_networks
from milepost.rules.deliveries import Answer, Health
from milepost.rules.webhooks import Webhook
from milepost.settings import SettingError, Settings, load
from milepost.store.webhooks import Endpoint
from milepost.worker.network import AddressRefused, CheckedNetwork
from milepost.worker.sending import Sender
from tests.webhooks.receiver import Receiver, Reply

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "6f1c7f0e-8a3b-5d4e-9c52-1f2e3d4c5b6a"
BODY = b'{"data": {"customerIdentifiers": {"customerId": 1}}}'


def endpoint(url: str, **headers: str) -> Endpoint:
    webhook = Webhook("0" * 24, "hook", url, headers)
    now = datetime(2026, 6, 1, tzinfo=UTC)
    return Endpoint(Tenant(1, 1), webhook, (SECRET,), Health(), now)


async def send(settings: Settings, url: str) -> Answer:
    sender = Sender(settings)
    try:
        return await sender.send(endpoint(url), ID, BODY)
    finally:
        await sender.close()


@pytest.fixture
async def sender(delivery_settings: Settings) -> AsyncIterator[Sender]:
    made = Sender(delivery_settings)
    yield made
    await made.close()


@pytest.fixture
def delivery_settings() -> Settings:
    return Settings(webhook_allowed_networks="127.0.0.0/8", webhook_timeout_seconds=1.0)


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "169.254.169.254", "[::1]", "[::ffff:127.0.0.1]", "10.0.0.1", "0.0.0.0",  # noqa: S104 - refused
     "2130706433", "0x7f000001", "127.1", "0177.0.0.1"],
)  # fmt: skip
async def test_a_private_address_is_refused_however_it_is_named(
    receiver: Receiver, host: str
) -> None:
    answer = await send(Settings(), f"http://{host}:{receiver.port}/hook")
    assert answer.status is None
    assert answer.text.startswith("The address is not allowed")
    assert receiver.received == []


async def test_a_host_with_one_address_that_is_not_allowed_is_refused_whole() -> None:
    """`localhost` is loopback in both families here, of which one alone is allowed."""
    network = CheckedNetwork(parse_networks("::1/128"))
    with pytest.raises(AddressRefused):
        await network.connect_tcp("localhost", 9)
    with pytest.raises(AddressRefused):
        await network.connect_unix_socket("/tmp/socket")  # noqa: S108 - none is opened


async def test_an_unknown_host_is_an_error_to_try_again_after() -> None:
    answer = await send(Settings(), "http://no-such-host.invalid/hook")
    assert answer.status is None
    assert "cannot be resolved" in answer.text


async def test_an_allowed_network_is_reached_by_name_too(
    receiver: Receiver, sender: Sender, delivery_settings: Settings
) -> None:
    wider = replace(delivery_settings, webhook_allowed_networks="127.0.0.0/8,::1/128")
    answer = await send(wider, f"http://localhost:{receiver.port}/hook")
    assert answer.status == 200
    (received,) = receiver.received
    assert received.headers["host"] == f"localhost:{receiver.port}"
    received.verify(SECRET)


async def test_the_whole_exchange_is_bounded_in_time_and_what_is_kept_in_size(
    receiver: Receiver, sender: Sender
) -> None:
    hook = endpoint(receiver.url)
    receiver.behaviour = lambda _: Reply(stalls=True)
    stalled = await sender.send(hook, ID, BODY)
    assert (stalled.status, stalled.text) == (None, "No answer within 1 s.")
    receiver.behaviour = lambda _: Reply(500, body=b"\x00" + b"x" * 100_000)
    long = await sender.send(hook, ID, BODY)
    assert long.status == 500
    assert long.text == "\N{REPLACEMENT CHARACTER}" + "x" * 1_023
    receiver.behaviour = lambda _: Reply(429, headers={"Retry-After": "30"}, body=b"")
    assert (await sender.send(hook, ID, BODY)).retry_after_seconds == 30


async def test_a_receiver_that_drips_is_not_waited_for(sender: Sender) -> None:
    """Every read succeeds in time, but the answer never ends."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}}}")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        try:
            for _ in range(200):
                writer.write(b".")
                await writer.drain()
                await asyncio.sleep(0.05)
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(5):
        answer = await sender.send(endpoint(f"http://127.0.0.1:{port}/"), ID, BODY)
    server.close()
    assert answer.status == 200  # that it had it, the receiver has said


@pytest.mark.parametrize(
    "nonsense",
    [b"", b"hello\r\n\r\n", b"HTTP/1.1 200\r\nbad header\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000],
    ids=["nothing", "words", "header", "endless header"],
)  # fmt: skip
async def test_what_is_no_http_is_an_error_to_try_again_after(
    sender: Sender, nonsense: bytes
) -> None:
    async def answer_nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}}}")
        writer.write(nonsense)
        writer.close()

    server = await asyncio.start_server(answer_nonsense, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answer = await sender.send(endpoint(f"http://127.0.0.1:{port}/"), ID, BODY)
    server.close()
    assert answer.status is None
    assert answer.text


async def test_a_certificate_must_be_valid_for_the_host_of_the_url(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who trusts its authority reaches it by its name, which TLS asks for, and by no other."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    write_certificate("localhost", certificate, key)
    asked: list[str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.sni_callback = lambda _, name, __: asked.append(name)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"}}}")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    settings = Settings(webhook_allowed_networks="127.0.0.0/8,::1/128")
    unknown = await send(settings, f"https://localhost:{port}/")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    trusted = await send(settings, f"https://localhost:{port}/")
    by_address = await send(settings, f"https://127.0.0.1:{port}/")
    server.close()
    assert (unknown.status, trusted.status, by_address.status) == (None, 200, None)
    assert "certificate" in unknown.text.lower()
    assert asked[:2] == ["localhost", "localhost"]


def write_certificate(host: str, certificate: Path, key: Path) -> None:
    """A certificate that is its own authority."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = clock.now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


async def test_the_endpoints_headers_cannot_replace_ours_and_proxies_are_not_asked(
    receiver: Receiver, sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    answer = await sender.send(endpoint(receiver.url, **{"X-Key": "a"}), ID, BODY)
    assert answer.status == 200
    (received,) = receiver.received
    assert received.headers["x-key"] == "a"
    assert received.headers["webhook-id"] == ID
    assert received.headers["user-agent"].startswith("Milepost/")
    assert "cookie" not in received.headers


def test_a_setting_that_is_no_list_of_networks_ends_the_start() -> None:
    assert load(
        {"MILEPOST_WEBHOOK_ALLOWED_NETWORKS": "10.0.0.0/8, ::1/128"}
    ).webhook_allowed_networks
    with pytest.raises(SettingError, match="webhook_allowed_networks"):
        load({"MILEPOST_WEBHOOK_ALLOWED_NETWORKS": "10.0.0.0/99"})
