"""The calls that enrol, issue and revoke, as they are read: contract §7, "Request-level"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import Refusal
from milepost.rules.customers import Identifier, Lookup
from milepost.rules.effects import Origin
from milepost.rules.issuing import EARN, ENROL, ISSUE, Act
from milepost.rules.issuing_calls import (
    BULK_SOURCES,
    EARN_IDS_MAX,
    CallDraft,
    Named,
    read_call,
    read_single_call,
)

ACTIONS = (ENROL, EARN)
GOOD = CallDraft(
    "CUSTOMER",
    ENROL,
    469,
    57099,
    None,
    "id",
    [{"identifierValue": "555567088", "source": "INSTORE"}],
)
UNKNOWN_TYPE, USER_GROUP, INSUFFICIENT, EMPTY, TOO_MANY, WRONG_TYPE = (
    8901,
    8899,
    8881,
    11013,
    1060,
    1212,
)
JUNK: tuple[Any, ...] = (
    True, False, 1.5, 10**30, -(10**30), 10**5000, "", "  ", "abc", "\x00", "\ud800", [], {}, [[]],
    [{}], {"a": 1}, ["1"], [None],
)  # fmt: skip


def shown(value: object) -> str | None:
    """The name of a case; Python writes no number of 5,000 digits."""
    is_huge = isinstance(value, int) and abs(value) >= 10**100
    return "huge" if is_huge else None


def code(draft: CallDraft, customers_max: int = 100) -> int:
    """The refusal's number; 0 for a call that can be acted on."""
    read = read_call(draft, ACTIONS, Origin("request"), customers_max)
    return read.error.code if isinstance(read, Refusal) else 0


def acts(draft: CallDraft) -> list[Act]:
    read = read_call(draft, ACTIONS, Origin("request"))
    assert not isinstance(read, Refusal), read
    return read


def customers(number: int) -> list[dict[str, object]]:
    return [{"identifierValue": str(each + 1), "source": "INSTORE"} for each in range(number)]


# The order of the checks

FAULTS: tuple[tuple[int, Callable[[CallDraft], CallDraft]], ...] = (
    (UNKNOWN_TYPE, lambda draft: replace(draft, type="STORE")),
    (INSUFFICIENT, lambda draft: replace(draft, program_id=None)),
    (EMPTY, lambda draft: replace(draft, identifier_name="")),
    (TOO_MANY, lambda draft: replace(draft, customers=customers(101))),
)


def test_a_good_call_is_read_as_it_was_meant() -> None:
    (act,) = acts(GOOD)
    assert (act.call.program_id, act.call.promotion_id, act.call.identifier) == (469, 57099, None)
    assert (act.call.action, act.call.actions) == (ENROL, ACTIONS)
    assert act.lookup == Lookup(Identifier("id", "555567088"), "INSTORE")
    assert (act.earn_ids, act.origin) == (None, Origin("request"))


def test_a_call_that_is_wrong_in_several_ways_is_refused_for_the_first_of_them() -> None:
    for place, (first, spoil) in enumerate(FAULTS):
        draft = spoil(GOOD)
        assert code(draft) == first
        for _, spoil_too in FAULTS[place + 1 :]:
            draft = spoil_too(draft)
            assert code(draft) == first


def test_a_customer_who_cannot_be_read_comes_before_there_being_too_many() -> None:
    unread: list[object] = [*customers(150), {"identifierValue": "1"}]
    assert code(replace(GOOD, customers=unread)) == EMPTY


@pytest.mark.parametrize("action", [None, "", "PAY", 5, True, [], {"a": 1}, 10**5000], ids=shown)
def test_a_wrong_action_is_found_when_the_promotion_is_known(action: object) -> None:
    (act,) = acts(replace(GOOD, action=action))
    assert act.call.action == (action if isinstance(action, str) else None)


# 8901, 8899


