"""The rival: what Milepost does as it is usually written, FastAPI with SQLAlchemy's ORM, a session a request.

It does the same durable work, in the order in which one thinks of it: look everything up, check it, add the
rows, commit. It knows no authentication, no explanation and no retry. Run by the benchmarks with the database
in RIVAL_DATABASE_URL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload

from benchmarks.rivals.tables import (
    Activity,
    Customer,
    Enrolment,
    JournalEntry,
    Period,
    Progress,
    Reward,
    Target,
    TargetGroup,
    create_tables,
    sessions,
)


class EnrolBody(BaseModel):
    """One element of the array that is sent."""

    customerId: int
    periodName: str | None = None
    initialBalance: int | None = None
    resetStreakStatus: bool | None = None


class ActivityBody(BaseModel):
    """A purchase."""

    id: str
    customerId: int
    type: str
    occurredAt: datetime
    netAmount: Decimal
    storeId: int | None = None
    attributes: dict[str, Any] | None = None


class UserTargetView(BaseModel):
    """A customer in a cycle of a target."""

    targetId: int
    periodId: int
    periodRefCode: str
    periodStartDate: str
    periodEndDate: str
    targetValue: Decimal
    targetAchievedValue: Decimal
    targetName: str
    targetRuleId: int
    enrolledOn: datetime
    targetAchievedDateTime: datetime | None
    currentPeriod: bool


class UserTargetGroupView(BaseModel):
    """A customer in a milestone."""

    id: int
    name: str
    targets: list[UserTargetView]


class UserView(BaseModel):
    """A customer in all milestones."""

    userId: int
    targetGroups: list[UserTargetGroupView]


def _session() -> Iterator[Session]:
    with sessions() as session:
        yield session


create_tables()
app = FastAPI()


@app.post("/v3/targetGroups/{group_id}/targets/{target_id}/enroll")
def enrol(
    group_id: int,
    target_id: int,
    body: list[EnrolBody],
    session: Annotated[Session, Depends(_session)],
) -> Any:
    """Enrol one customer in a milestone."""
    (asked,) = body
    now = datetime.now(UTC)
    group = session.get(TargetGroup, group_id)
    if group is None or not group.active:
        return _refused(310017)
    target = next((each for each in group.targets if each.id == target_id and each.active), None)
    if target is None:
        return _refused(310018)
    if session.get(Customer, asked.customerId) is None:
        return _refused(310011)
    period = next((each for each in group.periods if each.ref_code == asked.periodName), None)
    if period is None or period.ends_at <= now:
        return _refused(310019)
    enrolled = session.scalars(
        select(Enrolment).where(
            Enrolment.customer_id == asked.customerId,
            Enrolment.target_id == target.id,
            Enrolment.left_at.is_(None),
        )
    ).first()
    if enrolled is not None:
        return _refused(310119)
    balance = asked.initialBalance or 0
    session.add(
        Enrolment(
            customer_id=asked.customerId,
            target_id=target.id,
            from_period_id=period.id,
            enrolled_at=now,
        )
    )
    session.add(
        Progress(
            customer_id=asked.customerId,
            target_id=target.id,
            period_id=period.id,
            value=balance,
            achieved_at=now if balance >= target.value else None,
        )
    )
    session.add(
        JournalEntry(
            customer_id=asked.customerId,
            at=now,
            what="ENROLLED",
            details={"period": period.id, "balance": str(balance)},
        )
    )
    session.commit()
    return {"data": asked.customerId, "errors": None, "warnings": None}


@app.post("/activities")
def record(
    body: ActivityBody | list[ActivityBody],
    session: Annotated[Session, Depends(_session)],
) -> Any:
    """Record one activity, or a list of them that are committed together."""
    asked = body if isinstance(body, list) else [body]
    now = datetime.now(UTC)
    # In an order, so that two lists never wait for each other.
    results = [_record(session, each, now) for each in sorted(asked, key=lambda a: a.customerId)]
    session.commit()
    return {"data": results, "errors": None, "warnings": None}


def _record(session: Session, asked: ActivityBody, now: datetime) -> dict[str, Any]:
    customer = session.get(Customer, asked.customerId, with_for_update=True)
    if customer is None:
        return {"id": asked.id, "status": "REJECTED", "effects": []}
    if session.get(Activity, (customer.id, asked.id)) is not None:
        return {"id": asked.id, "status": "DUPLICATE", "effects": []}
    effects = []
    for enrolment in _enrolments(session, customer.id):
        target = enrolment.target
        period = _cycle(target.group, asked.occurredAt)
        if period is None or not (target.active and target.group.active):
            continue
        progress = session.get(Progress, (customer.id, target.id, period.id))
        if progress is None:
            progress = Progress(
                customer_id=customer.id, target_id=target.id, period_id=period.id, value=Decimal(0)
            )
            session.add(progress)
        before = progress.value
        progress.value = before + asked.netAmount
        if before < target.value <= progress.value:
            progress.achieved_at = now
            session.add(
                Reward(
                    customer_id=customer.id,
                    target_id=target.id,
                    period_id=period.id,
                    granted_at=now,
                )
            )
        effects.append(
            {
                "targetGroupId": target.group_id,
                "targetRuleId": target.id,
                "periodRefCode": period.ref_code,
                "before": str(before),
                "after": str(progress.value),
                "achieved": progress.value >= target.value,
            }
        )
    session.add(
        Activity(
            customer_id=customer.id,
            id=asked.id,
            type=asked.type,
            occurred_at=asked.occurredAt,
            net_amount=asked.netAmount,
            store_id=asked.storeId,
            attributes=asked.attributes,
        )
    )
    session.add(
        JournalEntry(
            customer_id=customer.id, at=now, what="ACTIVITY", details={"id": asked.id, "effects": effects}
        )
    )  # fmt: skip
    return {"id": asked.id, "status": "ACCEPTED", "effects": effects}


@app.get("/v3/users/{user_id}/targetGroups")
def user_target_groups(user_id: int) -> dict[str, UserView]:
    """A customer's current cycles and values, by milestone."""
    # Not a dependency, whose end waits for a thread behind all those who wait for its connection: from
    # 40 requests at once on, nobody would be answered. A commit gives the connection back sooner.
    with sessions() as session:
        return {"data": _user_view(session, user_id)}


