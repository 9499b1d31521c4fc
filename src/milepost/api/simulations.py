"""Dry runs: `/milepost/v1/simulations` (docs/api.md)."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec
from litestar import Response, delete, get, post

from milepost.actions.simulations import SIMULATIONS, Cancel, Queue, Queued, unknown
from milepost.api import wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import (
    PathId,
    acting_tenant,
    caller_of,
    coalescer_of,
    declare,
    reading_tenant,
    runner_of,
    write,
)
from milepost.api.target_group_bodies import GroupBody, group_draft
from milepost.api.target_groups import OF_GROUPS
from milepost.database import Tenant, Tx
from milepost.errors import INVALID_INPUT, TARGET_GROUP_NOT_FOUND, Refusal, Refused
from milepost.rules.calendar import parse_instant
from milepost.rules.definitions import TargetGroup
from milepost.rules.simulation import (
    BUCKETS,
    CycleTally,
    LevelTally,
    RewardTally,
    Tally,
    points_of,
    reward_definition,
)
from milepost.runner import Moment
from milepost.store.simulations import Simulation, load_simulation, load_simulations

_RESOURCE = "Target Loyalty"


class SimulationBody(msgspec.Struct):
    """What to simulate: a target group by its id, or a definition as POST /v3/targetGroups takes it."""

    start: wire.Text = msgspec.field(name="from")
    """An instant with an offset or `Z`: activities from then on."""
    end: wire.Text = msgspec.field(name="to")
    """An instant: activities before it. At most 400 days after `from`."""
    targetGroupId: wire.Id | None = None
    targetGroup: GroupBody | None = None


class ProgressView(msgspec.Struct):
    """How far it is, in customers whom anything was ever recorded about."""

    customersDone: int
    customersTotal: int


class BucketView(msgspec.Struct):
    """Customers who came from `fromPercent` to below `toPercent` of the target value."""

    fromPercent: int
    toPercent: int
    customers: int


class CycleView(msgspec.Struct):
    """A target's cycle: in whose value something counted, who achieved it, how far the others got."""

    targetRuleId: int | None
    targetName: str
    periodRefCode: str
    targetValue: Decimal
    customers: int
    achieved: int
    others: list[BucketView]


class LevelView(msgspec.Struct):
    """A target's streak level: who had achieved it at the end."""

    targetRuleId: int | None
    targetName: str
    streakLevel: str
    targetCountOfSequence: int
    achieved: int


class RewardView(msgspec.Struct):
    """An entry of `rewards`: how often it was granted, and the points it cost."""

    targetRuleId: int | None
    targetName: str
    streakLevel: str | None
    name: str
    type: str
    granted: int
    points: Decimal


class ResultView(msgspec.Struct):
    """What would have come of it. `customers` had activity in the range."""

    customers: int
    activities: int
    rejectedActivities: int
    cycles: list[CycleView]
    streakLevels: list[LevelView]
    rewards: list[RewardView]
    points: Decimal


class SimulationView(msgspec.Struct):
    """A dry run. `status` is QUEUED, RUNNING, DONE or FAILED; `result` is there once it is DONE."""

    simulationId: int
    status: str
    targetGroupId: int | None
    targetGroupName: str
    start: datetime = msgspec.field(name="from")
    end: datetime = msgspec.field(name="to")
    createdAt: datetime
    startedAt: datetime | None
    finishedAt: datetime | None
    progress: ProgressView
    result: ResultView | None = None


_body = msgspec.json.Decoder(SimulationBody)


@post(
    "/milepost/v1/simulations",
    status_code=202,
    opt=declare(
        _RESOURCE,
        "WRITE",
        body=SimulationBody,
        answer=wire.Envelope[SimulationView],
        status=202,
        errors=(INVALID_INPUT, TARGET_GROUP_NOT_FOUND, *OF_GROUPS),
    ),
)
async def create_simulation(request: ApiRequest) -> Response[bytes]:
    """Simulate a target group, saved or not, with the activities of a range of time.

    The answer comes at once; the simulation runs in the background and writes nothing but its result.
    """
    body = await wire.read_body(request, _body)
    starts_at, ends_at = _instant(body.start, "from"), _instant(body.end, "to")
    caller = caller_of(request)
    command = Queue(
        caller.credential_id,
        starts_at,
        ends_at,
        body.targetGroupId,
        group_draft(body.targetGroup) if body.targetGroup is not None else None,
    )
    path = request.scope["path"]

    def render(queued: Queued | Refusal) -> Response[bytes]:
        if isinstance(queued, Refusal):
            return wire.refuse(queued, path)
        return wire.answer(_queued_view(queued), status=202)

    return await write(request, SIMULATIONS, await acting_tenant(request), command, render)


