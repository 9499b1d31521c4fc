"""The words that the stories are told in: a milestone or a streak, and a customer's place in it.

Everything goes over HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any, NamedTuple

import httpx

from tests.harness import Org

ACCEPTED = 200
"""The outcome of an enrolment or unenrolment that was done; any other is the code of a refusal."""

ALREADY_ENROLLED = 310119
GROUP_NOT_FOUND = 310017
INVALID_INPUT = 300004
"""Also that of an activity that is rejected."""
INVALID_USER = 310011
NOT_ENROLLED = 310126
PERIOD_NOT_FOUND = 310019
TARGET_NOT_FOUND = 310018

SALES = {"targetEntity": "TRANSACTION", "targetType": "SALES"}
COUNT = {"targetEntity": "TRANSACTION", "targetType": "COUNT"}
VOUCHER = {"name": "Voucher", "type": "COUPON", "value": 5, "reference": "SUMMER"}

STARTS = "periodStartDateWithTimeStamp"
"""Where a row of the customer's view says when its cycle begins."""

_names = count(1)


class Counted(NamedTuple):
    """What an activity did to a target: the cycle that it counted in, and its value by that."""

    cycle: str
    before: float
    after: float
    achieved: bool


Outcome = Counted | str | int
"""Of an activity on one target: what it did there; why nothing, as a reason code; DUPLICATE; or the
code with which it was rejected."""


@dataclass(frozen=True)
class Challenge:
    """One target of a milestone or streak, as its organisation sees it."""

    org: Org
    group_id: int
    target_id: int
    periods: Mapping[str, dict[str, Any]]
    """As defined, by name."""

    def enrol(self, customer: int, cycle: str | None = None, **fields: Any) -> int:
        """Enrol, naming a cycle or none; `fields` are the wire's. Answers the outcome."""
        if cycle is not None:
            fields["periodName"] = cycle
        return outcome(self.org.enrol(self.group_id, self.target_id, customer, **fields), customer)

    def unenrol(self, customer: int) -> int:
        """Unenrol; answers the outcome."""
        return outcome(self.org.unenrol(self.group_id, self.target_id, customer), customer)

    def buy(
        self, customer: int, amount: float = 1, on: str | None = None, **fields: Any
    ) -> Outcome:
        """A transaction, dated now unless `on` says when; `fields` are the wire's, `id` among them."""
        return self.send(sale(customer, amount, on or self.org.now(), **fields))

    def do(self, customer: int, event: str, on: str | None = None, **attributes: Any) -> Outcome:
        """A behavioural event with its attributes."""
        return self.send(deed(customer, event, on or self.org.now(), **attributes))

    def give_back(
        self, customer: int, sale_id: str, amount: float, on: str | None = None, **fields: Any
    ) -> Outcome:
        """A return of a transaction, or of a part of it."""
        return self.send(giving_back(customer, sale_id, amount, on or self.org.now(), **fields))

    def send(self, activity: Mapping[str, Any]) -> Outcome:
        """Post one activity, and say what it did here."""
        (result,) = post(self.org, activity)
        return self.outcome_of(activity, result)

    def outcome_of(self, activity: Mapping[str, Any], result: Mapping[str, Any]) -> Outcome:
        """What an activity that was posted did here."""
        if result["status"] != "ACCEPTED":
            assert result["effects"] == []
            return result["errors"][0]["code"] if result["errors"] else str(result["status"])
        effects = [e for e in result["effects"] if e["targetRuleId"] == self.target_id]
        if not effects:
            return self.reason(int(activity["customerId"]), str(activity["id"]))
        (effect,) = effects
        assert effect["targetGroupId"] == self.group_id
        return Counted(*(effect[key] for key in ("periodRefCode", "before", "after", "achieved")))

    def reason(self, customer: int, activity_id: str) -> str:
        """The reason code of what the explanation says about an activity, counted or not."""
        (line,) = (
            each
            for each in self.journal(customer)
            if each["activityId"] == activity_id and each["what"] in ("COUNTED", "NOT_COUNTED")
        )
        return str(line["reason"])

    def meet(self, customer: int, cycles: Sequence[str]) -> None:
        """Meet cycles, one after the other, with a purchase in each; the clock moves on with them."""
        starts = {row["periodRefCode"]: row[STARTS] for row in self.rows(customer)}
        now = datetime.fromisoformat(self.org.now())
        for cycle in cycles:
            if now < datetime.fromisoformat(starts[cycle]):
                self.org.move_clock(starts[cycle])
            counted = self.buy(customer)
            assert isinstance(counted, Counted)
            assert (counted.cycle, counted.achieved) == (cycle, True)

    def rows(self, customer: int) -> list[dict[str, Any]]:
        """The customer's view: every cycle, enrolled in or not, in order of time."""
        return self._view(customer)["targets"]  # type: ignore[no-any-return]

    def covered(self, customer: int) -> list[str]:
        """The names of the cycles that the customer is enrolled in, ended ones included."""
        return [r["periodRefCode"] for r in self.rows(customer) if r["targetId"] is not None]

    def value(self, customer: int, cycle: str) -> float:
        """What the customer has achieved in a cycle; 0 in one that they are not enrolled in."""
        return float(self._row(customer, cycle)["targetAchievedValue"])

    def values(self, customer: int) -> list[float]:
        """What the customer has achieved in each cycle, in order of time."""
        return [float(row["targetAchievedValue"]) for row in self.rows(customer)]

    def missing(self, customer: int, cycle: str) -> float:
        """What the customer still has to do in a cycle."""
        row = self._row(customer, cycle)
        return float(row["targetValue"] - row["targetAchievedValue"])

    def achieved(self, customer: int) -> list[str]:
        """The names of the cycles that the customer has achieved."""
        return [r["periodRefCode"] for r in self.rows(customer) if r["targetAchievedDateTime"]]

    def levels(self, customer: int) -> dict[str, str]:
        """The status of each level of the streak: l1, l2 …"""
        levels = self._view(customer)["streaks"]
        return {each["streakName"].split()[-1]: each["status"] for each in levels}

    def counter(self, customer: int) -> int:
        """The streak's counter, which is the same on every level."""
        (found,) = {each["currentCount"] for each in self._view(customer)["streaks"]}
        return int(found)

    def rewards(self, customer: int) -> list[tuple[str, str, int]]:
        """What the customer was granted here, oldest first: reward, cycle, attempt."""
        response = self.org.get(f"/milepost/v1/customers/{customer}/rewards")
        return [
            (each["name"], each["periodRefCode"], each["attempt"])
            for each in data(response)
            if each["targetRuleId"] == self.target_id
        ]

    def journal(self, customer: int) -> list[dict[str, Any]]:
        """The customer's explanation here, oldest first."""
        path = f"/milepost/v1/customers/{customer}/explanation"
        found: list[dict[str, Any]] = data(
            self.org.get(path, params={"targetId": str(self.target_id)})
        )
        return found

    def told(self, customer: int) -> list[tuple[str, str]]:
        """What happened to the customer here, and its reason code, oldest first."""
        return [(line["what"], line["reason"]) for line in self.journal(customer)]

    def change(self, **fields: Any) -> None:
        """Edit the target group."""
        path = f"/v3/targetGroups/editTargetGroup/{self.group_id}"
        data(self.org.client.put(path, json=fields))

    def add_cycle(self, name: str, starts_on: str, ends_on: str) -> None:
        """Add a cycle from one local date to another, both included."""
        body = [{"refCode": name, "startDate": starts_on, "endDate": ends_on}]
        data(self.org.post(f"/v3/targetGroups/{self.group_id}/targetPeriods", body))

    def move_end(self, cycle: str, ends_on: str) -> None:
        """Let a cycle end with another local date."""
        body = [{"id": self.periods[cycle]["id"], "refCode": cycle, "endDate": ends_on}]
        path = f"/v3/targetGroups/{self.group_id}/targetPeriods"
        data(self.org.client.put(path, json=body))

    def _row(self, customer: int, cycle: str) -> dict[str, Any]:
        (row,) = (row for row in self.rows(customer) if row["periodRefCode"] == cycle)
        return row

    def _view(self, customer: int) -> dict[str, Any]:
        query = {"includeInactive": "true", "targetRuleId": str(self.target_id)}
        found = data(self.org.get(f"/v3/users/{customer}/targetGroups", params=query))
        (group,) = found["targetGroups"]
        assert group["id"] == self.group_id
        view: dict[str, Any] = group
        return view


