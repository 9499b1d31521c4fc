"""Deliveries: found as they fall due, and sent endpoint by endpoint, each customer's in order.

What there is to deliver, and how far it is, stands in the tables. A job only says that an endpoint has
something due; the endpoint itself is taken by a lock that dies with its process. So being killed at any
moment costs a repetition and never a notification.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from procrastinate import App

from milepost import clock
from milepost.actions.deliveries import (
    Place,
    expand_outbox,
    load_endpoint,
    payloads,
    place_of,
)
from milepost.database import DatabaseUnavailable, Tx
from milepost.logs import log
from milepost.rules.deliveries import (
    DELIVERED,
    PAUSE_AFTER_CUSTOMERS,
    PENDING,
    Delivery,
    Queue,
    Tried,
    after_try,
    by_queue,
    given_up,
    health_after,
)
from milepost.runner import Runner
from milepost.settings import Settings
from milepost.store import deliveries as store
from milepost.store.deliveries import Source
from milepost.store.locks import Locks
from milepost.store.webhooks import Endpoint
from milepost.worker.sending import Sender

QUEUE = "deliveries"
TASK = "deliver"
"""Both, and the task's arguments, are what the database's function `jobs.ring_deliveries` writes."""
ENDPOINTS_AT_ONCE = 16
LOOK_SECONDS = 0.5
"""How often somebody looks whether anything is due: that is how late a delivery may begin."""
POLL_SECONDS = 0.25
ROUND_SECONDS = 1.0
"""After so long what has been answered is written down; who has not answered by then is waited for beside."""
PER_CONNECTION = 40
"""Deliveries, or customers if they are more, that a round looks for: so many for each connection, at most."""
TURN_SECONDS = 20.0
"""After so long an endpoint lets others have its place, and queues again for what is left."""
IN_A_ROW_MAX = 20
"""Deliveries of one customer in a round."""
REPLAYED_CUSTOMERS = 2_000
CLEARED_MAX = 20_000
"""Lines of the log of an organisation that are forgotten in one sweep."""


@dataclass(slots=True)
class Post:
    """What deliveries of one process share."""

    runner: Runner
    settings: Settings
    sender: Sender
    locks: Locks
    is_ending: bool = False
    """Nothing more is begun; what is under way is written down if it comes in time."""

    async def close(self) -> None:
        """Close connections and give locks back."""
        await self.sender.close()
        await self.locks.close()


def open_post(runner: Runner, settings: Settings) -> Post:
    """A post on a runner; nothing is connected yet."""
    return Post(runner, settings, Sender(settings), Locks(runner.database.url))


def add_deliveries(app: App, post: Post) -> None:
    """The job queue's task of deliveries."""

    @app.task(name=TASK, queue=QUEUE)
    async def deliver_due(org_id: int, webhook_id: str) -> None:
        """Deliver what is due at an endpoint."""
        try:
            await deliver(post, org_id, webhook_id)
        except DatabaseUnavailable as error:
            log("deliveries_unavailable", "warning", org=org_id, cause=str(error))
        except Exception as error:  # noqa: BLE001 - one endpoint's must not end the others'
            log("deliveries_failed", "error", org=org_id, webhook=webhook_id, error=error)


async def look(post: Post) -> None:
    """Set a job for whatever is due, again and again, for ever."""

    async def ring(tx: Tx) -> None:
        await store.ring_deliveries(tx, clock.now())

    while True:
        try:
            await post.runner.operate(ring)
        except DatabaseUnavailable as error:
            log("deliveries_unavailable", "warning", cause=str(error))
        await asyncio.sleep(LOOK_SECONDS)


async def clear_log(post: Post) -> None:
    """Forget what was delivered long ago."""

    async def clear(tx: Tx) -> None:
        await store.clear(tx, clock.now(), post.settings.webhook_log_days, CLEARED_MAX)

    await post.runner.operate(clear)


