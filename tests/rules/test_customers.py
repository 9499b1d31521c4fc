"""Contract §6 and domain/promotions-and-platform.md §5: identifiers, sources, joining, refusing."""

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import (
    CUSTOMER_EXISTS,
    CUSTOMER_NOT_FOUND,
    IDENTIFIERS_MISSING,
    INVALID_IDENTIFIER,
    INVALID_SOURCE,
    NO_VALID_IDENTIFIERS,
    PROFILE_SOURCE_INVALID,
    PROFILE_SOURCE_MISSING,
    SOURCE_MISSING,
    Error,
    Refusal,
)
from milepost.rules.customers import (
    SOURCES,
    Additions,
    Identifier,
    Known,
    Lookup,
    Profile,
    ProfileDraft,
    Registered,
    Registration,
    Registry,
    normalise,
    read_lookup,
    read_registration,
    register,
    resolve,
)

M1, M2, E1 = (
    Identifier("mobile", "1111111"),
    Identifier("mobile", "2222222"),
    Identifier("email", "e@e"),
)


def command(
    *identifiers: Identifier, source: str = "INSTORE", account: str = "", keep: int | None = None
) -> Registration:
    return Registration((Profile(source, account, identifiers),), keep)


def registry(
    known: dict[Identifier, Known] | None = None, taken: set[int] | None = None
) -> Registry:
    return Registry(known or {}, taken or set(), deque(range(101, 1_000)))


def outcomes(state: Registry, *commands: Registration) -> list[Any]:
    return register(state, commands)[0]


def refused_with(outcome: object) -> tuple[Error, object]:
    assert isinstance(outcome, Refusal), outcome
    return outcome.error, outcome.subject


# Reading what was sent.


@pytest.mark.parametrize(
    ("kind", "written", "normal"),
    [
        ("mobile", "+91 99860-00586", "919986000586"),
        ("mobile", " 11223569865 ", "11223569865"),
        ("mobile", "1234567", "1234567"),
        ("mobile", "123456789012345", "123456789012345"),
        ("email", "Jo.Doe+news@Shop-1.example", "jo.doe+news@shop-1.example"),
        ("externalId", "  AbC/7 ü ", "AbC/7 ü"),
        ("id", "00423", "423"),
        ("id", str(2**63 - 1), str(2**63 - 1)),
    ],
)
def test_equal_identifiers_have_one_normal_form(kind: str, written: str, normal: str) -> None:
    assert normalise(kind, written) == normal
    assert normalise(kind, normal) == normal


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        ("mobile", "123456"),
        ("mobile", "1234567890123456"),
        ("mobile", "99860a00586"),
        ("mobile", "91+9986000586"),
        ("mobile", "٩٩٨٦٠٠٠٥٨٦"),
        ("mobile", ""),
        ("email", "no-at.example"),
        ("email", "a@b@c"),
        ("email", "a b@c"),
        ("email", "\u212aelvin@c"),
        ("email", "a@" + "b" * 254),
        ("externalId", " "),
        ("externalId", "a\x00b"),
        ("externalId", "a\nb"),
        ("externalId", "x" * 256),
        ("id", "12a"),
        ("id", "-5"),
        ("id", "0"),
        ("id", "1.0"),
        ("id", str(2**63)),
        ("id", "9" * 40),
        ("cardnumber", "1234567"),
    ],
)
def test_what_can_be_nobodys_identifier_has_no_normal_form(kind: str, written: str) -> None:
    assert normalise(kind, written) is None


@given(st.sampled_from(["id", "mobile", "email", "externalId"]), st.text(max_size=300))
def test_normalising_twice_is_normalising_once_and_never_leaves_a_null_character(
    kind: str, written: str
) -> None:
    normal = normalise(kind, written)
    if normal is not None:
        assert normalise(kind, normal) == normal
        assert "\x00" not in normal
        assert 0 < len(normal) <= 255


@pytest.mark.parametrize("drafts", [[], [ProfileDraft()], [ProfileDraft(source="  ")]])
def test_a_profile_without_a_source_is_8004(drafts: list[ProfileDraft]) -> None:
    assert refused_with(read_registration(drafts, 7))[0] is PROFILE_SOURCE_MISSING


def test_a_missing_source_is_told_before_a_bad_one_and_a_bad_one_before_identifiers() -> None:
    bad = ProfileDraft(source="NOWHERE")
    assert refused_with(read_registration([bad, ProfileDraft()]))[0] is PROFILE_SOURCE_MISSING
    assert refused_with(read_registration([bad]))[0] is PROFILE_SOURCE_INVALID


@pytest.mark.parametrize("source", ["NOWHERE", "ALL", "OTHERS"])
def test_a_customer_is_not_registered_in_an_unknown_source_or_in_all(source: str) -> None:
    draft = ProfileDraft(source=source, identifiers=[("mobile", "1234567")])
    assert refused_with(read_registration([draft]))[0] is PROFILE_SOURCE_INVALID