@pytest.mark.parametrize(
    "kind", [None, "customer", "Customer", " CUSTOMER", "STORE", *JUNK], ids=shown
)
def test_8901_the_type_is_absent_or_not_customer_to_the_letter(kind: object) -> None:
    assert code(replace(GOOD, type=kind)) == UNKNOWN_TYPE


def test_8899_a_user_group_is_refused_by_its_own_code() -> None:
    assert code(replace(GOOD, type="USERGROUP2", program_id=None, customers=None)) == USER_GROUP
    assert code(replace(GOOD, type="usergroup2")) == UNKNOWN_TYPE


# 8881


@pytest.mark.parametrize("program", [None, "469", *JUNK], ids=shown)
def test_8881_the_program_is_absent_or_no_integer(program: object) -> None:
    assert code(replace(GOOD, program_id=program)) == INSUFFICIENT


@pytest.mark.parametrize("promotion", [None, "1.0", "-1", "1e3", "٣", "1" * 19, *JUNK], ids=shown)
@pytest.mark.parametrize("identifier", [None, 7, True, "", "  ", [], {}])
def test_8881_neither_way_to_name_the_promotion_can_be_read(
    promotion: object, identifier: object
) -> None:
    draft = replace(GOOD, promotion_id=promotion, identifier=identifier)
    assert code(draft) == INSUFFICIENT


@pytest.mark.parametrize("sent", [57099, "57099", " 57099 ", "057099"])
def test_the_promotions_id_may_be_a_text_of_digits(sent: object) -> None:
    (act,) = acts(replace(GOOD, promotion_id=sent))
    assert act.call.promotion_id == 57099


@pytest.mark.parametrize("promotion", [None, "abc", 1.5, True, []])
def test_a_promotion_id_of_a_wrong_type_is_none_where_the_identifier_is_sent(
    promotion: object,
) -> None:
    (act,) = acts(replace(GOOD, promotion_id=promotion, identifier=" review-and-save"))
    assert (act.call.promotion_id, act.call.identifier) == (None, " review-and-save")


@pytest.mark.parametrize("sent", [0, -1, 2**63 - 1, -(2**63)])
def test_ids_that_nobody_has_are_ids_all_the_same(sent: int) -> None:
    (act,) = acts(replace(GOOD, program_id=sent, promotion_id=sent))
    assert (act.call.program_id, act.call.promotion_id) == (sent, sent)


# 11013


@pytest.mark.parametrize("name", [None, "externalId", "cardnumber", "cuid", *JUNK], ids=shown)
def test_11013_the_identifier_name_is_absent_or_not_in_the_list(name: object) -> None:
    assert code(replace(GOOD, identifier_name=name)) == EMPTY


@pytest.mark.parametrize("named", [None, 1, "1", customers(1)[0], [customers(1)], *JUNK], ids=shown)
def test_11013_the_customers_are_absent_or_empty_or_no_objects(named: object) -> None:
    assert code(replace(GOOD, customers=named)) == EMPTY


@pytest.mark.parametrize(
    "value",
    [v for v in (None, *JUNK) if not isinstance(v, int | str) or isinstance(v, bool)],
    ids=shown,
)
def test_11013_an_identifier_value_is_absent_or_no_text(value: object) -> None:
    assert code(replace(GOOD, customers=[{"identifierValue": value, "source": "ALL"}])) == EMPTY


@pytest.mark.parametrize("source", [None, "WECHAT", "MOBILE_APP", "MOON", 5, *JUNK], ids=shown)
def test_11013_a_source_is_absent_or_not_in_the_list(source: object) -> None:
    sent = [*customers(3), {"identifierValue": "1", "source": source}]
    assert code(replace(GOOD, customers=sent)) == EMPTY


def test_11013_a_blank_value_is_none() -> None:
    for blank in ("", "   ", "\t"):
        sent = [{"identifierValue": blank, "source": "INSTORE"}]
        assert code(replace(GOOD, customers=sent)) == EMPTY