async def deliver(post: Post, org_id: int, webhook_id: str) -> None:
    """Send what is due at an endpoint until nothing is, unless another process or task is at it.

    Raises `DatabaseUnavailable`; what had not been written down by then is sent again.
    """
    name = f"webhook {org_id} {webhook_id}"
    async with post.locks.held(name) as lock:
        if lock is None:
            return
        traffic = _Traffic(time.monotonic() + TURN_SECONDS)
        try:
            while await _round(post, org_id, webhook_id, traffic):
                await lock.check()
        finally:
            for lane in traffic.lanes:
                lane.cancel()
            await asyncio.gather(*traffic.lanes, return_exceptions=True)


@dataclass(slots=True)
class _Traffic:
    """What is on its way to an endpoint: each lane sends one thing at a time, for one customer."""

    ends_at: float
    """On the monotonic clock: after it nothing more is looked for."""
    lanes: set[asyncio.Task[None]] = field(default_factory=set)
    busy: set[Queue] = field(default_factory=set)
    """Those of whom something is on its way, or has come of it what is not written down yet."""
    left: list[Queue] = field(default_factory=list)
    """Those of the busy whose lane is done with them."""
    tried: list[Tried] = field(default_factory=list)
    """Not written down yet."""
    failing: set[Queue] = field(default_factory=set)
    """Whose deliveries have failed since one came through."""
    served: set[Queue] = field(default_factory=set)
    """Who had their turn, and may have more to send: the others come first."""
    size: int = 0
    """Deliveries that the next round should look for; 0: not known yet."""

    def land(self) -> tuple[list[Tried], list[Queue]]:
        """What has come of it so far, and who is no longer busy once that is written down."""
        landed = self.tried, self.left
        self.tried, self.left = [], []
        for lane in [lane for lane in self.lanes if lane.done()]:
            self.lanes.remove(lane)
            lane.result()  # a defect ends the job
        return landed


@dataclass(slots=True)
class _Round:
    """What the lanes that begin together share."""

    endpoint: Endpoint
    queues: Iterator[Sequence[Delivery]]
    bodies: Mapping[Place, bytes]
    ends_at: float
    """On the monotonic clock: after it nothing more is begun."""


async def _round(post: Post, org_id: int, webhook_id: str, traffic: _Traffic) -> bool:
    """Look for what is due, begin it, write down what has come of it; returns whether to go on."""
    endpoint = await load_endpoint(post.runner, org_id, webhook_id)
    if endpoint is None:
        return False
    expanded = await _expand(post, endpoint)
    is_over = post.is_ending or time.monotonic() >= traffic.ends_at
    free = 0 if is_over else endpoint.webhook.connections_max - len(traffic.lanes)
    due = await _load_due(post, endpoint, traffic, free)
    if not due and not traffic.lanes:
        return not is_over and (expanded or await _replay(post, endpoint))
    bodies = await payloads(post.runner, endpoint, due)
    queues = by_queue(due)
    ends_at = time.monotonic() + ROUND_SECONDS
    begun = _Round(endpoint, iter(queues.values()), bodies, ends_at)
    lanes = {
        asyncio.create_task(_send(post, begun, traffic)) for _ in range(min(free, len(queues)))
    }
    traffic.lanes |= lanes
    # Who is slow keeps nobody waiting but their own lane.
    await asyncio.wait(
        lanes or traffic.lanes,
        timeout=ROUND_SECONDS,
        return_when=asyncio.ALL_COMPLETED if lanes else asyncio.FIRST_COMPLETED,
    )
    tried, left = traffic.land()
    await _save(post, endpoint, traffic, tried)
    traffic.busy.difference_update(left)
    traffic.size = max(2 * len(tried), endpoint.webhook.connections_max)
    return True


async def _expand(post: Post, endpoint: Endpoint) -> bool:
    """Find out of whom the endpoint has to be told; returns whether there was anybody."""

    async def sources(tx: Tx) -> list[Source]:
        return await store.load_sources(tx, endpoint)

    found = False
    for source in await post.runner.operate(sources):
        if source.is_waiting:
            async with post.locks.held(f"outbox {source.tenant.org_id}") as lock:
                if lock is not None and await expand_outbox(post.runner, source.tenant):
                    found = True
    return found


