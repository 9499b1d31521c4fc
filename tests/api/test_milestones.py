"""`GET /v3/milestones`: filters and pages (domain: milestones §3.5, GAM)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api.payloads import code, milestone, period, streak, target, unified
from tests.harness import Org, Service


@pytest.fixture(scope="module")
def shelf(service: Service) -> Org:
    """An organisation in Kolkata with one group of each status and kind; the clock is in June 2026."""
    org = service.new_org(timeZone="Asia/Kolkata", now="2026-06-15T00:00:00Z")
    spans: dict[str, tuple[dict[str, Any], str, str]] = {
        "May visits": (milestone(targets=[target(targetType="VISIT")]), "2026-05-01", "2026-05-31"),
        "June sales": (milestone(), "2026-06-01", "2026-06-30"),
        "June run": (streak(), "2026-06-01", "2026-06-30"),
        "June both": (unified(), "2026-06-01", "2026-06-30"),
        "June stopped": (milestone(active=False), "2026-06-01", "2026-06-30"),
        "June challenge": (milestone(userCreated=True), "2026-06-01", "2026-06-30"),
        "July run": (streak(), "2026-07-01", "2026-07-31"),
    }
    for name, (body, start, end) in spans.items():
        if body["trackingType"] == "STREAKS":
            body["streaks"][0]["targetCountOfSequence"] = 1
        if name == "July run":
            body["trackingType"] = "NON_CONTINUOUS_STREAKS"
        org.define(**{**body, "name": name, "periods": [period("p", start, end)]})
    return org


FILTERS = [
    ("", ["July run", "June stopped", "June both", "June run", "June sales", "May visits"]),
    ("status=live", ["June both", "June run", "June sales"]),
    ("status=UPCOMING", ["July run"]),
    ("status=ENDED", ["May visits"]),
    ("status=STOPPED", ["June stopped"]),
    ("status=ENDED,UPCOMING", ["July run", "May visits"]),
    ("status=ENDED&status=UPCOMING", ["July run", "May visits"]),
    ("type=STREAKS", ["July run", "June run"]),
    ("type=NON_CONTINUOUS_STREAKS", ["July run"]),
    ("type=unified", ["June both"]),
    ("type=CAPPING", []),
    ("target-on=VISIT", ["May visits"]),
    ("target-on=VISIT,COUNT", ["May visits"]),
    ("name=RUN", ["July run", "June run"]),
    ("name=", ["July run", "June stopped", "June both", "June run", "June sales", "May visits"]),
    ("name=%25", []),
    ("start-date=2026-07-01", ["July run"]),
    ("end-date=2026-05-31", ["May visits"]),
    ("end-date=2026-04-30", []),
    ("start-date=2026-06-30&end-date=2026-06-30&type=DEFAULT", ["June stopped", "June sales"]),
    ("start-date=2026-05-31T18:30:00Z&end-date=2026-05-31T18:30:00Z&type=UNIFIED", ["June both"]),
    ("end-date=2026-05-31T18:29:59.999Z", ["May visits"]),
    ("includeUserCreatedTargetGroups=true&name=challenge", ["June challenge"]),
]


@pytest.mark.parametrize(("query", "names"), FILTERS)
def test_milestones_are_those_that_pass_every_filter_newest_first(
    shelf: Org, query: str, names: list[str]
) -> None:
    body = shelf.get(f"/v3/milestones?{query}").json()
    assert [group["name"] for group in body["data"]] == names
    assert body["pagination"] == {"limit": 10, "offset": 0, "total": len(names)}
    assert (body["errors"], body["warnings"]) == ([], [])


def test_the_offset_counts_pages_and_the_total_counts_records(shelf: Org) -> None:
    pages = [shelf.get(f"/v3/milestones?limit=4&offset={n}").json() for n in range(3)]
    assert [len(page["data"]) for page in pages] == [4, 2, 0]
    ids = [group["id"] for page in pages for group in page["data"]]
    assert ids == sorted(ids, reverse=True)
    assert pages[1]["pagination"] == {"limit": 4, "offset": 1, "total": 6}


def test_periods_come_when_they_are_required(shelf: Org) -> None:
    (group,) = shelf.get("/v3/milestones?type=UNIFIED").json()["data"]
    assert "periods" not in group
    assert group["activePeriod"]["refCode"] == "p"
    (group,) = shelf.get("/v3/milestones?type=UNIFIED&require-periods=true").json()["data"]
    assert [each["refCode"] for each in group["periods"]] == ["p"]


@pytest.mark.parametrize(
    "query",
    [
        "status=SLEEPING",
        "type=LOTTERY",
        "target-on=JOY",
        "limit=0",
        "limit=1001",
        "limit=ten",
        "limit=1.0",
        "offset=-1",
        "offset=99999999999999999999",
        "require-periods=maybe",
        "start-date=soon",
        "end-date=2026-02-30",
    ],
)
def test_a_query_that_means_nothing_is_300004(shelf: Org, query: str) -> None:
    assert code(shelf.get(f"/v3/milestones?{query}")) == 300004