def define_milestone(
    org: Org,
    cycles: int = 5,
    asked: float = 1000,
    rewards: Sequence[Mapping[str, Any]] = (VOUCHER,),
    target: Mapping[str, Any] | None = None,
    **group: Any,
) -> Challenge:
    """A milestone of months from June 2026 on, called c1, c2 …, that ask for `asked` of sales each.

    `target` are the wire's fields of its target, `group` those of the group; `periods` replaces the
    months, `recurringCycles` generates them.
    """
    if "recurringCycles" not in group:
        group.setdefault("periods", months(cycles))
    fields = {**SALES, "rewards": list(rewards), **(target or {})}
    (challenge,) = define_group(org, asked, fields, **{"trackingType": "DEFAULT", **group})
    return challenge


def define_streak(
    org: Org,
    cycles: int = 30,
    levels: Sequence[int] = (4, 8, 12),
    asked: float = 1,
    target: Mapping[str, Any] | None = None,
    **group: Any,
) -> Challenge:
    """A streak of days from 1 June 2026 on, called c1, c2 …; its levels l1, l2 … have a reward each.

    A day is met by `asked` purchases, unless `target` has other fields.
    """
    prefix = f"S{next(_names)} l"
    streaks = [
        {
            "name": f"{prefix}{number}",
            "targetCountOfSequence": level,
            "rewards": [{"name": f"Benefit of l{number}", "type": "BADGE", "value": 1}],
        }
        for number, level in enumerate(levels, start=1)
    ]
    group.setdefault("periods", days(cycles))
    fields = {"trackingType": "STREAKS", "streaks": streaks, **group}
    (challenge,) = define_group(org, asked, {**COUNT, **(target or {})}, **fields)
    return challenge


