"""The words that the stories of promotions are told in: a promotion, and what became of each customer.

Everything goes over HTTP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

from tests.harness import Org
from tests.scenarios.vocabulary import data

GENERIC = "GENERIC"
DIRECT = "LOYALTY"
ENROL_AND_ISSUE = "LOYALTY_EARNING"

EXHAUSTED = 8890
"""A warning: a limit is used up, and nothing was done."""
CUSTOMER_NOT_FOUND = 8015
NOT_ENROLLED = 2305
LIVE_EARNS = 8896
WRONG_EARN_IDS = 8903

FIFTY = {"name": "Fifty points", "type": "POINTS", "value": 50, "reference": None}
COFFEE = {"name": "A coffee", "type": "COUPON", "value": 1, "reference": "COFFEE"}
NO_END = "2026-12-31T23:59:59Z"

_numbers = count(1)


class Issued(NamedTuple):
    """What one customer of a call got: the ids of the enrolment and of the earned record."""

    issual: int
    earn: int | None = None


class Revoked(NamedTuple):
    """What was taken back of one customer."""

    issual: int | None = None
    earns: tuple[int, ...] = ()


Fate = Issued | Revoked | int
"""What became of one customer of a call: what was done, or the code of the error or warning."""


@dataclass(frozen=True)
class Offer:
    """A promotion, as its organisation sees it."""

    org: Org
    program_id: int
    id: int

    def enrol(self, *customers: int) -> list[Fate]:
        """Enrol customers in one call."""
        return self.act("ENROL", *customers)

    def earn(self, *customers: int) -> list[Fate]:
        """Issue it to customers in one call."""
        return self.act("EARN", *customers)

    def revoke_enrol(self, *customers: int) -> list[Fate]:
        """Take enrolments back."""
        return self.act("REVOKE_ENROL", *customers)

    def revoke_earn(self, customer: int, earn_ids: Sequence[int] | None = None) -> Fate:
        """Take back what a customer was issued, or only the records named."""
        entry = {**by_id(customer), **({} if earn_ids is None else {"earnIds": earn_ids})}
        (fate,) = fates(self.send("REVOKE_EARN", [entry]))
        return fate

    def act(self, action: str, *customers: int) -> list[Fate]:
        """One call for customers by their ids."""
        return fates(self.send(action, [by_id(customer) for customer in customers]))

    def send(self, action: str, customers: Any, **fields: Any) -> dict[str, Any]:
        """A bulk call as it is written; answers the body."""
        return bulk(self.org, self.body(action, customers, **fields))

    def body(self, action: str, customers: Any, **fields: Any) -> dict[str, Any]:
        """The body of a bulk call; `fields` replace its own."""
        return {
            "type": "CUSTOMER",
            "bulkAction": action,
            "promotionDetails": {"programId": self.program_id, "promotionId": self.id},
            "identifierName": "id",
            "customers": customers,
            **fields,
        }

    def change(self, **fields: Any) -> dict[str, Any]:
        """Change the promotion by the plain call."""
        path = f"/milepost/v1/promotions/{self.id}"
        changed: dict[str, Any] = data(self.org.client.put(path, json=fields))
        return changed

    def rewards(self, customer: int) -> list[str]:
        """The names of the rewards that the customer was granted by it, oldest first."""
        return [each["name"] for each in self.granted(customer)]

    def granted(self, customer: int) -> list[dict[str, Any]]:
        """The rewards that the customer was granted by it, as they are listed."""
        return [each for each in ledger(self.org, customer) if each["promotionId"] == self.id]

    def told(self, customer: int) -> list[tuple[str, str]]:
        """What happened to the customer here, and its reason code, oldest first."""
        found = data(
            self.org.get(
                f"/milepost/v1/customers/{customer}/explanation",
                params={"promotionId": str(self.id)},
            )
        )
        return [(line["what"], line["reason"]) for line in found]


def offer(org: Org, kind: str = ENROL_AND_ISSUE, **fields: Any) -> Offer:
    """A promotion of a program of its own: from the clock's instant to the end of 2026, one coffee for a
    purchase. `fields` are those of the plain call; `programId` names a program that there is.
    """
    number = next(_numbers)
    program_id = fields.pop("programId", None) or define_program(org)
    body = {
        "programId": program_id,
        "name": f"Offer {number}",
        "type": kind,
        "startDate": fields.pop("startDate", None) or org.now(),
        "endDate": NO_END,
        "criteria": {"event": "TransactionAdd"},
        "rewards": [COFFEE],
        **fields,
    }
    made = data(org.post("/milepost/v1/promotions", body))
    return Offer(org, program_id, made["promotionId"])


def define_program(org: Org, program_id: int | None = None) -> int:
    """A program; returns its id."""
    body = {"programId": program_id, "name": f"Program {next(_numbers)}"}
    made = data(org.post("/milepost/v1/programs", body))
    return int(made["programId"])


def by_id(customer: int, source: str = "INSTORE") -> dict[str, Any]:
    """A customer of a bulk call, by id."""
    return {"identifierValue": str(customer), "source": source}


def bulk(org: Org, body: Any, path: str | None = None) -> dict[str, Any]:
    """The answer of a bulk call, which is HTTP 200 whatever it says."""
    if path is None:
        revokes = isinstance(body, Mapping) and str(body.get("bulkAction")).startswith("REVOKE")
        path = "revokeEnrolAndEarn" if revokes else "enrolAndEarn"
    response = org.post(f"/v2/promotion/bulk/{path}", body)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    items = answer["response"]
    assert answer["totalCount"] == len(items)
    assert answer["failureCount"] == sum(1 for item in items if item["errors"])
    return answer


def fates(answer: Mapping[str, Any]) -> list[Fate]:
    """What became of each customer of a call."""
    return [_fate(item) for item in answer["response"]]


def refusal(answer: Mapping[str, Any]) -> tuple[int, str]:
    """Code and message of a call that was refused as a whole: one item, and nothing was done."""
    (item,) = answer["response"]
    assert item.keys() == {"errors", "warnings"}
    (error,) = item["errors"]
    assert item["warnings"] == []
    assert error["status"] is False
    return error["code"], error["message"]


def ledger(org: Org, customer: int) -> list[dict[str, Any]]:
    """All rewards of a customer, oldest first."""
    found: list[dict[str, Any]] = data(org.get(f"/milepost/v1/customers/{customer}/rewards"))
    return found


def _fate(item: Mapping[str, Any]) -> Fate:
    if item["errors"]:
        assert "result" not in item
        (error,) = item["errors"]
        return int(error["code"])
    result = item["result"]
    if item["warnings"]:
        (warning,) = item["warnings"]
        ids = ("issualId", "earnedId", "revokedIssualId", "revokedEarnIds")
        assert not any(name in result for name in ids)
        return int(warning["code"])
    if "revokedIssualId" in result or "revokedEarnIds" in result:
        return Revoked(result.get("revokedIssualId"), tuple(result.get("revokedEarnIds", ())))
    earned = result.get("earnedId")
    return Issued(int(result["issualId"]), int(earned) if earned is not None else None)