@pytest.mark.parametrize("account", ["a\nb", "x" * 256])
def test_an_account_is_one_line_of_text(account: str) -> None:
    draft = ProfileDraft("WECHAT", account, [("mobile", "1234567")])
    assert refused_with(read_registration([draft]))[0] is PROFILE_SOURCE_INVALID


@pytest.mark.parametrize(
    "identifiers",
    [
        [],
        [("mobile", None)],
        [(None, "1234567")],
        [("mobile", "no")],
        [("fax", "1234567")],
        [("id", "1234567")],
        [("mobile", "1234567"), ("email", "no")],
    ],
)
def test_no_identifier_or_one_that_cannot_be_registered_is_8005(
    identifiers: list[tuple[str | None, str | None]],
) -> None:
    draft = ProfileDraft(source="INSTORE", identifiers=identifiers)
    assert refused_with(read_registration([draft]))[0] is NO_VALID_IDENTIFIERS


def test_an_id_to_keep_is_identifier_enough() -> None:
    assert read_registration([ProfileDraft(source="INSTORE")], 7) == command(keep=7)


def test_sources_and_kinds_are_read_in_any_case_and_repeated_identifiers_once() -> None:
    draft = ProfileDraft(
        source=" wechat ",
        account_id=" a ",
        identifiers=[("Mobile", "+1111111"), ("MOBILE", "1 111 111"), ("externalid", "x")],
    )
    assert read_registration([draft]) == Registration(
        (Profile("WECHAT", "a", (M1, Identifier("externalId", "x"))),)
    )


def test_instore_has_no_accounts() -> None:
    draft = ProfileDraft("INSTORE", "a", [("mobile", "1111111")])
    assert read_registration([draft]) == command(M1)


# Deciding.


def test_a_new_identifier_makes_a_customer_with_a_new_id() -> None:
    (outcome,), (added,) = register(registry(), [command(M1, E1)])
    assert outcome == Registered(101)
    assert added.customers == {101: "loyalty"}
    here = frozenset({"INSTORE"})
    assert added.identifiers == {M1: (101, here), E1: (101, here)}
    assert list(added.profiles) == [(101, "INSTORE", "")]


def test_a_customer_who_moves_in_keeps_the_id() -> None:
    assert outcomes(registry(), command(M1, keep=423)) == [Registered(423)]


def test_an_id_that_is_taken_is_8006() -> None:
    (outcome,) = outcomes(registry(taken={423}), command(M1, keep=423))
    assert refused_with(outcome) == (CUSTOMER_EXISTS, 423)


def test_the_same_identifier_in_the_same_source_is_8006_with_the_id_and_adds_nothing() -> None:
    state = registry({M1: Known(7, frozenset({"INSTORE"}))})
    (outcome,), (added,) = register(state, [command(E1, M1)])
    assert isinstance(outcome, Refusal)
    assert outcome.message == "Add failed, Customer already exists with id 7 for same source"
    assert (added.customers, added.identifiers, added.profiles) == ({}, {}, {})
    assert E1 not in state.known


def test_the_same_identifier_in_another_source_joins_that_customer_and_adds_a_profile() -> None:
    state = registry({M1: Known(7, frozenset({"INSTORE"}))})
    (outcome,), (added,) = register(state, [command(M1, E1, source="WEBSITE")])
    assert outcome == Registered(7, combined=True)
    assert added.customers == {}
    assert added.identifiers[M1] == (7, frozenset({"WEBSITE"}))
    assert added.identifiers[E1] == (7, frozenset({"WEBSITE"}))
    assert list(added.profiles) == [(7, "WEBSITE", "")]


def test_another_account_of_a_source_is_another_source() -> None:
    state = registry({M1: Known(7, frozenset({"WECHAT:a"}))})
    again, other = outcomes(
        state,
        command(M1, source="WECHAT", account="a"),
        command(M1, source="WECHAT", account="b"),
    )
    assert refused_with(again) == (CUSTOMER_EXISTS, 7)
    assert other == Registered(7, combined=True)


def test_identifiers_of_two_customers_are_8006_of_the_first() -> None:
    known = {M1: Known(7, frozenset({"LINE"})), M2: Known(8, frozenset({"LINE"}))}
    (outcome,) = outcomes(registry(known), command(M2, M1))
    assert refused_with(outcome) == (CUSTOMER_EXISTS, 8)
    assert outcome.message.endswith("The identifiers belong to different customers.")


def test_an_id_to_keep_that_is_not_the_joined_customers_is_8006() -> None:
    (outcome,) = outcomes(registry({M1: Known(7, frozenset({"LINE"}))}), command(M1, keep=9))
    assert refused_with(outcome) == (CUSTOMER_EXISTS, 7)


