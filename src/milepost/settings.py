"""Every setting, read once into one frozen object.

The command line wins over the environment, the environment over the default. Each field has a
`MILEPOST_…` variable of the same name in capitals (`batch_size_max` is `MILEPOST_BATCH_SIZE_MAX`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_network
from pathlib import Path

SECRET_KEY_CHARACTERS_MIN = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """How one Milepost service runs. Sizes are counts unless the name ends in a unit."""

    host: str = "127.0.0.1"
    port: int = 8080
    data_dir: Path = Path("milepost-data")
    """Holds the embedded PostgreSQL (`pg`), its lock and the generated `admin-token` and `secret-key`."""
    database_url: str = ""
    """A PostgreSQL >= 15; empty: the embedded one in `data_dir`."""
    pooler_url: str = field(default="", repr=False)
    """A PgBouncer before that database, for what needs no session of its own; empty: none."""
    workers: int = 1
    demo: bool = False
    admin_token: str = field(default="", repr=False)
    """Empty: generated on the first start into `data_dir/admin-token`, mode 0600."""
    secret_key: str = field(default="", repr=False)
    """Encrypts the private signing keys in the database. Several, divided by commas: the first encrypts,
    all decrypt. Empty: generated on the first start into `data_dir/secret-key`, mode 0600."""

    log_level: str = "INFO"
    log_requests: str = "errors"
    """Which requests get a line in the log: "all", "errors" (refused by the transport) or "none"."""

    batch_size_max: int = 500
    """Commands that one transaction may decide."""
    batches_in_flight_max: int = 2
    """Batches of one action and one organisation that may be in the database at once."""
    concurrent_batches_max: int = 8
    """Batches of all actions and organisations that one process may have in the database at once, and
    at most one fewer than its connections."""
    requests_in_flight_max: int = 5_000
    """Requests that one process may be answering; the next one is answered 503."""
    queue_size_max: int = 10_000
    """Commands that may wait in one process; the next one is answered 503."""
    pool_size_max: int = 10
    """Database connections of one worker process."""
    pool_timeout_seconds: float = 2.0
    """How long a batch waits for a connection before its commands are answered 503."""
    statement_timeout_seconds: float = 30.0
    connections_max: int = 20_000
    """Connections of one process, idle ones included; the next one is answered 503 and closed."""
    body_bytes_max: int = 1024 * 1024
    head_timeout_seconds: float = 20.0
    """How long a request's headers may take to arrive."""
    stall_timeout_seconds: float = 30.0
    """How long a caller may neither send what is missing of a body nor take what is answered."""
    body_bytes_per_second_min: int = 500
    """How fast a body has to come on the whole, `stall_timeout_seconds` on top; 0, and NDJSON: as it may."""
    credential_ttl_seconds: float = 20.0
    """How long a verified credential is believed without asking the database again."""
    idempotency_days: int = 0
    """How long the first answer under an Idempotency-Key is kept; 0: as long as the journal, for ever."""
    rate_limits: str = "default"
    """Requests per minute, credential and route: "default", "none", a region of the vendor's, or a list
    such as "POST /v2/customers=100, POST /milepost/v1/activities=6000"."""
    direct_earn_customers_max: int = 0
    """Customers that a `directEarn` call may name; 0: as many as its body holds."""
    due_work: bool = True
    """Whether this service also does what falls due in real organisations, in a process beside."""
    otlp_endpoint: str = ""
    """Where traces are sent, by OTLP over HTTP, such as "http://127.0.0.1:4318"; empty: nowhere."""
    sweep_seconds: float = 60.0
    """How often that process looks for due work that was left."""
    webhook_timeout_seconds: float = 10.0
    """How long a delivery to a webhook may take altogether."""
    webhook_retry_days: float = 7.0
    """How long a delivery is tried again, from its first try on; then it is a dead letter."""
    webhook_log_days: float = 30.0
    """How long what was delivered stays in the log."""
    webhook_allowed_networks: str = ""
    """Networks that deliveries may go to although they are not public: CIDR, divided by commas."""
    stop_timeout_seconds: float = 8.0
    """How long requests in flight may take after SIGTERM; the contract allows 10 s in all."""

    @property
    def embedded(self) -> bool:
        """Whether the database is our own, in `data_dir`."""
        return not self.database_url


