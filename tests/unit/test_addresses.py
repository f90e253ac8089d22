"""E-mail addresses and phone numbers: one spelling, one hash."""

from __future__ import annotations

import hashlib

import pytest

from gateway.events.addresses import Addresses, field_kind, is_hash, normalise_email, normalise_phone


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("  Lan.Nguyen@Example.com ", "lan.nguyen@example.com"),
        ("LAN+news@EXAMPLE.COM", "lan+news@example.com"),
        ("\uff4c\uff41\uff4e@example.com", "lan@example.com"),
        ("o'brien@mail.shop.example", "o'brien@mail.shop.example"),
        ("lan@bücher.example", "lan@xn--bcher-kva.example"),
        ("lan@BÜCHER.example", "lan@xn--bcher-kva.example"),
        ("nguyễn@example.com", "nguyễn@example.com"),
    ],
)
def test_an_address_has_one_spelling_however_it_was_typed(given, expected):
    """Case, blanks, width and the script of the domain do not matter."""
    assert expected == normalise_email(given)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "lan",
        "lan@",
        "@example.com",
        "lan@localhost",
        "a b@example.com",
        "lan@exa mple.com",
        "x" * 400 + "@example.com",
    ],
)
def test_what_is_no_address_is_not_made_one(given):
    """Text without the shape of an address gives nothing."""
    assert normalise_email(given) is None


@pytest.mark.parametrize(
    "given",
    [
        "0912345678",
        "0912 345 678",
        "+84 912 345 678",
        "84912345678",
        "(+84) 912.345.678",
        "0084912345678",
        "912345678",
        " 0912-345-678 ",
        "\uff10912345678",
    ],
)
def test_a_vietnamese_number_is_e164_however_it_was_typed(given):
    """With or without country code, zero, blanks and marks it is one number."""
    assert normalise_phone(given, "VN") == "+84912345678"


@pytest.mark.parametrize(
    "given", ["", "12", "abc", "0912345678x", "+999123456789", "1" * 40, "lan@example.com"]
)
def test_what_is_no_phone_number_is_not_guessed(given):
    """An impossible number gives nothing."""
    assert normalise_phone(given, "VN") is None


def test_the_default_region_decides_what_a_national_number_means():
    """The same digits are another number in another country."""
    assert normalise_phone("0812345678", "TH") == "+66812345678"
    assert normalise_phone("0812345678", "ID") == "+62812345678"


def test_hashes_are_recognised_by_their_shape():
    """32, 40 and 64 hexadecimal digits are hashes, in either case; nothing else is."""
    assert all(is_hash(name(b"x").hexdigest()) for name in (hashlib.md5, hashlib.sha1, hashlib.sha256))
    assert is_hash("A" * 32)
    assert not is_hash("g" * 32)
    assert not is_hash("a" * 33)


def test_a_mistyped_address_is_still_hashed():
    """What can't be normalised is hashed as it stands, trimmed and in lower case, and never left raw."""
    expected = hashlib.sha256(b"lan at example").hexdigest()
    assert expected == Addresses("VN").hashed("email", " Lan at Example ", "sha256")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("email", "email"),
        ("customer_Email", "email"),
        ("phone", "phone"),
        ("mobile_no", "phone"),
        ("line_user_id", "text"),
    ],
)
def test_a_field_holds_what_its_name_says(name, kind):
    """The kind of a configured identity field follows from its name."""
    assert kind == field_kind(name)


@pytest.mark.parametrize("raw", ["lan@example.com", "+84912345678", "0912345678"])
def test_raw_addresses_are_recognised_where_an_opaque_id_belongs(raw):
    """An e-mail address or a number written as a phone is no opaque id."""
    assert Addresses("VN").raw_identity(raw) is not None


@pytest.mark.parametrize(
    "opaque", ["1234567890123", "84912345678", "C-1001", "0", "007", "d41d8cd98f00b204e9800998ecf8427e"]
)
def test_ids_are_not_taken_for_addresses(opaque):
    """Digits without a plus or a leading zero may be a customer's number."""
    assert Addresses("VN").raw_identity(opaque) is None