def test_the_sources_are_those_of_the_seed() -> None:
    named = "FACEBOOK WEB_ENGAGE INSTORE MARTJACK TMALL TAOBAO JD ECOMMERCE WEBSITE LINE ALL"
    assert set(BULK_SOURCES) == set(named.split())
    for source in BULK_SOURCES:
        sent = [{"identifierValue": "1", "source": f" {source.lower()} "}]
        (act,) = acts(replace(GOOD, customers=sent))
        assert act.lookup == Lookup(Identifier("id", "1"), source)


@pytest.mark.parametrize(
    ("name", "value", "identifier"),
    [
        ("id", "555567088", Identifier("id", "555567088")),
        ("ID", 555567088, Identifier("id", "555567088")),
        (" Mobile ", "+91 99860-00586", Identifier("mobile", "919986000586")),
        ("mobile", 919986000586, Identifier("mobile", "919986000586")),
        ("EMAIL", "Ann@Example.com", Identifier("email", "ann@example.com")),
    ],
)
def test_identifiers_are_read_liberally(name: str, value: object, identifier: Identifier) -> None:
    sent = [{"identifierValue": value, "source": "instore", "ignored": [1]}]
    (act,) = acts(replace(GOOD, identifier_name=name, customers=sent))
    assert act.lookup is not None
    assert act.boundary == act.lookup.identifier == identifier


@pytest.mark.parametrize(
    "value", ["abc", "-5", "0", "1.0", -5, 0, 2**63, 10**30, 10**5000], ids=shown
)
def test_a_value_that_can_be_nobodys_is_one_customers_matter_and_not_the_calls(
    value: object,
) -> None:
    sent = [{"identifierValue": value, "source": "ALL"}, *customers(1)]
    nobody, somebody = acts(replace(GOOD, customers=sent))
    assert nobody.lookup is None
    assert somebody.lookup is not None
    # Whoever cannot be looked up is nobody else either.
    other = acts(replace(GOOD, customers=[{"identifierValue": "x", "source": "ALL"}]))[0]
    assert len({nobody.boundary, somebody.boundary, other.boundary}) == 3


# 1060


@pytest.mark.parametrize(
    ("number", "customers_max", "expected"),
    [(100, 100, 0), (101, 100, TOO_MANY), (11, 10, TOO_MANY), (10, 10, 0), (500, 0, 0)],
)
def test_1060_there_are_more_customers_than_the_call_takes(
    number: int, customers_max: int, expected: int
) -> None:
    assert code(replace(GOOD, customers=customers(number)), customers_max) == expected


# earnIds


@pytest.mark.parametrize(
    ("sent", "ids"),
    [
        (None, None),
        ([794], (794,)),
        (["794", 795, 794], (794, 795, 794)),
        # What cannot be read names a record that nobody has: nothing is revoked by mistake.
        ([], ()),
        ([794, "x"], ()),
        ([1.5], ()),
        ([True], ()),
        ([None], ()),
        ("794", ()),
        (794, ()),
        ({"794": 1}, ()),
        ([2**63], ()),
        (list(range(EARN_IDS_MAX + 1)), ()),
    ],
)
def test_earn_ids_are_all_read_or_none_of_them(sent: object, ids: tuple[int, ...] | None) -> None:
    named = [{"identifierValue": "1", "source": "INSTORE", "earnIds": sent}]
    (act,) = acts(replace(GOOD, customers=named))
    assert act.earn_ids == ids


# The single call

NAMED = Named("INSTORE", "mobile", "919986000586", None)


def single(draft: CallDraft, named: Named) -> Act | int:
    read = read_single_call(draft, named, ISSUE, Origin("request"))
    return read.error.code if isinstance(read, Refusal) else read


ONE = CallDraft(None, ISSUE, 469, 57099, None, None, None)


