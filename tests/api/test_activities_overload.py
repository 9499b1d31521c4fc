"""Activities when there is no room for them: 503, whole or line by line, and nothing half done."""

from __future__ import annotations

import json

import pytest

from milepost.settings import Settings
from tests.api.test_activities import PATH, sale, whole
from tests.harness import ADMIN_TOKEN, Org


@pytest.fixture(scope="module")
def service_settings(database_url: str) -> Settings:
    return Settings(database_url=database_url, admin_token=ADMIN_TOKEN, queue_size_max=0)


def test_a_call_of_which_nothing_was_done_is_503_as_a_whole(org: Org) -> None:
    response = org.post(PATH, [sale("a", 1), 5, sale("b", 1)])
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "1"
    assert whole(response) == 503


def test_a_call_without_anything_to_do_is_answered(org: Org) -> None:
    assert org.post(PATH, [5]).status_code == 200
    assert org.post(PATH, []).status_code == 200


def test_a_line_that_was_tried_in_vain_is_rejected_with_503(org: Org) -> None:
    lines = [json.dumps(sale(identity, 1)) for identity in "ab"]
    body = "\n".join([lines[0], "x", lines[1]]).encode()
    response = org.post(PATH, body, headers={"Content-Type": "application/x-ndjson"})
    assert response.status_code == 200
    found = [json.loads(each) for each in response.text.splitlines()]
    assert [each["status"] for each in found] == ["REJECTED"] * 3
    assert [each["errors"][0]["code"] for each in found] == [503, 300004, 503]
