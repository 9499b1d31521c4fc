"""Make, change and delete webhook endpoints, renew their secrets, and deliver again (domain: promotions §7).

Endpoints are edited as definitions are: each edit with the newest ones, and lost if another was faster.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from milepost.actions.definitions import BOUNDARY
from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.audit import AuditEntry, record_entry
from milepost.rules.definitions import Actor
from milepost.rules.webhooks import Webhook, WebhookDraft, drafted_webhook
from milepost.runner import Decided, Moment
from milepost.store import webhooks as store
from milepost.store.audit import insert_audit
from milepost.store.definitions import claim_definitions


@dataclass(frozen=True, slots=True)
class DefineWebhook:
    """Make an endpoint; `webhook_id` and `secret` are new ones."""

    credential_id: int
    webhook_id: str
    secret: str
    draft: WebhookDraft
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class EditWebhook:
    """Change what the draft says."""

    credential_id: int
    webhook_id: str
    draft: WebhookDraft
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class DeleteWebhook:
    """Take an endpoint away."""

    credential_id: int
    webhook_id: str
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class RenewSecret:
    """Sign with a new secret; the one before goes on for some hours, 0 to 168."""

    credential_id: int
    webhook_id: str
    secret: str
    old_secret_hours: int
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Replay:
    """Deliver again: the events named; or all that happened from `since` on; or else all dead letters."""

    credential_id: int
    webhook_id: str
    event_ids: tuple[str, ...] | None = None
    since: datetime | None = None
    request_id: str = ""


Command = DefineWebhook | EditWebhook | DeleteWebhook | RenewSecret | Replay


@dataclass(slots=True)
class Done:
    """The outcome of an accepted edit: the endpoint, None once deleted; and how many deliveries go again."""

    webhook: Webhook | None
    zone: ZoneInfo
    """The organisation's."""
    replayed: int = 0
    old_secret_until: datetime | None = None
    """Of a renewed secret."""


@dataclass(frozen=True, slots=True)
class Saving:
    """What an edit saves."""

    command: Command
    done: Done
    now: datetime
    audit: AuditEntry


class WebhookEdits:
    """Outcome per command: a `Done`, or a `Refusal`. Boundary: the organisation's definitions."""

    name = "webhooks"
    batch_size_max: int | None = 1

    def boundary(self, command: Command) -> str:
        """All definitions of the organisation, for names are unique in it."""
        return BOUNDARY

    async def load(
        self,
        tx: Tx,
        tenant: Tenant,
        commands: Sequence[Command],
        moment: Callable[[], Awaitable[Moment]],
    ) -> list[Webhook]:
        """The organisation's endpoints."""
        return await store.load_webhooks(tx, tenant)

    def decide(self, state: list[Webhook], commands: Sequence[Command], moment: Moment) -> Decided:
        """Decide the one command of the batch."""
        (command,) = commands
        before = next((each for each in state if each.id == command.webhook_id), None)
        done = _decide(state, before, command, moment)
        if isinstance(done, Refusal):
            return Decided([done])
        audit = _audit(command, before, done.webhook, moment)
        return Decided([done], {BOUNDARY: Saving(command, done, moment.now, audit)})

    async def claim(
        self, tx: Tx, tenant: Tenant, changes: Mapping[str, Saving], moment: Moment
    ) -> set[str]:
        """The boundary, if the definitions are still those that the edit was decided with."""
        won = await claim_definitions(tx, tenant, moment.definitions.revision)
        return {BOUNDARY} if won else set()

    async def save(self, tx: Tx, tenant: Tenant, changes: Mapping[str, Saving]) -> None:
        """The endpoint, its secret, or what is to be delivered again."""
        saving = changes[BOUNDARY]
        command, done = saving.command, saving.done
        await insert_audit(tx, [saving.audit])
        match command:
            case DefineWebhook() | EditWebhook():
                assert done.webhook is not None
                secret = command.secret if isinstance(command, DefineWebhook) else ""
                await store.save_webhook(tx, tenant, done.webhook, secret)
            case DeleteWebhook():
                await store.delete_webhook(tx, tenant, command.webhook_id)
            case RenewSecret():
                until = saving.done.old_secret_until
                assert until is not None
                await store.save_secret(tx, tenant, command.webhook_id, command.secret, until)
            case Replay():
                done.replayed = await store.replay(
                    tx, tenant, command.webhook_id, saving.now, command.event_ids, command.since
                )


WEBHOOK_EDITS = WebhookEdits()


def _decide(
    webhooks: Sequence[Webhook], before: Webhook | None, command: Command, moment: Moment
) -> Done | Refusal:
    now, zone = moment.now, moment.definitions.zone
    if isinstance(command, DefineWebhook):
        before = Webhook(command.webhook_id, "", "")
    elif before is None:
        return unknown_webhook()
    match command:
        case DefineWebhook() | EditWebhook():
            actor = Actor(command.credential_id, now)
            after = drafted_webhook(command.draft, before, webhooks, actor)
            return after if isinstance(after, Refusal) else Done(after, zone)
        case DeleteWebhook():
            return Done(None, zone)
        case RenewSecret():
            until = now + timedelta(hours=command.old_secret_hours)
            return Done(before, zone, old_secret_until=until)
        case Replay():
            return Done(before, zone)


def _audit(
    command: Command, before: Webhook | None, after: Webhook | None, moment: Moment
) -> AuditEntry:
    """Who did it. Values of headers and the query of the URL may be secrets, so they are not told."""
    org_id, actor = moment.definitions.org_id, Actor(command.credential_id, moment.now)
    one, other = (_told(each) if each is not None else None for each in (before, after))
    subject = ("WEBHOOK", command.webhook_id)
    entry = record_entry(org_id, actor, command.request_id, *subject, one, other)
    match command:
        case RenewSecret():
            return replace(entry, action="SECRET_RENEWED")
        case Replay():
            return replace(entry, action="REPLAYED")
        case _:
            return entry


def _told(webhook: Webhook) -> Webhook:
    headers = dict.fromkeys(webhook.headers, "…")
    return replace(webhook, url=webhook.url.partition("?")[0], headers=headers)


def unknown_webhook() -> Refusal:
    """300004: there is no such endpoint, or it is another organisation's."""
    return Refusal(INVALID_INPUT, "No webhook has this id.")