@pytest.mark.parametrize("kind", [None, "", "CUSTOMER"])
def test_a_single_call_is_read_as_it_was_meant(kind: str | None) -> None:
    act = single(replace(ONE, type=kind), NAMED)
    assert isinstance(act, Act)
    assert act.lookup == Lookup(Identifier("mobile", "919986000586"), "INSTORE")
    assert (act.call.promotion_id, act.call.action, act.call.actions) == (57099, ISSUE, (ISSUE,))


@pytest.mark.parametrize("kind", ["externalId", "email", "id", "EXTERNALID"])
def test_a_single_call_knows_more_identifiers_and_sources(kind: str) -> None:
    value = {"email": "a@b.c", "id": "7"}.get(kind, "A-1")
    act = single(ONE, Named("mobile_app", kind, value, " acc "))
    assert isinstance(act, Act)
    assert act.lookup is not None
    assert (act.lookup.source, act.lookup.account_id) == ("MOBILE_APP", "acc")


def test_a_single_call_is_refused_for_its_type_then_its_customer_then_its_promotion() -> None:
    nobody = Named(None, None, None, None)
    empty = replace(ONE, program_id=None)
    assert single(replace(empty, type="USERGROUP2"), nobody) == USER_GROUP
    assert single(replace(empty, type="STORE"), nobody) == WRONG_TYPE
    assert single(empty, nobody) == EMPTY
    assert single(empty, NAMED) == INSUFFICIENT
    assert single(replace(ONE, promotion_id=None), NAMED) == INSUFFICIENT


@pytest.mark.parametrize(
    "change",
    [
        {"source": None},
        {"source": " "},
        {"source": "MOON"},
        {"source": "ALL"},
        {"kind": None},
        {"kind": "cardnumber"},
        {"value": None},
        {"value": "  "},
    ],
)
def test_a_single_call_names_source_kind_and_value(change: dict[str, Any]) -> None:
    assert single(ONE, NAMED._replace(**change)) == EMPTY


def test_a_single_call_for_nobody_is_acted_on_and_finds_nobody() -> None:
    act = single(ONE, NAMED._replace(kind="id", value="abc"))
    assert isinstance(act, Act)
    assert act.lookup is None


# Whatever is sent


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**5000), 10**5000)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["CUSTOMER", "id", "mobile", "INSTORE", "1", "57099", "USERGROUP2"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["identifierValue", "source", "earnIds", "x"]) | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


def either(good: object) -> st.SearchStrategy[object]:
    return JSON | st.just(good)


CUSTOMER = st.fixed_dictionaries(
    {}, optional={"identifierValue": either("1"), "source": either("INSTORE"), "earnIds": JSON}
)
DRAFTS = st.builds(
    CallDraft,
    either("CUSTOMER"),
    JSON,
    either(469),
    either(57099),
    either("review-and-save"),
    either("id"),
    JSON | st.lists(CUSTOMER | JSON, max_size=4),
)
REFUSALS = {0, UNKNOWN_TYPE, USER_GROUP, INSUFFICIENT, EMPTY, TOO_MANY}


@given(DRAFTS)
def test_whatever_is_sent_is_read_or_refused_and_never_raises(draft: CallDraft) -> None:
    assert code(draft) in REFUSALS
    read = read_call(draft, ACTIONS)
    if isinstance(read, list):
        assert isinstance(draft.customers, list)
        assert len(read) == len(draft.customers)
        assert all(len(act.key) <= 300 for act in read)


TEXT = st.none() | st.text(max_size=20) | st.sampled_from(["INSTORE", "ALL", "id", "mobile", "1"])


@given(DRAFTS, st.builds(Named, TEXT, TEXT, TEXT, TEXT))
def test_a_single_call_is_read_or_refused_and_never_raises(draft: CallDraft, named: Named) -> None:
    outcome = single(draft, named)
    assert isinstance(outcome, Act) or outcome in {USER_GROUP, WRONG_TYPE, EMPTY, INSUFFICIENT}