def test_several_profiles_of_one_registration_are_one_customer() -> None:
    both = Registration((Profile("INSTORE", "", (M1,)), Profile("WEBSITE", "", (M1, E1))))
    (outcome,), (added,) = register(registry(), [both])
    assert outcome == Registered(101)
    assert added.identifiers[M1] == (101, frozenset({"INSTORE", "WEBSITE"}))
    assert list(added.profiles) == [(101, "INSTORE", ""), (101, "WEBSITE", "")]


def test_the_second_of_one_batch_sees_the_first() -> None:
    first, second, third, fourth = outcomes(
        registry(),
        command(M1),
        command(M1),
        command(M1, E1, source="LINE"),
        command(E1, source="LINE"),
    )
    assert first == Registered(101)
    assert refused_with(second) == (CUSTOMER_EXISTS, 101)
    assert third == Registered(101, combined=True)
    assert refused_with(fourth) == (CUSTOMER_EXISTS, 101)


def test_the_same_id_is_kept_once_in_a_batch() -> None:
    first, second = outcomes(registry(), command(M1, keep=5), command(M2, keep=5))
    assert first == Registered(5)
    assert refused_with(second) == (CUSTOMER_EXISTS, 5)


def test_registrations_that_share_something_even_over_others_are_saved_together() -> None:
    alone = Identifier("mobile", "9999999")
    batch = [command(M1), command(alone), command(M2, keep=5), command(E1, M1), command(E1, keep=5)]
    _, added = register(registry(), batch)
    assert added[0] is added[2] is added[3] is added[4]
    assert added[1] is not added[0]


IDENTIFIERS = [Identifier("mobile", f"555000{number}") for number in range(5)]
COMMANDS = st.lists(
    st.builds(
        lambda keys, source, number: command(*keys, source=source, keep=number),
        st.lists(st.sampled_from(IDENTIFIERS), min_size=1, max_size=3, unique=True),
        st.sampled_from(["INSTORE", "WEBSITE"]),
        st.sampled_from([None, None, None, 1, 2]),
    ),
    max_size=12,
)


@given(COMMANDS)
def test_a_batch_decides_as_its_commands_one_after_the_other(
    commands: list[Registration],
) -> None:
    at_once, one_by_one = registry(), registry()
    together, added = register(at_once, commands)
    assert together == [outcomes(one_by_one, one)[0] for one in commands]
    assert at_once.known == one_by_one.known
    assert_names_one_customer(at_once, added)


def assert_names_one_customer(state: Registry, added: list[Additions]) -> None:
    saved: dict[Identifier, int] = {}
    for additions in dict.fromkeys(added):
        for identifier, (customer_id, sources) in additions.identifiers.items():
            assert identifier not in saved, "an identifier is added by one change only"
            assert sources <= state.known[identifier].sources
            saved[identifier] = customer_id
    assert saved == {key: known.customer_id for key, known in state.known.items()}


# Looking up.


@pytest.mark.parametrize(
    ("source", "name", "value", "error"),
    [
        (None, "mobile", "1111111", SOURCE_MISSING),
        (" ", None, None, SOURCE_MISSING),
        ("NOWHERE", None, None, INVALID_SOURCE),
        ("ALL", None, "1111111", IDENTIFIERS_MISSING),
        ("ALL", "mobile", " ", IDENTIFIERS_MISSING),
        ("ALL", "fax", "1111111", INVALID_IDENTIFIER),
        ("ALL", "mobile", "nobody", CUSTOMER_NOT_FOUND),
        ("ALL", "id", "12a", CUSTOMER_NOT_FOUND),
    ],
)
def test_a_look_up_says_what_it_lacks(
    source: str | None, name: str | None, value: str | None, error: Error
) -> None:
    assert refused_with(read_lookup(source, name, value))[0] is error


@pytest.mark.parametrize("source", [*SOURCES, "ALL"])
def test_a_look_up_takes_every_source_and_all(source: str) -> None:
    assert read_lookup(source, "Mobile", "+1 111-111") == Lookup(M1, source)


def test_an_identifier_is_found_in_its_sources_and_in_all() -> None:
    known = {M1: Known(7, frozenset({"INSTORE", "WECHAT:a"}))}
    for source, account in [("INSTORE", ""), ("ALL", ""), ("WECHAT", "a"), ("WECHAT", "")]:
        assert resolve(known, Lookup(M1, source, account)) == 7
    for source, account in [("LINE", ""), ("WECHAT", "b")]:
        found = resolve(known, Lookup(M1, source, account))
        assert refused_with(found)[0] is CUSTOMER_NOT_FOUND
    assert refused_with(resolve(known, Lookup(M2, "ALL")))[0] is CUSTOMER_NOT_FOUND


def test_for_an_id_the_source_is_validated_but_not_compared() -> None:
    seven = Identifier("id", "7")
    known = {seven: Known(7, frozenset())}
    assert resolve(known, Lookup(seven, "LINE", "any")) == 7
    assert refused_with(read_lookup("NOWHERE", "id", "7"))[0] is INVALID_SOURCE
