"""Enrol in and issue promotions: seed 004, its requests and its answers, ids aside equal.

The programs, promotions and customers are those that the samples name.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness import Org
from tests.scenarios.promotion_vocabulary import (
    DIRECT,
    ENROL_AND_ISSUE,
    GENERIC,
    bulk,
    define_program,
    offer,
)

CUSTOMERS = (423926199, 423926198, 423926200, 423926201)
# The page shows each of its requests twice.
ENROL_57099 = """
{
    "type" : "CUSTOMER",
    "bulkAction" : "ENROL",
    "promotionDetails" : {
       "programId": 469, 
       "promotionId":57099
    },
    "identifierName":"id",
    "customers":
    [   
        {
            "identifierValue":"555567088",
            "source":"INSTORE"
        }
    ]
}
"""
ENROL_69218 = """
{
    "type" : "CUSTOMER",
    "bulkAction" : "ENROL",
    "promotionDetails" : {
       "programId": 469, 
       "promotionId":69218
    },
    "identifierName":"mobile",
    "customers":
    [   
        {
            "identifierValue":"11223569865",
            "source":"INSTORE"
        },
        {
            "identifierValue":"919986000586",
            "source":"INSTORE"
        }
    ]
}
"""
EARN_57099 = ENROL_57099.replace('"ENROL"', '"EARN"')
EARN_69218 = ENROL_69218.replace('"ENROL"', '"EARN"')


@pytest.fixture
def shop(org: Org) -> Org:
    """An organisation with everything that the samples name."""
    for customer in (*CUSTOMERS, 555567088, 170940055):
        org.register(customer)
    org.register(mobile="11223569865")
    org.register(mobile="919986000586")
    for program in (469, 2714, 699):
        define_program(org, program)
    for promotion, program in ((57099, 469), (69218, 469), (202188, 2714), (74116, 699)):
        offer(org, ENROL_AND_ISSUE, programId=program, promotionId=promotion)
    offer(org, DIRECT, programId=2714, promotionId=202090)
    return org


def send(org: Org, sample: str) -> dict[str, Any]:
    """The answer to a sample that is sent as it is written."""
    response = org.post("/v2/promotion/bulk/enrolAndEarn", sample.encode())
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def body(action: str, program: int, promotion: int, *customers: str | int) -> dict[str, Any]:
    return {
        "type": "CUSTOMER",
        "bulkAction": action,
        "promotionDetails": {"programId": program, "promotionId": promotion},
        "identifierName": "id",
        "customers": [{"identifierValue": str(each), "source": "INSTORE"} for each in customers],
    }


def success(customer: int, promotion: int, program: int, **ids: str) -> dict[str, Any]:
    """A successful item."""
    return {
        "result": {
            "entityType": "CUSTOMER",
            "entityId": customer,
            "promotionId": promotion,
            "programId": program,
            **ids,
        },
        "errors": [],
        "warnings": [],
    }


def failure(code: int, message: str) -> dict[str, Any]:
    """A failed item."""
    return {"errors": [{"status": False, "message": message, "code": code}], "warnings": []}


def refused(code: int, message: str) -> dict[str, Any]:
    """The answer to a call that is refused as a whole."""
    return {"response": [failure(code, message)], "totalCount": 1, "failureCount": 1}


def ids(answer: dict[str, Any], name: str) -> list[str]:
    """The ids of a name, which are texts of numbers."""
    found = [item["result"][name] for item in answer["response"]]
    assert all(isinstance(each, str) and each.isdecimal() for each in found)
    return found


def test_the_four_request_samples_work_as_they_are_written_in_the_order_of_the_page(
    shop: Org,
) -> None:
    enrolled = send(shop, ENROL_57099)
    (issual,) = ids(enrolled, "issualId")
    assert enrolled == {
        "response": [success(555567088, 57099, 469, issualId=issual)],
        "totalCount": 1,
        "failureCount": 0,
    }
    both = send(shop, ENROL_69218)
    assert (both["totalCount"], both["failureCount"]) == (2, 0)
    earned = send(shop, EARN_57099)
    (earn,) = ids(earned, "earnedId")
    assert earned["response"] == [success(555567088, 57099, 469, issualId=issual, earnedId=earn)]
    issued = send(shop, EARN_69218)
    assert ids(issued, "issualId") == ids(both, "issualId")
    assert len(set(ids(issued, "earnedId"))) == 2


def test_the_samples_of_enrol_and_of_earn_answer_as_the_page_shows(shop: Org) -> None:
    enrolled = bulk(shop, body("ENROL", 2714, 202188, *CUSTOMERS))
    issuals = ids(enrolled, "issualId")
    assert enrolled == {
        "response": [
            success(customer, 202188, 2714, issualId=issual)
            for customer, issual in zip(CUSTOMERS, issuals, strict=True)
        ],
        "totalCount": 4,
        "failureCount": 0,
    }
    earned = bulk(shop, body("EARN", 2714, 202188, *CUSTOMERS))
    earns = ids(earned, "earnedId")
    assert earned == {
        "response": [
            success(customer, 202188, 2714, issualId=issual, earnedId=earn)
            for customer, issual, earn in zip(CUSTOMERS, issuals, earns, strict=True)
        ],
        "totalCount": 4,
        "failureCount": 0,
    }
    for sequence in (issuals, earns):
        assert sequence == sorted(sequence, key=int)
        assert len(set(sequence)) == 4


def test_the_sample_of_a_direct_promotion_has_a_dummy_issual_id_for_each_customer(
    shop: Org,
) -> None:
    earned = bulk(shop, body("EARN", 2714, 202090, *CUSTOMERS))
    dummies, earns = ids(earned, "issualId"), ids(earned, "earnedId")
    assert earned == {
        "response": [
            success(customer, 202090, 2714, issualId=dummy, earnedId=earn)
            for customer, dummy, earn in zip(CUSTOMERS, dummies, earns, strict=True)
        ],
        "totalCount": 4,
        "failureCount": 0,
    }
    assert len(set(dummies)) == len(set(earns)) == 4


def test_the_sample_of_a_partial_failure_has_a_result_for_who_is_found_and_8015_for_the_others(
    shop: Org,
) -> None:
    bulk(shop, body("ENROL", 699, 74116, 170940055))
    earned = bulk(shop, body("EARN", 699, 74116, 170940055, 1, 2, "nobody"))
    result = earned["response"][0]["result"]
    not_found = failure(8015, "Customer not found for the given identifiers")
    assert earned == {
        "response": [
            success(
                170940055, 74116, 699, issualId=result["issualId"], earnedId=result["earnedId"]
            ),
            not_found,
            not_found,
            not_found,
        ],
        "totalCount": 4,
        "failureCount": 3,
    }


UNSUPPORTED = (8902, "bulk action passed not supported for loyalty/generic promotion type")


@pytest.mark.parametrize("action", ["ENROL", "enrol", "ISSUE", "", None, 7])
def test_8902_an_action_that_a_direct_promotion_does_not_take(
    shop: Org, action: str | None
) -> None:
    sent = {**body("EARN", 2714, 202090, *CUSTOMERS), "bulkAction": action}
    assert bulk(shop, sent) == refused(*UNSUPPORTED)


@pytest.mark.parametrize("action", ["ENROL", "EARN"])
def test_8902_a_generic_promotion_takes_no_action_at_all(shop: Org, action: str) -> None:
    everybody = offer(shop, GENERIC, programId=469)
    assert bulk(shop, body(action, 469, everybody.id, 555567088)) == refused(*UNSUPPORTED)


def test_1101_an_unknown_program(shop: Org) -> None:
    sent = body("ENROL", 470, 57099, 555567088)
    assert bulk(shop, sent) == refused(1101, "invalid programId passed")


def test_8892_a_promotion_that_is_inactive(shop: Org) -> None:
    paused = offer(shop, programId=469, active=False)
    sent = body("ENROL", 469, paused.id, 555567088)
    assert bulk(shop, sent) == refused(8892, "promotion is inactive")


@pytest.mark.parametrize("promotion", [1, 202188])
def test_8874_a_promotion_that_is_unknown_or_of_another_program(shop: Org, promotion: int) -> None:
    sent = body("ENROL", 469, promotion, 555567088)
    assert bulk(shop, sent) == refused(8874, "promotion id passed is invalid")


def test_8896_an_error_while_issuing_has_the_message_of_the_page(shop: Org) -> None:
    bulk(shop, body("ENROL", 469, 57099, 555567088))
    bulk(shop, body("EARN", 469, 57099, 555567088))
    sent = body("REVOKE_ENROL", 469, 57099, 555567088)
    assert bulk(shop, sent) == refused(
        8896, "Error occurred while issuing promotion to the customer"
    )


@pytest.mark.parametrize("kind", ["customer", "USERGROUP", "", None, 1, ["CUSTOMER"]])
def test_8901_an_entity_type_that_is_none(shop: Org, kind: object) -> None:
    sent = {**body("ENROL", 469, 57099, 555567088), "type": kind}
    assert bulk(shop, sent) == refused(8901, "invalid entity type passed")