def months(cycles: int) -> list[dict[str, str]]:
    """Months from June 2026 on: c1, c2 …, with local dates."""
    bounds = [date(2026 + (5 + n) // 12, (5 + n) % 12 + 1, 1) for n in range(cycles + 1)]
    return [
        period(f"c{n + 1}", bounds[n], bounds[n + 1] - timedelta(days=1)) for n in range(cycles)
    ]


def days(cycles: int, first: date = date(2026, 6, 1)) -> list[dict[str, str]]:
    """Days from `first` on: c1, c2 …, with local dates."""
    each = [first + timedelta(days=n) for n in range(cycles)]
    return [period(f"c{n}", on, on) for n, on in enumerate(each, start=1)]


def period(name: str, first: date, last: date) -> dict[str, str]:
    """A cycle from one local date to another, both included."""
    return {"refCode": name, "startDate": first.isoformat(), "endDate": last.isoformat()}


def names(first: int, last: int) -> list[str]:
    """`c3`, `c4`, `c5` for 3 and 5."""
    return [f"c{number}" for number in range(first, last + 1)]


def before(instant: str) -> str:
    """One millisecond before an instant."""
    return (datetime.fromisoformat(instant) - timedelta(milliseconds=1)).isoformat()


def sale(customer: int, amount: float, on: str, **fields: Any) -> dict[str, Any]:
    """A transaction of a net amount; its id is new unless given."""
    return _activity(customer, "TRANSACTION", on, **{"netAmount": amount, **fields})


def deed(customer: int, event: str, on: str, **attributes: Any) -> dict[str, Any]:
    """A behavioural event with its attributes."""
    return _activity(customer, "EVENT", on, eventName=event, attributes=attributes)


def giving_back(
    customer: int, sale_id: str, amount: float, on: str, **fields: Any
) -> dict[str, Any]:
    """A return of a net amount of a transaction."""
    return _activity(customer, "RETURN", on, **{"returnOf": sale_id, "netAmount": amount, **fields})


def item(sku: str, net_amount: float, quantity: float = 1, **fields: Any) -> dict[str, Any]:
    """One line of a bill."""
    return {"sku": sku, "quantity": quantity, "netAmount": net_amount, **fields}


def post(org: Org, *activities: Any) -> list[dict[str, Any]]:
    """The results of activities that are sent in one call, as a JSON array."""
    found: list[dict[str, Any]] = data(org.post("/milepost/v1/activities", list(activities)))
    assert len(found) == len(activities)
    return found


def stream(org: Org, *lines: Mapping[str, Any] | bytes | str) -> list[dict[str, Any]]:
    """The results of lines that are sent in one call, as NDJSON: activities, or whatever is sent."""
    body = b"\n".join(line if isinstance(line, bytes) else _line(line) for line in lines)
    response = org.post(
        "/milepost/v1/activities", body, headers={"Content-Type": "application/x-ndjson"}
    )
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def statuses(results: Iterable[Mapping[str, Any]]) -> list[str | int]:
    """What became of each activity: ACCEPTED, DUPLICATE, or the code with which it was rejected."""
    return [each["errors"][0]["code"] if each["errors"] else each["status"] for each in results]


def outcome(response: httpx.Response, customer: int) -> int:
    """ACCEPTED, with the customer's id in the answer, or the code of the refusal."""
    body = response.json()
    if response.status_code == ACCEPTED:
        assert body == {"data": customer, "errors": None, "warnings": None}
        return ACCEPTED
    assert response.status_code == 400, response.text
    (error,) = body["errors"]
    assert body == {"data": None, "errors": [error], "warnings": None}
    return int(error["code"])


def data(response: httpx.Response) -> Any:
    """The `data` of a success."""
    assert response.is_success, response.text
    return response.json()["data"]


def define_group(
    org: Org, asked: float, *targets: Mapping[str, Any], **group: Any
) -> tuple[Challenge, ...]:
    """A target group with a target for each of `targets`, which ask for `asked` unless they say."""
    name = f"ABC {next(_names)}"
    drafts = [
        {"name": f"{name} {n}", "defaultValues": [{"defaultValue": asked}], **target}
        for n, target in enumerate(targets, start=1)
    ]
    made = org.define(**{"name": name, "totalPeriods": 1, "targets": drafts, **group})
    periods = {each["refCode"]: each for each in made["periods"]}
    ids = {each["name"]: each["id"] for each in made["targets"]}
    return tuple(Challenge(org, made["id"], ids[draft["name"]], periods) for draft in drafts)


def _activity(customer: int, kind: str, on: str, **fields: Any) -> dict[str, Any]:
    identity = f"{kind[0].lower()}{next(_names)}"
    return {"id": identity, "customerId": customer, "type": kind, "occurredAt": on, **fields}


def _line(line: Mapping[str, Any] | str) -> bytes:
    return (line if isinstance(line, str) else json.dumps(line)).encode()