@get(
    "/milepost/v1/simulations",
    opt=declare(_RESOURCE, answer=wire.Envelope[list[SimulationView]]),
)
async def list_simulations(request: ApiRequest) -> Response[bytes]:
    """The organisation's simulations, newest first, without their results."""

    async def read(tx: Tx, tenant: Tenant, _: Moment) -> list[Simulation]:
        return await load_simulations(tx, tenant)

    found = await runner_of(request).read(await reading_tenant(request), read)
    return wire.answer([_view(simulation) for simulation in found])


@get(
    "/milepost/v1/simulations/{simulation_id:str}",
    opt=declare(_RESOURCE, answer=wire.Envelope[SimulationView], errors=(INVALID_INPUT,)),
)
async def read_simulation(request: ApiRequest, simulation_id: PathId) -> Response[bytes]:
    """One simulation, with its result once it is DONE."""
    wanted = wire.integer(simulation_id, "simulationId")

    async def read(
        tx: Tx, tenant: Tenant, _: Moment
    ) -> tuple[Simulation, TargetGroup, Tally | None] | None:
        return await load_simulation(tx, tenant, wanted)

    found = await runner_of(request).read(await reading_tenant(request), read)
    if found is None:
        return wire.refuse(unknown(wanted), request.scope["path"])
    simulation, group, tally = found
    view = _view(simulation)
    if simulation.status == "DONE" and tally is not None:
        view.result = _result(group, tally, saved=simulation.target_group_id is not None)
    return wire.answer(view)


@delete(
    "/milepost/v1/simulations/{simulation_id:str}",
    status_code=200,
    opt=declare(_RESOURCE, "WRITE", answer=wire.Envelope[bool], errors=(INVALID_INPUT,)),
)
async def cancel_simulation(request: ApiRequest, simulation_id: PathId) -> Response[bytes]:
    """Cancel a simulation that waits or runs; of one that is finished, the result goes."""
    wanted = wire.integer(simulation_id, "simulationId")
    outcome = await coalescer_of(request).submit(
        SIMULATIONS, await acting_tenant(request), Cancel(wanted)
    )
    if isinstance(outcome, Refusal):
        return wire.refuse(outcome, request.scope["path"])
    return wire.answer(True)


def _instant(text: str, name: str) -> datetime:
    read = parse_instant(text)
    if isinstance(read, Refusal):
        raise Refused(read.error, f"{name}: {read.detail}")
    return read


def _queued_view(queued: Queued) -> SimulationView:
    command = queued.command
    assert queued.created_at is not None
    return SimulationView(
        queued.id,
        "QUEUED",
        queued.target_group_id,
        queued.group.name,
        command.starts_at,
        command.ends_at,
        queued.created_at,
        None,
        None,
        ProgressView(0, 0),
    )


def _view(simulation: Simulation) -> SimulationView:
    return SimulationView(
        simulation.id,
        simulation.status,
        simulation.target_group_id,
        simulation.name,
        simulation.starts_at,
        simulation.ends_at,
        simulation.created_at,
        simulation.started_at,
        simulation.finished_at,
        ProgressView(simulation.customers_done, simulation.customers_total),
    )


def _result(group: TargetGroup, tally: Tally, *, saved: bool) -> ResultView:
    """What was counted, in words of the definition; one that was not saved has no ids."""

    def named(target_id: int) -> tuple[int | None, str]:
        return (target_id if saved else None), group.targets_by_id[target_id].name

    def cycle(each: CycleTally) -> CycleView:
        period = group.periods_by_id[each.period_id]
        asked = group.targets_by_id[each.target_id].values[each.period_id].value
        others = [
            BucketView(place * 100 // BUCKETS, (place + 1) * 100 // BUCKETS, customers)
            for place, customers in enumerate(each.others)
        ]
        return CycleView(
            *named(each.target_id), period.ref_code, asked, each.customers, each.achieved, others
        )

    levels = {level.id: level for level in group.levels}

    def level(each: LevelTally) -> LevelView:
        of = levels[each.level_id]
        return LevelView(*named(each.target_id), of.name, of.target_count, each.achieved)

    def reward(each: RewardTally) -> RewardView:
        definition = reward_definition(group, each)
        name = levels[each.level_id].name if each.level_id is not None else None
        return RewardView(
            *named(each.target_id),
            name,
            definition.name,
            definition.type,
            each.granted,
            each.points,
        )

    return ResultView(
        tally.customers,
        tally.activities,
        tally.rejected,
        [cycle(each) for each in tally.cycles.values()],
        [level(each) for each in tally.levels.values()],
        [reward(each) for each in tally.rewards.values()],
        points_of(tally),
    )


ROUTES = (create_simulation, list_simulations, read_simulation, cancel_simulation)
