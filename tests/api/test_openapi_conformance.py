"""The OpenAPI document is true: whatever is sent, no 5xx, and every answer is one that it describes.

schemathesis makes the requests from the document, well-formed and not, and each is sent with credentials.
Half of them carry ids of what there is, so that they get past the look-ups.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.payloads import milestone
from tests.harness import ADMIN_TOKEN, Org, Service
from tests.house.tree import ROOT

EXAMPLES = 12
DOCUMENT: dict[str, Any] = json.loads((ROOT / "openapi.json").read_text())
# One of the four prefixes, and one that reads the scope headers, stand for the others.
for path in [*DOCUMENT["paths"]]:
    if path.startswith(("/targetGroups", "/users", "/milestones", "/api_gateway/intouch")):
        del DOCUMENT["paths"][path]
SCHEMA: Any = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = [result.ok() for result in SCHEMA.get_all_operations()]


@pytest.fixture(scope="module")
def known(service: Service) -> tuple[Org, Mapping[str, Any]]:
    """An organisation with something of each kind, and its ids by their names in paths."""
    org = service.new_org()
    group = org.define(**milestone())
    customer = org.register()
    org.post("/milepost/v1/programs", {"programId": 469, "name": "Club"})
    org.post(
        "/milepost/v1/promotions",
        {
            "programId": 469,
            "promotionId": 57099,
            "name": "Review and save",
            "type": "LOYALTY_EARNING",
            "startDate": "2026-05-01T00:00:00Z",
            "endDate": "2026-12-31T00:00:00Z",
        },
    )
    target_id = group["targets"][0]["id"]
    return org, {
        "targetGroupId": group["id"],
        "targetId": target_id,
        "targetRuleId": target_id,
        "customerId": customer,
        "userId": customer,
        "memberId": customer,
        "programId": 469,
        "promotionId": 57099,
        "orgId": org.id,
    }


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.label)
def test_every_answer_is_one_that_the_document_describes_and_none_is_a_5xx(
    service: Service, known: tuple[Org, Mapping[str, Any]], operation: Any
) -> None:
    org, ids = known
    if "erasure" in operation.path:
        ids = {**ids, "customerId": org.register()}  # the others go on with theirs
    session = requests.Session()
    session.trust_env = False
    if operation.definition.raw.get("security") == [{"operator": []}]:
        session.headers["Authorization"] = f"Bearer {ADMIN_TOKEN}"
    else:
        session.auth = (org.username, org.password)

    @hypothesis.settings(
        max_examples=EXAMPLES,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[*HealthCheck],
    )
    @hypothesis.given(operation.as_strategy(), st.booleans())
    def ask(case: Any, real: bool) -> None:
        if real:
            case.path_parameters.update(
                {name: ids[name] for name in case.path_parameters if name in ids}
            )
        if "credentialId" in case.path_parameters:
            case.path_parameters["credentialId"] += (
                2**40
            )  # not those that these calls are made with
        response = case.call(base_url=service.url, session=session)
        assert response.status_code < 500, response.text
        case.validate_response(
            response,
            checks=[
                status_code_conformance,
                response_schema_conformance,
                content_type_conformance,
            ],
        )

    ask()
    session.close()
