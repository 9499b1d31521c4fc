"""The words that the stories are told in: a milestone or a streak, and a customer's place in it.

Everything goes over HTTP, but for `met`, which writes what counted activity leaves behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from typing import Any

import httpx
import psycopg

from tests.harness import Org

ACCEPTED = 200
"""The outcome of an enrolment or unenrolment that was done; any other is the code of a refusal."""

ALREADY_ENROLLED = 310119
GROUP_NOT_FOUND = 310017
INVALID_INPUT = 300004
INVALID_USER = 310011
NOT_ENROLLED = 310126
PERIOD_NOT_FOUND = 310019
TARGET_NOT_FOUND = 310018

VOUCHER = {"name": "Voucher", "type": "COUPON", "value": 5, "reference": "SUMMER"}

_names = count(1)


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
    **group: Any,
) -> Challenge:
    """A milestone of months from June 2026 on, called c1, c2 …, that ask for `asked` of sales each.

    `group` are the wire's fields; `periods` replaces the months, `recurringCycles` generates them.
    """
    if "recurringCycles" not in group:
        group.setdefault("periods", months(cycles))
    target = {"targetEntity": "TRANSACTION", "targetType": "SALES", "rewards": list(rewards)}
    return _define(org, asked, target, **{"trackingType": "DEFAULT", **group})


def define_streak(
    org: Org, cycles: int = 30, levels: Sequence[int] = (4, 8, 12), asked: float = 1, **group: Any
) -> Challenge:
    """A streak of days from 1 June 2026 on, called c1, c2 …; its levels l1, l2 … have a reward each."""
    target = {"targetEntity": "TRANSACTION", "targetType": "COUNT"}
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
    return _define(org, asked, target, **{"trackingType": "STREAKS", "streaks": streaks, **group})


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


def met(
    database_url: str,
    streak: Challenge,
    customer: int,
    cycles: Sequence[str],
    levels: Sequence[str] = (),
) -> None:
    """Let the customer have met cycles of a streak, and achieved levels with the last of them.

    By SQL as the owner: the rows that counted activity leaves in the current attempt.
    """
    periods = [streak.periods[cycle]["id"] for cycle in cycles]
    here = {
        "org": streak.org.id,
        "customer": customer,
        "group": streak.group_id,
        "target": streak.target_id,
        "periods": periods,
        "last_period": periods[-1],
        "levels": list(levels),
    }
    with psycopg.connect(database_url) as connection:
        connection.execute(_MET.encode(), here)
        connection.execute(_BENEFITS.encode(), here)


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


def _define(org: Org, asked: float, target: dict[str, Any], **group: Any) -> Challenge:
    name = f"ABC {next(_names)}"
    target = {"name": name, "defaultValues": [{"defaultValue": asked}], **target}
    made = org.define(**{"name": name, "totalPeriods": 1, "targets": [target], **group})
    periods = {each["refCode"]: each for each in made["periods"]}
    return Challenge(org, made["id"], made["targets"][0]["id"], periods)


_ATTEMPT = """
SELECT max(attempt) AS attempt FROM enrolments
WHERE org_id = %(org)s AND customer_id = %(customer)s AND target_id = %(target)s
"""

_MET = f"""
INSERT INTO progress (org_id, customer_id, target_id, period_id, attempt, value, achieved_at)
SELECT %(org)s, %(customer)s, %(target)s, p.period_id, e.attempt, v.value, p.starts_at
FROM target_periods p
JOIN target_values v USING (org_id, period_id)
CROSS JOIN ({_ATTEMPT}) e
WHERE p.org_id = %(org)s AND v.target_id = %(target)s AND p.period_id = ANY (%(periods)s)
ON CONFLICT (org_id, customer_id, target_id, period_id)
DO UPDATE SET attempt = excluded.attempt, value = excluded.value, achieved_at = excluded.achieved_at
"""

_BENEFITS = f"""
INSERT INTO rewards (org_id, customer_id, target_group_id, target_id, period_id, streak_level_id, attempt,
    ordinal, name, type, value, granted_at, cause)
SELECT %(org)s, %(customer)s, %(group)s, %(target)s, %(last_period)s, l.streak_level_id, e.attempt,
    0, l.rewards -> 0 ->> 'name', 'BADGE', 1, now(), 'ACTIVITY'
FROM streak_levels l
CROSS JOIN ({_ATTEMPT}) e
WHERE l.org_id = %(org)s AND l.target_group_id = %(group)s
  AND split_part(l.name, ' ', 2) = ANY (%(levels)s)
ORDER BY l.target_count
"""
