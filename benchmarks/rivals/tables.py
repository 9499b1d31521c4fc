"""The rival's tables, as ORM classes, in a schema of their own."""

from __future__ import annotations

import os
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Numeric, create_engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, sessionmaker

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

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it from the class
        int: BigInteger,
        datetime: DateTime(timezone=True),
        Decimal: Numeric,
    }


class Customer(Base):
    """Who can be enrolled."""

    __tablename__ = "customers"
    id: Mapped[int] = mapped_column(primary_key=True)


class TargetGroup(Base):
    """A milestone with its targets and cycles."""

    __tablename__ = "target_groups"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    active: Mapped[bool]
    targets: Mapped[list[Target]] = relationship(back_populates="group")
    periods: Mapped[list[Period]] = relationship(order_by="Period.starts_at")


class Target(Base):
    """What each cycle asks for."""

    __tablename__ = "targets"
    id: Mapped[int] = mapped_column(primary_key=True)
    group_id: Mapped[int] = mapped_column(ForeignKey("target_groups.id"), index=True)
    name: Mapped[str]
    value: Mapped[Decimal]
    active: Mapped[bool]
    group: Mapped[TargetGroup] = relationship(back_populates="targets")


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
    target: Mapped[Target] = relationship()


class Progress(Base):
    """A customer's value in a cycle."""

    __tablename__ = "progress"
    customer_id: Mapped[int] = mapped_column(primary_key=True)
    target_id: Mapped[int] = mapped_column(primary_key=True)
    period_id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[Decimal]
    achieved_at: Mapped[datetime | None]


class Activity(Base):
    """What a customer did."""

    __tablename__ = "activities"
    customer_id: Mapped[int] = mapped_column(primary_key=True)
    id: Mapped[str] = mapped_column(primary_key=True)
    type: Mapped[str]
    occurred_at: Mapped[datetime]
    net_amount: Mapped[Decimal]
    store_id: Mapped[int | None]
    attributes: Mapped[Any] = mapped_column(JSON)


class Reward(Base):
    """What a customer was granted."""

    __tablename__ = "rewards"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    customer_id: Mapped[int] = mapped_column(index=True)
    target_id: Mapped[int]
    period_id: Mapped[int]
    granted_at: Mapped[datetime]


class JournalEntry(Base):
    """What happened to a customer."""

    __tablename__ = "journal"
    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    customer_id: Mapped[int] = mapped_column(index=True)
    at: Mapped[datetime]
    what: Mapped[str]
    details: Mapped[Any] = mapped_column(JSON)


def create_tables() -> None:
    """Make the schema and its tables, where they are missing."""
    with engine.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        Base.metadata.create_all(connection)
