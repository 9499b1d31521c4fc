"""The rival: the enrolment as it is usually written, FastAPI with SQLAlchemy's ORM and a session per request.

It does the same durable work, in the order in which one thinks of it: look everything up, check it, add the
rows, commit. It knows no authentication, no explanation and no retry. Run by `benchmarks.enrolments` with the
database in RIVAL_DATABASE_URL; the tables are in a schema of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Numeric, create_engine, select, text
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    mapped_column,
    relationship,
    sessionmaker,
)

SCHEMA = "rival"
CONNECTIONS = 10
"""As many as Milepost opens for requests."""

engine = create_engine(
    os.environ["RIVAL_DATABASE_URL"],
    pool_size=CONNECTIONS,
    max_overflow=0,
    pool_timeout=60,
    connect_args={"options": f"-c search_path={SCHEMA}"},
)
sessions = sessionmaker(engine)


class Base(DeclarativeBase):
    """The tables of the rival."""

    type_annotation_map = {int: BigInteger, datetime: DateTime(timezone=True)}  # noqa: RUF012 - SQLAlchemy reads it from the class


class Customer(Base):
    """Who can be enrolled."""

    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)


class TargetGroup(Base):
    """A milestone with its targets and cycles."""

    __tablename__ = "target_groups"
    id: Mapped[int] = mapped_column(primary_key=True)
    active: Mapped[bool]
    targets: Mapped[list[Target]] = relationship()
    periods: Mapped[list[Period]] = relationship(order_by="Period.starts_at")


class Target(Base):
    """What each cycle asks for."""

    __tablename__ = "targets"
    id: Mapped[int] = mapped_column(primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("target_groups.id"), index=True)
    value: Mapped[Any] = mapped_column(Numeric)
    active: Mapped[bool]


class Period(Base):
    """A cycle."""

    __tablename__ = "periods"
    id: Mapped[int] = mapped_column(primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("target_groups.id"), index=True)
    ref_code: Mapped[str]
    starts_at: Mapped[datetime]
    ends_at: Mapped[datetime]


class Enrolment(Base):
    """A customer in a target."""

    __tablename__ = "enrolments"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey("customers.id"), index=True)
    target_id: Mapped[int] = mapped_column(ForeignKey("targets.id"))
    from_period_id: Mapped[int] = mapped_column(ForeignKey("periods.id"))
    enrolled_at: Mapped[datetime]
    left_at: Mapped[datetime | None]


class Progress(Base):
    """A customer's value in a cycle."""

    __tablename__ = "progress"
    customer_id: Mapped[int] = mapped_column(primary_key=True)
    target_id: Mapped[int] = mapped_column(primary_key=True)
    period_id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(Numeric)
    achieved_at: Mapped[datetime | None]


class JournalEntry(Base):
    """What happened to a customer."""

    __tablename__ = "journal"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    customer_id: Mapped[int] = mapped_column(index=True)
    at: Mapped[datetime]
    what: Mapped[str]
    details: Mapped[Any] = mapped_column(JSON)


class EnrolBody(BaseModel):
    """One element of the array that is sent."""

    customerId: int
    periodName: str | None = None
    initialBalance: int | None = None
    resetStreakStatus: bool | None = None


def _session() -> Iterator[Session]:
    with sessions() as session:
        yield session


with engine.begin() as connection:
    connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
    Base.metadata.create_all(connection)

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


def _refused(code: int) -> JSONResponse:
    error = {"code": code, "message": "refused"}
    return JSONResponse({"data": None, "errors": [error], "warnings": None}, status_code=400)