async def _load_due(
    post: Post, endpoint: Endpoint, traffic: _Traffic, free: int
) -> Sequence[Delivery]:
    """What is to be sent now: nothing while the endpoint is paused, and then one, to see if it is back."""
    health, most = endpoint.health, endpoint.webhook.connections_max * PER_CONNECTION
    limit, each = min(traffic.size or most // 4, most), IN_A_ROW_MAX
    if health.failures:
        paused = health.paused_until is not None and health.paused_until > endpoint.now
        limit, each, free = 1, 1, 0 if paused or traffic.lanes else 1
    if free <= 0:
        return ()

    async def load(tx: Tx) -> Sequence[Delivery]:
        found = await store.load_due(tx, endpoint, traffic.busy | traffic.served, limit, each)
        if traffic.served and len(by_queue(found)) < free:
            traffic.served.clear()
            found = await store.load_due(tx, endpoint, traffic.busy, limit, each)
        waiting = [
            (queue, of_queue[0].next_attempt_at)
            for queue, of_queue in by_queue(found).items()
            if of_queue[0].next_attempt_at > endpoint.now
        ]
        await store.hold_back(tx, endpoint, waiting)
        behind = {queue for queue, _ in waiting}
        return [delivery for delivery in found if delivery.queue not in behind]

    return await post.runner.operate(load)


async def _send(post: Post, begun: _Round, traffic: _Traffic) -> None:
    """Send one customer's deliveries after the other's, until the round is over or the receiver is away."""
    for of_queue in begun.queues:
        queue = of_queue[0].queue
        traffic.busy.add(queue)
        for delivery in of_queue:
            away = len(traffic.failing) >= PAUSE_AFTER_CUSTOMERS
            if away or post.is_ending or time.monotonic() >= begun.ends_at:
                traffic.left.append(queue)
                return
            tried = await _try(post, begun, delivery)
            traffic.tried.append(tried)
            if tried.status == PENDING:
                traffic.failing.add(queue)
                break
            if tried.status == DELIVERED:
                traffic.failing.clear()
        if len(of_queue) == IN_A_ROW_MAX:
            traffic.served.add(queue)
        traffic.left.append(queue)


async def _try(post: Post, begun: _Round, delivery: Delivery) -> Tried:
    body = begun.bodies.get(place_of(delivery))
    started_at = _now(begun.endpoint)
    if body is None:
        return given_up(delivery, started_at)
    answer = await post.sender.send(begun.endpoint, delivery.event_id, body)
    days, chance = post.settings.webhook_retry_days, random.random()  # noqa: S311 - jitter
    return after_try(delivery, answer, started_at, _now(begun.endpoint), days, chance)


def _now(endpoint: Endpoint) -> datetime:
    """What the clock of an endpoint's organisation shows, a while after it was loaded."""
    return endpoint.now if endpoint.is_sandbox else clock.now()


async def _save(post: Post, endpoint: Endpoint, traffic: _Traffic, tried: Sequence[Tried]) -> None:
    """What came of the tries, who waits behind a failure, and how the endpoint does."""
    failing, chance = len(traffic.failing), random.random()  # noqa: S311 - jitter
    health = health_after(endpoint.health, tried, failing, _now(endpoint), chance)
    again = [
        (each.delivery.queue, each.next_attempt_at) for each in tried if each.status == PENDING
    ]

    async def write(tx: Tx) -> None:
        await store.save_tried(tx, endpoint, tried)
        await store.hold_back(tx, endpoint, again)
        if health != endpoint.health:
            await store.save_health(tx, endpoint, health)

    if tried:
        await post.runner.operate(write)
    if health.failures != endpoint.health.failures:
        traffic.failing.clear()  # counted


async def _replay(post: Post, endpoint: Endpoint) -> bool:
    """Go on with what is to be told again, now that all else has been; returns whether there is any."""

    async def page(tx: Tx) -> bool:
        replay = await store.load_replay(tx, endpoint)
        if replay is None:
            return False
        sources = [source.tenant for source in await store.load_sources(tx, endpoint)]
        await store.replay_page(tx, endpoint, sources, replay, REPLAYED_CUSTOMERS)
        return True

    return await post.runner.operate(page)
