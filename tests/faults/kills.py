"""Random kills under load, and what has become of everything that was acknowledged.

A run follows from its seed: whom it kills, and how long after the service was whole again.
"""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random
from threading import Event
from typing import Any

import psycopg

from milepost import clock
from milepost.imports.kinds import CUSTOMERS, ENROLMENTS
from tests.faults import callers
from tests.faults.acknowledged import CHECKS, astray
from tests.faults.callers import Caller
from tests.faults.process import Place, Process, wait_for
from tests.faults.shop import enrolling, import_rows
from tests.faults.victims import VICTIMS, kill, seconds_to
from tests.harness import Org
from tests.scenarios.promotion_vocabulary import offer
from tests.scenarios.vocabulary import Challenge, define_milestone, period
from tests.test_server import run
from tests.webhooks.conftest import register
from tests.webhooks.receiver import Receiver

BUYERS = 200
CUSTOMERS_PER_KILL = 150
"""For each kind of caller who wants customers of its own: more than it gets through between two kills."""
CUSTOMERS_MORE = 600
SHARE = 1_000_000
EARNS_PER_KILL = 10
"""How many there are of what is limited over all customers: it runs out before the end."""
DELAY_SECONDS_MAX = 1.0
Say = Callable[[str], None]


@dataclass
class Busy:
    """A service with callers, and what is known of what they were told."""

    service: Place
    org: Org
    enrolled: Challenge
    """What the callers enrol in."""
    spent: Challenge
    """What the purchases count in."""
    limited: int
    """The promotion of which there are only `limit` records."""
    limit: int
    callers: list[Caller]
    customers: int
    """Registered before."""
    receiver: Receiver | None
    """Who is told of enrolments, if anybody is."""

    def acknowledged(self) -> dict[str, list[tuple[Any, ...]]]:
        """The ids of all that was acknowledged so far, by kind."""
        found: dict[str, list[tuple[Any, ...]]] = {kind: [] for kind in CHECKS}
        for caller in self.callers:
            found[caller.kind] += list(caller.acknowledged)
            found["keys"] += list(caller.keys)
        return found

    def check(self) -> None:
        """Look for all that was acknowledged up to now: each has to be there, once."""
        with psycopg.connect(self.service.database_url) as connection:
            given = {"org": self.org.id, "target": self.enrolled.target_id}
            for kind, found in self.acknowledged().items():
                lost, doubled = astray(connection, CHECKS[kind], found, given)
                assert not lost, lost[:5]
                assert not doubled, doubled[:5]


def open_shop(service: Place, receiver: Receiver | None, folder: Path, kills: int) -> Busy:
    """A real organisation with what the callers need in a run of so many kills; `folder` is for files."""
    org = service.new_org()
    today = clock.now().date()
    cycle = [period("c1", today - timedelta(days=2), today + timedelta(days=30))]
    enrolled, spent = (define_milestone(org, periods=cycle) for _ in range(2))
    room = CUSTOMERS_PER_KILL * kills + CUSTOMERS_MORE
    ranges = [range(1, BUYERS + 1), *(range(n * SHARE, n * SHARE + room) for n in (1, 2, 3, 4))]
    rows = ({"customerId": each, "source": "INSTORE"} for each in itertools.chain(*ranges))
    import_rows(service, org, CUSTOMERS, folder, rows)
    import_rows(service, org, ENROLMENTS, folder, enrolling([spent], ranges[0]))
    if receiver is not None:
        register(org, receiver.url, eventNames=["targetCustomerEnrolment"])
    now, limit = clock.now(), EARNS_PER_KILL * kills
    dates = {"startDate": now.isoformat(), "endDate": (now + timedelta(days=30)).isoformat()}
    plenty = offer(org, **dates)
    few = offer(org, "LOYALTY", limits={"earnsPerPromotion": limit}, **dates)
    bought_at = (now - timedelta(days=1)).isoformat()
    wishes = (
        ("enrolments", callers.enrolments(*ids(enrolled), iter(ranges[1]), keyed=False)),
        ("enrolments", callers.enrolments(*ids(enrolled), iter(ranges[2]), keyed=True)),
        ("activities", callers.streams(BUYERS, bought_at)),
        ("activities", callers.singles(BUYERS, bought_at)),
        (
            "issues",
            callers.issues(plenty.program_id, plenty.id, iter(ranges[3]), ("ENROL", "EARN")),
        ),
        ("issues", callers.issues(few.program_id, few.id, iter(ranges[4]), ("EARN",))),
        ("customers", callers.registrations("91")),
    )
    everybody = [Caller(kind, service, org, each) for kind, each in wishes]
    registered = sum(map(len, ranges))
    return Busy(service, org, enrolled, spent, few.id, limit, everybody, registered, receiver)


def ids(challenge: Challenge) -> tuple[int, int]:
    """Its group and target."""
    return challenge.group_id, challenge.target_id


@contextmanager
def calling(busy: Busy) -> Iterator[Callable[[], None]]:
    """Everybody calls; at the end what was begun is finished. The function raises what a caller met."""
    stop, abandon = Event(), Event()
    with ThreadPoolExecutor(len(busy.callers)) as threads:
        running: list[Future[None]] = [
            threads.submit(caller.run, stop, abandon) for caller in busy.callers
        ]

        def look() -> None:
            for each in running:
                if each.done():
                    each.result()

        try:
            yield look
        except BaseException:
            abandon.set()
            raise
        finally:
            stop.set()
        for each in running:
            each.result()