class SettingError(ValueError):
    """A setting that cannot be used; the message names it and what it takes."""


def load(environment: Mapping[str, str], **given: object) -> Settings:
    """Settings from `environment` (`MILEPOST_…`), overridden by the `given` that are not None.

    Raises `SettingError` for a value of the wrong type or out of its bounds.
    """
    values: dict[str, object] = {}
    for each in fields(Settings):
        chosen = given.get(each.name)
        if chosen is None:
            chosen = environment.get(f"MILEPOST_{each.name.upper()}")
            if chosen is not None:
                chosen = _parse(each.name, str(each.type), str(chosen))
        if chosen is not None:
            values[each.name] = chosen
    settings = Settings(**values)  # type: ignore[arg-type]
    _check(settings)
    return settings


def _parse(name: str, kind: str, text: str) -> object:
    try:
        if kind == "bool":
            return {"1": True, "true": True, "0": False, "false": False, "": False}[text.lower()]
        return {"int": int, "float": float, "Path": Path, "str": str}[kind](text)
    except (KeyError, ValueError):
        raise SettingError(f"MILEPOST_{name.upper()}={text!r} is not a {kind}") from None


def _check(settings: Settings) -> None:
    if settings.pooler_url and settings.embedded:
        raise SettingError("MILEPOST_POOLER_URL needs the MILEPOST_DATABASE_URL that is behind it")
    bounds: dict[str, tuple[float, float]] = {
        "port": (0, 65_535),
        "workers": (1, 64),
        "batch_size_max": (1, 10_000),
        "batches_in_flight_max": (1, 64),
        "concurrent_batches_max": (1, 200),
        "requests_in_flight_max": (1, 100_000),
        "queue_size_max": (1, 1_000_000),
        "pool_size_max": (2, 200),
        "pool_timeout_seconds": (0.1, 60),
        "statement_timeout_seconds": (1, 600),
        "body_bytes_max": (1_024, 64 * 1024 * 1024),
        "connections_max": (1, 1_000_000),
        "head_timeout_seconds": (0.1, 3_600),
        "stall_timeout_seconds": (0.1, 3_600),
        "body_bytes_per_second_min": (0, 1_000_000),
        "credential_ttl_seconds": (0, 300),
        "idempotency_days": (0, 36_500),
        "direct_earn_customers_max": (0, 10_000),
        "sweep_seconds": (0.1, 3_600),
        "stop_timeout_seconds": (1, 300),
        "webhook_timeout_seconds": (0.1, 60),
        "webhook_retry_days": (0, 365),
        "webhook_log_days": (0, 3_650),
    }
    for name, (low, high) in bounds.items():
        value = getattr(settings, name)
        if not low <= value <= high:
            raise SettingError(f"{name} = {value}: must be from {low:g} to {high:g}")
    secret_keys = (
        [part.strip() for part in settings.secret_key.split(",")] if settings.secret_key else []
    )
    if any(len(key) < SECRET_KEY_CHARACTERS_MIN for key in secret_keys):
        raise SettingError(
            f"secret_key: each key must have at least {SECRET_KEY_CHARACTERS_MIN} characters"
        )
    if settings.log_requests not in ("all", "errors", "none"):
        raise SettingError(f"log_requests = {settings.log_requests!r}: must be all, errors or none")
    try:
        for part in settings.webhook_allowed_networks.split(","):
            if part.strip():
                ip_network(part.strip())
    except ValueError as error:
        raise SettingError(f"webhook_allowed_networks: {error}") from None
    if settings.otlp_endpoint and not settings.otlp_endpoint.startswith(("http://", "https://")):
        raise SettingError("otlp_endpoint must begin with http:// or https://")
    if settings.demo and settings.host not in ("127.0.0.1", "::1", "localhost"):
        raise SettingError("--demo makes known passwords, so it needs a loopback --host")
