"""Target groups, their periods and targets: the configuration endpoints (domain: milestones §3.5)."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from litestar import Response, delete, get, post, put

from milepost.actions.definitions import (
    DEFINITION_EDITS,
    AddPeriods,
    AddTargets,
    Command,
    DeactivateTarget,
    DefineGroup,
    DeleteGroup,
    Edited,
    EditGroup,
    EditPeriods,
    EditTarget,
    EditUnified,
)
from milepost.api import queries, wire
from milepost.api.requests import ApiRequest
from milepost.api.routes import PathId, acting_tenant, caller_of, declare, under_all_prefixes, write
from milepost.api.target_group_bodies import (
    GroupBody,
    OneTargetBody,
    PeriodBodies,
    TargetBodies,
    UnifiedTargetsBody,
    group_draft,
    period_drafts,
    target_drafts,
)
from milepost.api.target_group_views import (
    GroupView,
    PeriodView,
    TargetView,
    UnifiedTargetsView,
    group_view,
    period_view,
    target_view,
    unified_view,
)
from milepost.database import Tenant
from milepost.errors import (
    CONNECTED_ORGS_NOT_SET,
    DATA_SCOPE_ALL_UNSUPPORTED,
    EXTENDED_FIELD_INFO_MISSING,
    INVALID_ENTITY_AND_TYPE,
    INVALID_INPUT,
    LEADERBOARD_NOT_ENABLED,
    LEADERBOARD_WINDOW_UNSUPPORTED,
    TARGET_GROUP_NAME_TAKEN,
    TARGET_GROUP_NOT_FOUND,
    TARGET_NAME_TOO_LONG,
    TARGET_NOT_FOUND,
    TARGET_PERIOD_NOT_FOUND,
    Refusal,
    Refused,
)
from milepost.rules.definitions import TargetGroup
from milepost.rules.listing import GroupFilter, listed_groups
from milepost.runner import Moment

_RESOURCE = "Target Loyalty"
_ALWAYS = (INVALID_INPUT, DATA_SCOPE_ALL_UNSUPPORTED, CONNECTED_ORGS_NOT_SET)
_OF_A_GROUP = (*_ALWAYS, TARGET_GROUP_NOT_FOUND)
_OF_TARGETS = (
    TARGET_NAME_TOO_LONG,
    INVALID_ENTITY_AND_TYPE,
    EXTENDED_FIELD_INFO_MISSING,
)
OF_GROUPS = (
    *_OF_TARGETS,
    TARGET_GROUP_NAME_TAKEN,
    LEADERBOARD_WINDOW_UNSUPPORTED,
    LEADERBOARD_NOT_ENABLED,
)
_LIST_QUERY = {
    "includePeriods": "true: with `periods` (default false)",
    "includeOnlyActive": "true: without inactive groups (default false)",
    "includeUserCreatedTargetGroups": "true: with groups that customers created (default false)",
}
_GROUP_QUERY = {
    "includePeriods": _LIST_QUERY["includePeriods"],
    "includeOnlyActive": "true: an inactive group is not found (default false)",
}

_group_body = msgspec.json.Decoder(GroupBody)
_period_bodies = msgspec.json.Decoder(PeriodBodies)
_target_bodies = msgspec.json.Decoder(TargetBodies)
_one_target_body = msgspec.json.Decoder(OneTargetBody)
_unified_body = msgspec.json.Decoder(UnifiedTargetsBody)


@post(
    under_all_prefixes("/targetGroups"),
    status_code=201,
    opt=declare(
        _RESOURCE,
        "WRITE",
        body=GroupBody,
        answer=wire.Envelope[GroupView],
        status=201,
        errors=(*_ALWAYS, *OF_GROUPS),
    ),
)
async def create_target_group(request: ApiRequest) -> Response[bytes]:
    """Define a milestone or streak with its periods, targets and streak levels.

    Periods that are not sent are generated; a group without frequency gets them by a later call.
    """
    body = await wire.read_body(request, _group_body)
    tenant = await acting_tenant(request)
    return await _edit(
        request,
        tenant,
        DefineGroup(_credential(request), group_draft(body)),
        lambda edited: wire.answer(_edited_view(edited, tenant.org_id), status=201),
    )


@get(
    under_all_prefixes("/targetGroups"),
    opt=declare(
        _RESOURCE, answer=wire.Envelope[list[GroupView]], errors=_ALWAYS, query=_LIST_QUERY
    ),
)
async def list_target_groups(request: ApiRequest) -> Response[bytes]:
    """Every target group, newest first."""
    wanted = GroupFilter(
        only_active=queries.flag(request, "includeOnlyActive"),
        user_created_too=queries.flag(request, "includeUserCreatedTargetGroups"),
    )
    with_periods = queries.flag(request, "includePeriods")
    return wire.answer(
        [
            group_view(group, moment.definitions.org_id, moment.now, with_periods=with_periods)
            for moment in await queries.read_moments(request)
            for group in listed_groups(moment.definitions.groups.values(), wanted, moment.now)
        ]
    )


@get(
    under_all_prefixes("/targetGroups/{target_group_id:str}"),
    opt=declare(_RESOURCE, answer=wire.Envelope[GroupView], errors=_OF_A_GROUP, query=_GROUP_QUERY),
)
async def read_target_group(request: ApiRequest, target_group_id: PathId) -> Response[bytes]:
    """One target group, inactive ones too."""
    group_id = wire.integer(target_group_id, "targetGroupId")
    with_periods = queries.flag(request, "includePeriods")
    only_active = queries.flag(request, "includeOnlyActive")
    moment, group = await _find_group(request, group_id)
    if only_active and not group.active:
        raise Refused(TARGET_GROUP_NOT_FOUND)
    org_id = moment.definitions.org_id
    return wire.answer(group_view(group, org_id, moment.now, with_periods=with_periods))


@put(
    under_all_prefixes("/targetGroups/editTargetGroup/{target_group_id:str}"),
    opt=declare(
        _RESOURCE,
        "WRITE",
        body=GroupBody,
        answer=wire.Envelope[GroupView],
        errors=(*_OF_A_GROUP, *OF_GROUPS, TARGET_NOT_FOUND, TARGET_PERIOD_NOT_FOUND),
    ),
)
async def edit_target_group(request: ApiRequest, target_group_id: PathId) -> Response[bytes]:
    """Change a target group by a whole group object; what it leaves out stays.

    Edits apply to what arrives later: what is achieved stays achieved.
    """
    group_id = wire.integer(target_group_id, "targetGroupId")
    body = await wire.read_body(request, _group_body)
    tenant = await acting_tenant(request)
    return await _edit(
        request,
        tenant,
        EditGroup(_credential(request), group_id, group_draft(body)),
        lambda edited: wire.answer(_edited_view(edited, tenant.org_id)),
    )


@delete(
    under_all_prefixes("/targetGroups/{target_group_id:str}"),
    status_code=200,
    opt=declare(_RESOURCE, "WRITE", answer=wire.Envelope[bool], errors=_OF_A_GROUP),
)
async def delete_target_group(request: ApiRequest, target_group_id: PathId) -> Response[bytes]:
    """Delete a target group. Rewards that were granted stay; its names become free."""
    group_id = wire.integer(target_group_id, "targetGroupId")
    tenant, command = await acting_tenant(request), DeleteGroup(_credential(request), group_id)
    return await _edit(request, tenant, command, lambda _: wire.answer(True))


@get(
    under_all_prefixes("/targetGroups/{target_group_id:str}/targetPeriods"),
    opt=declare(_RESOURCE, answer=wire.Envelope[list[PeriodView]], errors=_OF_A_GROUP),
)
async def list_target_periods(request: ApiRequest, target_group_id: PathId) -> Response[bytes]:
    """The periods of a target group, in order of their start."""
    group_id = wire.integer(target_group_id, "targetGroupId")
    moment, group = await _find_group(request, group_id)
    return wire.answer([period_view(group, period, moment.now) for period in group.periods])


@post(
    under_all_prefixes("/targetGroups/{target_group_id:str}/targetPeriods"),
    status_code=200,
    opt=declare(
        _RESOURCE,
        "WRITE",
        body=PeriodBodies,
        answer=wire.Envelope[list[PeriodView]],
        errors=_OF_A_GROUP,
    ),
)
async def create_target_periods(request: ApiRequest, target_group_id: PathId) -> Response[bytes]:
    """Add periods to a target group. Answers those added, in order of their start."""
    group_id = wire.integer(target_group_id, "targetGroupId")
    drafts = period_drafts(await wire.read_body(request, _period_bodies))

    def render(edited: Edited) -> Response[bytes]:
        before, after = _both(edited)
        return wire.answer(
            [
                period_view(after, period, edited.now)
                for period in after.periods
                if period.id not in before.periods_by_id
            ]
        )

    command = AddPeriods(_credential(request), group_id, drafts)
    return await _edit(request, await acting_tenant(request), command, render)


@put(
    under_all_prefixes("/targetGroups/{target_group_id:str}/targetPeriods"),
    opt=declare(
        _RESOURCE,
        "WRITE",
        body=PeriodBodies,
        answer=wire.Envelope[list[PeriodView]],
        errors=(*_OF_A_GROUP, TARGET_PERIOD_NOT_FOUND),
    ),
)
async def edit_target_periods(request: ApiRequest, target_group_id: PathId) -> Response[bytes]:
    """Change periods, each named by id or else by refCode. Answers them, in order of their start.

    Of a running period only the end may move, of an ended one neither bound.
    """
    group_id = wire.integer(target_group_id, "targetGroupId")
    drafts = period_drafts(await wire.read_body(request, _period_bodies))
    ids = {draft.id for draft in drafts}
    names = {draft.ref_code for draft in drafts if draft.id is None}

    def render(edited: Edited) -> Response[bytes]:
        _, after = _both(edited)
        return wire.answer(
            [
                period_view(after, period, edited.now)
                for period in after.periods
                if period.id in ids or period.ref_code in names
            ]
        )

    command = EditPeriods(_credential(request), group_id, drafts)
    return await _edit(request, await acting_tenant(request), command, render)


@get(
    under_all_prefixes("/targetGroups/{target_group_id:str}/targets"),
    opt=declare(_RESOURCE, answer=wire.Envelope[list[TargetView]], errors=_OF_A_GROUP),
)
async def list_targets(request: ApiRequest, target_group_id: PathId) -> Response[bytes]:
    """The targets of a target group, deactivated ones too."""
    group_id = wire.integer(target_group_id, "targetGroupId")
    _, group = await _find_group(request, group_id)
    return wire.answer([target_view(group, target) for target in group.targets])


@post(
    under_all_prefixes("/targetGroups/{target_group_id:str}/targets"),
    status_code=200,
    opt=declare(
        _RESOURCE,
        "WRITE",
        body=TargetBodies,
        answer=wire.Envelope[list[TargetView]],
        errors=(*_OF_A_GROUP, *_OF_TARGETS),
    ),
)
async def create_targets(request: ApiRequest, target_group_id: PathId) -> Response[bytes]:
    """Add targets to a target group that has its periods. Answers those added."""
    group_id = wire.integer(target_group_id, "targetGroupId")
    drafts = target_drafts(await wire.read_body(request, _target_bodies))

    def render(edited: Edited) -> Response[bytes]:
        before, after = _both(edited)
        return wire.answer(
            [
                target_view(after, target)
                for target in after.targets
                if target.id not in before.targets_by_id
            ]
        )

    command = AddTargets(_credential(request), group_id, drafts)
    return await _edit(request, await acting_tenant(request), command, render)


@put(
    under_all_prefixes("/targetGroups/{target_group_id:str}/targets/{target_id:str}"),
    opt=declare(
        _RESOURCE,
        "WRITE",
        body=OneTargetBody,
        answer=wire.Envelope[list[TargetView] | TargetView],
        errors=(*_OF_A_GROUP, TARGET_NOT_FOUND, *_OF_TARGETS),
    ),
)
async def edit_target(
    request: ApiRequest, target_group_id: PathId, target_id: PathId
) -> Response[bytes]:
    """Change one target; what is left out stays. An array of one is answered with an array of one."""
    group, target = _ids(target_group_id, target_id)
    body = await wire.read_body(request, _one_target_body)
    (draft,) = target_drafts(body)

    def render(edited: Edited) -> Response[bytes]:
        _, after = _both(edited)
        view = target_view(after, after.targets_by_id[target])
        return wire.answer([view] if isinstance(body, list) else view)

    command = EditTarget(_credential(request), group, target, draft)
    return await _edit(request, await acting_tenant(request), command, render)


@delete(
    under_all_prefixes("/targetGroups/{target_group_id:str}/targets/{target_id:str}"),
    status_code=200,
    opt=declare(
        _RESOURCE, "WRITE", answer=wire.Envelope[bool], errors=(*_OF_A_GROUP, TARGET_NOT_FOUND)
    ),
)
async def deactivate_target(
    request: ApiRequest, target_group_id: PathId, target_id: PathId
) -> Response[bytes]:
    """Deactivate one target: nobody enrols in it and nothing counts, until it is active again."""
    group, target = _ids(target_group_id, target_id)
    tenant = await acting_tenant(request)
    command = DeactivateTarget(_credential(request), group, target)
    return await _edit(request, tenant, command, lambda _: wire.answer(True))


async def _edit_unified_targets(request: ApiRequest, target_group_id: str) -> Response[bytes]:
    group_id = wire.integer(target_group_id, "targetGroupId")
    body = await wire.read_body(request, _unified_body)
    unified, stopped = body.unified_target_expression, body.deactivate_target_ids or []
    command = EditUnified(
        _credential(request),
        group_id,
        unified.threshold_value if unified is not None else None,
        target_drafts(body.targets or ()),
        tuple(stopped),
    )
    named = {draft.id for draft in command.drafts}

    def render(edited: Edited) -> Response[bytes]:
        before, after = _both(edited)
        return wire.answer(
            UnifiedTargetsView(
                unified_target_expression=unified_view(after.unified_target_expression or {}),
                targets=[
                    target_view(after, target)
                    for target in after.targets
                    if target.id in named or target.id not in before.targets_by_id
                ],
                deactivate_target_ids=stopped,
            )
        )

    return await _edit(request, await acting_tenant(request), command, render)


_edit_unified = declare(
    _RESOURCE,
    "WRITE",
    body=UnifiedTargetsBody,
    answer=wire.Envelope[UnifiedTargetsView],
    errors=(*_OF_A_GROUP, TARGET_NOT_FOUND, *_OF_TARGETS),
)
_unified_path = under_all_prefixes("/targetGroups/{target_group_id:str}/unifiedTargets")


@put(_unified_path, opt=_edit_unified)
async def edit_unified_targets(request: ApiRequest, target_group_id: PathId) -> Response[bytes]:
    """Change, add and deactivate targets of a unified group, and its threshold.

    Answers the targets named and the `ruleExpression` that they make.
    """
    return await _edit_unified_targets(request, target_group_id)


@post(_unified_path, status_code=200, opt=_edit_unified)
async def post_unified_targets(request: ApiRequest, target_group_id: PathId) -> Response[bytes]:
    """The same as PUT, for clients that know it as POST."""
    return await _edit_unified_targets(request, target_group_id)


async def _edit(
    request: ApiRequest,
    tenant: Tenant,
    command: Command,
    render: Callable[[Edited], Response[bytes]],
) -> Response[bytes]:
    """Answer what `render` makes of an edit; raises what it was refused for."""

    def render_outcome(outcome: Edited | Refusal) -> Response[bytes]:
        if isinstance(outcome, Refusal):
            raise Refused(outcome.error, outcome.detail)
        return render(outcome)

    return await write(request, DEFINITION_EDITS, tenant, command, render_outcome)


async def _find_group(request: ApiRequest, group_id: int) -> tuple[Moment, TargetGroup]:
    """The group, in the first organisation that has it of those that are read, and its moment."""
    for moment in await queries.read_moments(request):
        if (group := moment.definitions.groups.get(group_id)) is not None:
            return moment, group
    raise Refused(TARGET_GROUP_NOT_FOUND)


def _edited_view(edited: Edited, org_id: int) -> GroupView:
    return group_view(_found(edited.after), org_id, edited.now)


def _both(edited: Edited) -> tuple[TargetGroup, TargetGroup]:
    return _found(edited.before), _found(edited.after)


def _found(group: TargetGroup | None) -> TargetGroup:
    if group is None:
        raise Refused(TARGET_GROUP_NOT_FOUND)
    return group


def _ids(target_group_id: str, target_id: str) -> tuple[int, int]:
    return wire.integer(target_group_id, "targetGroupId"), wire.integer(target_id, "targetId")


def _credential(request: ApiRequest) -> int:
    return caller_of(request).credential_id


ROUTES = (
    create_target_group,
    list_target_groups,
    read_target_group,
    edit_target_group,
    delete_target_group,
    list_target_periods,
    create_target_periods,
    edit_target_periods,
    list_targets,
    create_targets,
    edit_target,
    deactivate_target,
    edit_unified_targets,
    post_unified_targets,
)