def kill_again_and_again(folder: Path, kills: int, seed: int, say: Say) -> None:
    """So many random kills; fails if anything that was acknowledged is not there, or twice.

    Each of the victims has its turn first, in random order; from then on any.
    """
    random = Random(seed)
    turns = itertools.chain(random.sample(VICTIMS, len(VICTIMS)))
    with Receiver() as receiver, Process(folder / "data", workers=2) as service:
        busy = open_shop(service, receiver, folder, kills)
        with calling(busy) as look:
            for number in range(1, kills + 1):
                victim = next(turns, None) or random.choice(VICTIMS)
                delay_seconds = random.uniform(0, DELAY_SECONDS_MAX)
                time.sleep(delay_seconds)
                count = sum(map(len, busy.acknowledged().values()))
                recover = kill(service, victim, random)
                seconds = seconds_to(recover)
                look()
                busy.check()
                say(
                    f"seed {seed} kill {number:3} of {victim:10} {delay_seconds:.3f} s after the last; "
                    f"{count:7,} acknowledged; whole again after {seconds:5.2f} s"
                )
        compare(busy)
        checked = run("rebuild", "--check", "--data", str(service.data_dir))
        assert checked.returncode == 0, checked.stdout
        for line in summary(busy, receiver):
            say(f"seed {seed} {line}")
        say(f"seed {seed} lost: 0; doubled: 0; rebuild --check: {checked.stdout.strip()}")


def compare(busy: Busy) -> None:
    """Look for all that was acknowledged, and whether there is anything else.

    All that was begun has been finished by then, and what is to be told is told first.
    """
    busy.check()
    found = busy.acknowledged()
    enrolled = len(found["enrolments"])
    issued = Counter(action for action, *_ in found["issues"])
    limited = sum(promotion == busy.limited for _, promotion, *_ in found["issues"])
    assert limited == busy.limit, "the limit was not reached: there is nothing to see"
    for statement, expected in {
        "SELECT count(*) FROM enrolments WHERE org_id = %(org)s AND target_id = %(target)s": enrolled,
        "SELECT count(*) FROM activities WHERE org_id = %(org)s": len(found["activities"]),
        "SELECT sum(value) FROM progress WHERE target_id = %(spent)s": 10
        * len(found["activities"]),
        "SELECT count(*) FROM customers WHERE org_id = %(org)s": busy.customers
        + len(found["customers"]),
        "SELECT count(*) FROM issuals WHERE org_id = %(org)s AND NOT is_dummy": issued["ENROL"],
        "SELECT count(*) FROM earns WHERE org_id = %(org)s": issued["EARN"],
        "SELECT earns FROM promotion_usage WHERE promotion_id = %(limited)s": busy.limit,
        "SELECT count(*) FROM idempotency_keys WHERE org_id = %(org)s": len(found["keys"]),
    }.items():
        assert counted(busy, statement) == expected, statement
    if busy.receiver is not None:
        pending = "SELECT count(*) FROM deliveries WHERE status <> 'DELIVERED'"
        wait_for(lambda: counted(busy, "SELECT count(*) FROM webhook_outbox") == 0)
        wait_for(lambda: counted(busy, pending) == 0)
        assert counted(busy, "SELECT count(*) FROM deliveries") == enrolled
        told = Counter(each.customer for each in busy.receiver.firsts())
        assert told == Counter(customer for (customer,) in found["enrolments"])


def counted(busy: Busy, statement: str) -> int:
    """The only figure of a row."""
    given = {
        "org": busy.org.id,
        "target": busy.enrolled.target_id,
        "spent": busy.spent.target_id,
        "limited": busy.limited,
    }
    with psycopg.connect(busy.service.database_url) as connection:
        ((found,),) = connection.execute(statement.encode(), given).fetchall()
        return int(found or 0)


def summary(busy: Busy, receiver: Receiver) -> Iterator[str]:
    """What to print at the end of a run in which nothing was lost."""
    found = busy.acknowledged()
    lines = sum(
        identity.startswith("line")
        for _, identity in found["activities"]  # of NDJSON
    )
    issued = Counter(action for action, *_ in found["issues"])
    yield (
        f"acknowledged: {len(found['enrolments']):,} enrolments, {lines:,} activities in NDJSON, "
        f"{len(found['activities']) - lines:,} one by one, {issued['ENROL']:,} enrolments in promotions, "
        f"{issued['EARN']:,} earned records ({busy.limit:,} of a promotion limited to {busy.limit:,}), "
        f"{len(found['customers']):,} customers, {len(found['keys']):,} keyed requests"
    )
    repeated, refused = (
        sum(getattr(each, name) for each in busy.callers) for name in ("repetitions", "refusals")
    )
    yield f"sent again: {repeated:,} requests, {refused:,} of them after a 503"
    firsts, taken = len(receiver.firsts()), len(receiver.taken)
    yield f"webhooks: {firsts:,} delivered, {taken - firsts:,} sent once more; outbox empty"
