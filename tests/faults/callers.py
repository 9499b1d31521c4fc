"""Callers who keep a service busy, whatever becomes of it, and remember what it acknowledged.

As any integration should, a caller sends what was not answered, or answered 503, again and unchanged.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from threading import Event
from typing import Any, NamedTuple

import httpx

from tests.faults.process import DEADLINE_SECONDS, Place
from tests.harness import Org
from tests.scenarios.vocabulary import ALREADY_ENROLLED

NDJSON_LINES = 40
CALL_CUSTOMERS = 5
PAUSE_SECONDS = 0.02
"""Between two requests of a caller: what is to be shown is what kills do, not how much it can take."""


class Answer(NamedTuple):
    """What has come of an answer: all of it, unless the connection broke off."""

    status: int
    body: bytes
    is_whole: bool


class Taken(NamedTuple):
    """What an answer acknowledges, and whether that is all that was asked."""

    ids: list[tuple[Any, ...]]
    is_all: bool = True


@dataclass(frozen=True)
class Wish:
    """A request. `take` reads an answer other than 503, and is told whether the request was sent before."""

    path: str
    body: Any
    take: Callable[[Answer, bool], Taken]
    key: str | None = None
    is_ndjson: bool = False


@dataclass
class Caller:
    """Sends the wishes of a kind, one after the other, each until it is acknowledged."""

    kind: str
    service: Place
    org: Org
    wishes: Iterator[Wish]
    acknowledged: list[tuple[Any, ...]] = field(default_factory=list)
    keys: list[tuple[str, bytes]] = field(default_factory=list)
    """The keys of acknowledged requests, with the answers."""
    repetitions: int = 0
    """How often something had to be sent again."""
    refusals: int = 0
    """How many of those were answered 503."""
    is_done: bool = False
    """Whether it has nothing more to wish."""

    def run(self, stop: Event, abandon: Event) -> None:
        """Until `stop` is set; what was begun then is finished, unless `abandon` is."""
        client: httpx.Client | None = None
        url = ""
        for wish in self.wishes:
            was_sent, deadline = False, time.monotonic() + DEADLINE_SECONDS
            while True:
                if client is None or url != self.service.url:
                    if client is not None:
                        client.close()
                    url, client = self.service.url, self.service.connect(self.org)
                answer = send(client, wish)
                if answer is not None and self._took(wish, answer, was_sent):
                    break
                self.refusals += answer is not None and answer.status == 503
                self.repetitions += 1
                was_sent = True
                assert time.monotonic() < deadline, (self.kind, answer)
                assert not abandon.is_set(), "the test has failed already"
                time.sleep(0.05)
            if stop.is_set():
                break
            time.sleep(PAUSE_SECONDS)
        else:
            self.is_done = True
        if client is not None:
            client.close()

    def _took(self, wish: Wish, answer: Answer, was_sent: bool) -> bool:
        """Whether the answer ends the wish."""
        busy = answer.status == 409 and wish.key is not None and was_sent
        if answer.status == 503 or busy:
            return False
        if not answer.is_whole and not wish.is_ndjson:
            return False
        taken = wish.take(answer, was_sent)
        self.acknowledged += taken.ids
        if taken.is_all and wish.key is not None:
            self.keys.append((wish.key, answer.body))
        return taken.is_all


def send(client: httpx.Client, wish: Wish) -> Answer | None:
    """What came of an answer before the connection broke, if it did; None: not even its status."""
    headers = {"Idempotency-Key": wish.key} if wish.key is not None else {}
    if wish.is_ndjson:
        headers["Content-Type"] = "application/x-ndjson"
        content = b"\n".join(json.dumps(line).encode() for line in wish.body)
    else:
        content = json.dumps(wish.body).encode()
    status, body = None, b""
    with suppress(httpx.TransportError):
        with client.stream("POST", wish.path, content=content, headers=headers) as answer:
            status = answer.status_code
            for piece in answer.iter_bytes():
                body += piece
        return Answer(status, body, is_whole=True)
    return Answer(status, body, is_whole=False) if status is not None else None


def decoded(answer: Answer) -> Any:
    """The body of a success."""
    assert answer.status == 200, answer
    return json.loads(answer.body)


def enrolments(group: int, target: int, customers: Iterator[int], *, keyed: bool) -> Iterator[Wish]:
    """Each customer once. With a key, the first answer comes again; without, that it was done."""
    for customer in customers:

        def take(answer: Answer, was_sent: bool, customer: int = customer) -> Taken:
            if was_sent and not keyed and answer.status == 400:
                assert json.loads(answer.body)["errors"][0]["code"] == ALREADY_ENROLLED, answer
            else:
                assert decoded(answer)["data"] == customer, answer
            return Taken([(customer,)])

        path = f"/v3/targetGroups/{group}/targets/{target}/enroll"
        yield Wish(
            path,
            [{"customerId": customer}],
            take,
            f"enrol {customer}" if keyed else None,
        )


def streams(customers: int, occurred_at: str) -> Iterator[Wish]:
    """NDJSON calls of purchases. What a broken answer has acknowledged must be a duplicate later.

    A line may be a duplicate the first time: the service itself tries again what it got no answer to.
    """
    number = 0
    while True:
        lines = []
        for _ in range(NDJSON_LINES):
            number += 1
            lines.append(purchase(f"line {number}", 1 + number % customers, occurred_at))
        known: set[str] = set()

        def take(
            answer: Answer,
            _: bool,
            lines: list[dict[str, Any]] = lines,
            known: set[str] = known,
        ) -> Taken:
            assert answer.status == 200, answer
            whole = answer.body.split(b"\n")[:-1]
            found: list[tuple[Any, ...]] = []
            for line, result in zip(lines, map(json.loads, whole), strict=False):
                assert result["id"] == line["id"]
                if result["status"] == "REJECTED":
                    assert [error["code"] for error in result["errors"]] == [503], result
                    continue
                if line["id"] in known:
                    assert result["status"] == "DUPLICATE", result
                    continue
                assert result["status"] in ("ACCEPTED", "DUPLICATE"), result
                known.add(line["id"])
                found.append((line["customerId"], line["id"]))
            return Taken(found, len(known) == len(lines))

        yield Wish("/milepost/v1/activities", lines, take, is_ndjson=True)


def singles(customers: int, occurred_at: str) -> Iterator[Wish]:
    """JSON calls of one purchase each."""
    number = 0
    while True:
        number += 1
        line = purchase(f"single {number}", 1 + number % customers, occurred_at)

        def take(answer: Answer, was_sent: bool, line: dict[str, Any] = line) -> Taken:
            (result,) = decoded(answer)["data"]
            if result["status"] == "REJECTED":
                assert [error["code"] for error in result["errors"]] == [503], result
                return Taken([], is_all=False)
            assert result["status"] == "ACCEPTED" or was_sent, result
            return Taken([(line["customerId"], line["id"])])

        yield Wish("/milepost/v1/activities", [line], take)


def purchase(name: str, customer: int, occurred_at: str) -> dict[str, Any]:
    """A purchase for 10."""
    return {
        "id": name,
        "customerId": customer,
        "type": "TRANSACTION",
        "occurredAt": occurred_at,
        "netAmount": 10,
    }


def issues(
    program: int, promotion: int, customers: Iterator[int], actions: tuple[str, ...]
) -> Iterator[Wish]:
    """Keyed calls for a few customers each: first all enrolled, then all issued; or issued at once.

    What the limit over all customers leaves no more of is acknowledged as nothing.
    """
    while len(named := list(islice(customers, CALL_CUSTOMERS))) == CALL_CUSTOMERS:
        for action in actions:

            def take(answer: Answer, _: bool, action: str = action) -> Taken:
                found: list[tuple[Any, ...]] = []
                for item in decoded(answer)["response"]:
                    if any(each["code"] == 503 for each in item["errors"]):
                        return Taken([], is_all=False)
                    assert not item["errors"], item
                    if item["warnings"]:
                        assert [each["code"] for each in item["warnings"]] == [8890], item
                    else:
                        name = "earnedId" if action == "EARN" else "issualId"
                        of = item["result"]
                        found.append((action, promotion, of["entityId"], int(of[name])))
                return Taken(found)

            body = {
                "type": "CUSTOMER",
                "bulkAction": action,
                "promotionDetails": {"programId": program, "promotionId": promotion},
                "identifierName": "id",
                "customers": [
                    {"identifierValue": str(each), "source": "INSTORE"} for each in named
                ],
            }
            yield Wish(
                "/v2/promotion/bulk/enrolAndEarn",
                body,
                take,
                key=f"{promotion} {action} {named[0]}",
            )


def registrations(prefix: str) -> Iterator[Wish]:
    """Keyed calls that register a customer each."""
    number = 0
    while True:
        number += 1
        mobile = f"{prefix}{number:08d}"

        def take(answer: Answer, _: bool, mobile: str = mobile) -> Taken:
            return Taken([(mobile, int(decoded(answer)["createdId"]))])

        body = {
            "profiles": [
                {"identifiers": [{"type": "mobile", "value": mobile}], "source": "INSTORE"}
            ]
        }
        yield Wish("/v2/customers", body, take, key=f"register {mobile}")
