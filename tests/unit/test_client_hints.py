"""Client hints: their syntax, and what is read in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import client_hints
from gateway.events.client_hints import items, read

CHROME = '"Not)A;Brand";v="8", "Chromium";v="138", "Google Chrome";v="138"'


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        ('"a", "b"', [("a", {}), ("b", {})]),
        ('"a" ,\t"b"', [("a", {}), ("b", {})]),
        (r'"a \"q\" \\"', [('a "q" \\', {})]),
        ('"a";v="1";w;x=?0', [("a", {"v": "1", "w": True, "x": False})]),
        ('"a"; v="1"', [("a", {"v": "1"})]),
        ("?1", [(True, {})]),
        ("?0", [(False, {})]),
        ("sugar, tea/green", [("sugar", {}), ("tea/green", {})]),
        ("42, -1.5", [(42, {}), (-1.5, {})]),
        (":aGk=:", [(":aGk=:", {})]),
        ("  ?1  ", [(True, {})]),
    ],
)
def test_a_list_of_items_is_read(text, found):
    """RFC 8941, section 4.2.1, with the parameters of each."""
    assert found == items(text)


@pytest.mark.parametrize(
    "text",
    [
        '"a',
        '"a" "b"',
        '"a",',
        ",",
        '"a";V="1"',
        '"a";v=',
        "?2",
        '("a" "b")',
        '"a\\b"',
        '"\u00e9"',
        '"a\x7f"',
        "'a'",
        '"' + "a" * 1_024 + '"',
        ", ".join(["a"] * 33),
    ],
)
def test_what_is_no_list_of_items_says_nothing(text):
    """Nor what is longer than any browser's; a field is read whole or not at all."""
    assert items(text) is None


@given(st.dictionaries(st.sampled_from(client_hints.LOW + client_hints.HIGH), st.text()))
def test_reading_never_raises(fields):
    """Whatever stands in the fields."""
    assert isinstance(read(fields), client_hints.Hints)


@pytest.mark.parametrize(
    "grease",
    [" Not A;Brand", "Not;A=Brand", "Not_A Brand", "Not/A)Brand", "(Not(A:Brand", ";Not A Brand", "Not.A/Brand", "Not=A?Brand",
     '\\\\Not\\"A;Brand', "Not?A_Brand", "Not:A-Brand"],
)  # fmt: skip
def test_brands_that_are_there_to_be_ignored_are_ignored(grease):
    """However their letters are parted (GREASE: W3C User-Agent Client Hints, section 6.2)."""
    assert (("Chromium", "138"),) == read({"sec-ch-ua": f'"{grease}";v="99", "Chromium";v="138"'}).brands


def test_full_versions_take_the_place_of_the_short_ones():
    """Both name the same brands."""
    hints = read({"sec-ch-ua": CHROME, "sec-ch-ua-full-version-list": '"Chromium";v="138.0.7204.101"'})
    assert ((("Chromium", "138.0.7204.101"),), True) == (hints.brands, hints.has_full_versions)


def test_a_field_of_another_type_says_nothing():
    """A mobile that is no boolean, a platform that is no string."""
    hints = read({"sec-ch-ua-mobile": '"?1"', "sec-ch-ua-platform": "?1", "sec-ch-ua-model": '"a", "b"'})
    assert client_hints.Hints() == hints


@pytest.mark.parametrize(
    "text", ["an@shop.example", "0901234567", "+84 901 234 567", "4111 1111 1111 1111", "a" * 65]
)
def test_what_could_be_somebodys_says_nothing(text):
    """A client writes these fields as it likes, and they go into the event: no address and no number goes along."""
    fields = dict.fromkeys(client_hints.LOW + client_hints.HIGH, f'"{text}";v="{text}"')
    assert client_hints.Hints() == read(fields)