def _user_view(session: Session, user_id: int) -> UserView:
    now = datetime.now(UTC)
    values = {
        (each.target_id, each.period_id): each
        for each in session.scalars(select(Progress).where(Progress.customer_id == user_id))
    }
    groups: dict[int, UserTargetGroupView] = {}
    for enrolment in _enrolments(session, user_id):
        target = enrolment.target
        period = _cycle(target.group, now)
        if period is None:
            continue
        found = values.get((target.id, period.id))
        group = groups.setdefault(
            target.group_id,
            UserTargetGroupView(id=target.group_id, name=target.group.name, targets=[]),
        )
        group.targets.append(
            UserTargetView(
                targetId=enrolment.id,
                periodId=period.id,
                periodRefCode=period.ref_code,
                periodStartDate=period.starts_at.date().isoformat(),
                periodEndDate=period.ends_at.date().isoformat(),
                targetValue=target.value,
                targetAchievedValue=found.value if found is not None else Decimal(0),
                targetName=target.name,
                targetRuleId=target.id,
                enrolledOn=enrolment.enrolled_at,
                targetAchievedDateTime=found.achieved_at if found is not None else None,
                currentPeriod=True,
            )
        )
    return UserView(userId=user_id, targetGroups=list(groups.values()))


def _enrolments(session: Session, customer_id: int) -> Sequence[Enrolment]:
    """What the customer is in, with the definitions, in two statements and not in one for each."""
    return session.scalars(
        select(Enrolment)
        .where(Enrolment.customer_id == customer_id, Enrolment.left_at.is_(None))
        .options(
            joinedload(Enrolment.target)
            .joinedload(Target.group)
            .selectinload(TargetGroup.periods)
        )
    ).all()  # fmt: skip


def _cycle(group: TargetGroup, at: datetime) -> Period | None:
    return next((each for each in group.periods if each.starts_at <= at < each.ends_at), None)


def _refused(code: int) -> JSONResponse:
    error = {"code": code, "message": "refused"}
    return JSONResponse({"data": None, "errors": [error], "warnings": None}, status_code=400)
