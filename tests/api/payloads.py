"""Bodies that define target groups, short enough to read in a test."""

from __future__ import annotations

from itertools import count
from typing import Any

import httpx

_numbers = count(1)


def target(name: str | None = None, **fields: Any) -> dict[str, Any]:
    """A target that asks for 1000 of sales in each cycle; its name is new unless given."""
    return {
        "name": name or f"Target {next(_numbers)}",
        "targetEntity": "TRANSACTION",
        "targetType": "SALES",
        "expression": "true",
        "filters": [],
        "enrolmentMethod": "IMPORT",
        "defaultValues": [{"defaultValue": 1000}],
        **fields,
    }


def milestone(**fields: Any) -> dict[str, Any]:
    """A milestone of three generated daily cycles; its names are new unless given."""
    name = fields.pop("name", None) or f"Milestone {next(_numbers)}"
    return {
        "name": name,
        "trackingType": "DEFAULT",
        "frequencyType": "DAILY",
        "frequency": 1,
        "recurringCycles": 3,
        "totalPeriods": 3,
        "targets": [target(name)],
        **fields,
    }


def unified(**fields: Any) -> dict[str, Any]:
    """A unified group of two targets."""
    return milestone(
        trackingType="UNIFIED",
        **{"combinationType": "ALL", "targets": [target(), target()], **fields},
    )


def streak(**fields: Any) -> dict[str, Any]:
    """A streak of three generated daily cycles with a level at two."""
    levels = [{"name": f"Level {next(_numbers)}", "targetCountOfSequence": 2}]
    return milestone(trackingType="STREAKS", **{"streaks": levels, **fields})


def period(ref_code: str, start: str, end: str, **fields: Any) -> dict[str, Any]:
    """A period with its dates as written."""
    return {"refCode": ref_code, "startDate": start, "endDate": end, **fields}


def data(response: httpx.Response) -> Any:
    """The `data` of a success."""
    assert response.status_code in (200, 201), response.text
    body = response.json()
    assert body["errors"] is None, body
    return body["data"]


def error(response: httpx.Response) -> tuple[int, str]:
    """The code and message of a business error in the v3 envelope."""
    assert response.status_code == 400, response.text
    body = response.json()
    assert body["data"] is None
    assert body["warnings"] is None
    (found,) = body["errors"]
    return found["code"], found["message"]


def code(response: httpx.Response) -> int:
    """The code of a business error."""
    return error(response)[0]
