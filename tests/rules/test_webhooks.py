"""What may be asked of a webhook endpoint."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from milepost.errors import INVALID_INPUT, Refusal
from milepost.rules.customers import Identifier, Profile
from milepost.rules.definitions import Actor
from milepost.rules.envelopes import Recipient
from milepost.rules.webhooks import (
    FOREIGN_EVENTS,
    SENT_EVENTS,
    WEBHOOKS_MAX,
    Webhook,
    WebhookDraft,
    drafted_webhook,
    told_recipient,
)

ACTOR = Actor(7, datetime(2026, 6, 1, tzinfo=UTC))
NEW = Webhook("0" * 24, "", "")
DRAFT = WebhookDraft(name="Shop", url="https://shop.example/hook", event_names=("streakStart",))


def draft(**fields: Any) -> Webhook | Refusal:
    return drafted_webhook(replace(DRAFT, **fields), NEW, (), ACTOR)


def test_name_url_and_events_are_enough() -> None:
    made = draft()
    assert isinstance(made, Webhook)
    assert (made.connections_max, made.sla_seconds, made.active, made.envelope) == (
        10, 3600, True, "raw"
    )  # fmt: skip
    assert (made.created, made.updated) == (ACTOR, ACTOR)


def test_what_is_absent_stays_and_events_are_replaced() -> None:
    made = draft(headers={"X-Key": "a"}, connections_max=3, flags={"tillDetails": True})
    assert isinstance(made, Webhook)
    later = Actor(8, datetime(2026, 6, 2, tzinfo=UTC))
    changed = drafted_webhook(
        WebhookDraft(event_names=("streakEnd", "streakEnd"), flags={"storeDetails": True}),
        made,
        (made,),
        later,
    )
    assert changed == replace(
        made,
        event_names=("streakEnd",),
        flags={"tillDetails": True, "storeDetails": True},
        updated=later,
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example", "https://shop.example:8443/a/b?c=d&e=%20", "HTTPS://Shop.Example/",
        "http://127.0.0.1:8080/hook", "https://[2606:4700::1111]:443/", "http://my_host/x",
        "https://shop.example/a@b:c", "https://shop.example?x=1", "https://shop.example./",
    ],
)  # fmt: skip
def test_a_url_of_http_or_https_with_a_host_is_taken(url: str) -> None:
    assert isinstance(draft(url=url), Webhook)


@pytest.mark.parametrize(
    "url",
    [
        "", " ", "shop.example", "//shop.example", "ftp://shop.example/", "file:///etc/passwd",
        "javascript:alert(1)", "https://", "https:///path", "https://:80/", "https://user@shop.example/",
        "https://user:pass@shop.example/", "https://shop.example/#part", "https://shop.example:0/",
        "https://shop.example:65536/", "https://shop.example:x/", "https://shop example/",
        "https://shop.example/a b", "https://shop.example/\r\nX: y", "https://shöp.example/",
        "https://shop.example/ü", "https://shop.example\\@evil.example/", "https://-shop.example/",
        "https://[::1/", "https://shop.example/" + "x" * 2_048, "https://shop.example/\x00",
        "https://shop.example:٨٠/",
    ],
)  # fmt: skip
def test_any_other_url_is_300004(url: str) -> None:
    refused = draft(url=url)
    assert isinstance(refused, Refusal)
    assert (refused.error, refused.detail.split()[0]) == (INVALID_INPUT, "webHookUrl")


@pytest.mark.parametrize(
    "headers",
    [
        {"": "a"}, {"X Key": "a"}, {"X:Key": "a"}, {"X-Key\r\n": "a"}, {"Ü": "a"}, {"x" * 101: "a"},
        {"X-Key": "a\r\nX-Other: b"}, {"X-Key": "a\nb"}, {"X-Key": "\x00"}, {"X-Key": " a"},
        {"X-Key": "ü"}, {"X-Key": "a" * 4_097}, {"Host": "other"}, {"Content-Length": "3"},
        {"content-type": "text/plain"}, {"Transfer-Encoding": "chunked"}, {"Connection": "close"},
        {"Upgrade": "h2c"}, {"Proxy-Authorization": "a"}, {"Cookie": "a=b"}, {"Expect": "100-continue"},
        {"Webhook-Signature": "v1,a"}, {"webhook-id": "1"}, {"X-A": "1", "x-a": "2"},
        {f"X-{n}": "a" for n in range(51)},
    ],
)  # fmt: skip
def test_a_header_that_cannot_be_or_is_not_the_endpoints_is_300004(headers: dict[str, str]) -> None:
    refused = draft(headers=headers)
    assert isinstance(refused, Refusal)
    assert refused.detail.startswith("webHookHeaders")


def test_headers_of_the_endpoint_are_taken() -> None:
    headers = {"Authorization": "Bearer a b", "X-Key": "a\tb", "X-Empty": ""}
    made = draft(headers=headers)
    assert isinstance(made, Webhook)
    assert made.headers == headers


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "  "), ("name", "x" * 201), ("kind", "KAFKA"), ("method", "GET"),
        ("event_names", ()), ("event_names", ("streakStart", "unknown")), ("event_names", ("*",)),
        ("connections_max", 0), ("connections_max", 101), ("sla_seconds", 0),
        ("sla_seconds", 604_801), ("envelope", "xml"), ("enriched_identifiers", (" ",)),
        ("enriched_identifiers", ("mobile",) * 21), ("enriched_identifiers", ("x" * 101,)),
    ],
)  # fmt: skip
def test_a_value_out_of_its_bounds_is_300004(field: str, value: object) -> None:
    assert isinstance(draft(**{field: value}), Refusal)


def test_the_vendors_other_events_may_be_named_and_its_words_be_written_in_any_case() -> None:
    made = draft(
        event_names=(*SENT_EVENTS, *FOREIGN_EVENTS), kind="http", method="post", envelope="RAW"
    )
    assert isinstance(made, Webhook)


def test_a_name_is_taken_in_any_case_but_by_itself() -> None:
    made = draft()
    assert isinstance(made, Webhook)
    other = replace(NEW, id="1" * 24)
    assert isinstance(drafted_webhook(replace(DRAFT, name="SHOP"), other, (made,), ACTOR), Refusal)
    renamed = drafted_webhook(WebhookDraft(name="SHOP"), made, (made,), ACTOR)
    assert isinstance(renamed, Webhook)


def test_an_organisation_has_a_hundred_endpoints_at_most() -> None:
    others = [replace(NEW, id=f"{n:024x}", name=str(n)) for n in range(WEBHOOKS_MAX)]
    assert isinstance(drafted_webhook(DRAFT, replace(NEW, id="f" * 24), others, ACTOR), Refusal)


def test_a_customer_is_told_of_with_the_identifiers_that_are_enriched() -> None:
    known = (Identifier("mobile", "91"), Identifier("externalId", "e"))
    recipient = Recipient(1, 2, "loyalty", [Profile("INSTORE", "", known, "A", "B")], {})
    webhook = replace(NEW, enriched_identifiers=("externalid",))
    (profile,) = told_recipient(webhook, recipient).profiles
    assert profile.identifiers == (Identifier("externalId", "e"),)
    assert (profile.first_name, profile.last_name) == ("A", "B")
    (bare,) = told_recipient(NEW, recipient).profiles
    assert bare.identifiers == ()
