"""E-mail addresses and phone numbers: one spelling, and hashes of other spellings."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from pathlib import Path

import phonenumbers
import pytest

from gateway.events.addresses import Addresses, field_kind, normalise_email, normalise_phone
from gateway.events.hashing import Hasher
from gateway.events.keyring import Keyring

NEW, OLD = "k2:the newer secret key", "k1:the older secret key"


CORPUS = Path(__file__).parents[1] / "corpus"


def corpus(name):
    """Give the rows of a corpus file, its comments and its head left out; empty columns are `None`."""
    lines = (CORPUS / name).read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    return [[value or None for value in row] for row in rows[1:]]


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest()


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


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
        "lan@example.c",
        "lan@127.0.0.1",
        "x" * 400 + "@example.com",
    ],
)
def test_what_is_no_address_is_not_made_one(given):
    """Text without the shape of an address gives nothing."""
    assert normalise_email(given) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Lan.Nguyen@gmail.com", "lannguyen@gmail.com"),
        ("l.a.n@GoogleMail.com", "lan@googlemail.com"),
        ("lan.nguyen@example.com", "lan.nguyen@example.com"),
        ("lan.nguyen@gmail.com.example", "lan.nguyen@gmail.com.example"),
        ("lan.nguyen@notgmail.com", "lan.nguyen@notgmail.com"),
        ("...@gmail.com", "...@gmail.com"),
    ],
)
def test_dots_are_dropped_at_gmail_alone_and_only_if_it_is_set(given, expected):
    """With `gmail_dots = "drop"` the dots of the local part go at Gmail; elsewhere they make another person."""
    assert expected == normalise_email(given, gmail_dots="drop")
    assert given.lower() == normalise_email(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("lan+news@example.com", "lan@example.com"),
        ("lan+news+more@gmail.com", "lan@gmail.com"),
        ("+lan@example.com", "+lan@example.com"),
        ("lan@example.com", "lan@example.com"),
    ],
)
def test_plus_tags_are_dropped_only_if_it_is_set(given, expected):
    """With `plus_tags = "drop"` the local part ends at its first `+`, if something is left of it."""
    assert expected == normalise_email(given, plus_tags="drop")
    assert given == normalise_email(given)


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
    assert "+84912345678" == normalise_phone(given, "VN")


@pytest.mark.parametrize(
    "given",
    ["", "12", "abc", "0912345678x", "+999123456789", "1" * 40, "lan@example.com", "(((((((", "+" * 8],
)
def test_what_is_no_phone_number_is_not_guessed(given):
    """An impossible number gives nothing."""
    assert normalise_phone(given, "VN") is None


def test_two_zeros_begin_a_country_code_everywhere():
    """`00` is read as `+` also where the carriers of the country use another prefix, as in Thailand and the US."""
    assert "+66812345678" == normalise_phone("0066812345678", "TH")
    assert "+84912345678" == normalise_phone("00 84 912 345 678", "US")


def test_a_prefix_that_can_be_read_in_two_ways_proves_no_number():
    """`0066610065527` in Thailand is `00 66 …` or, by the carrier prefix `006`, another number: it stays unread."""
    assert "+66610065527" == normalise_phone("+66610065527", "TH")
    assert normalise_phone("0066610065527", "TH") is None
    assert "+66610065527" == normalise_phone("0066610065527", "VN")


def test_the_default_region_decides_what_a_national_number_means():
    """The same digits are another number in another country."""
    assert "+66812345678" == normalise_phone("0812345678", "TH")
    assert "+62812345678" == normalise_phone("0812345678", "ID")


def test_the_choices_of_the_settings_hold_for_every_answer():
    """`Addresses` normalises with the region and the choices that it was made with."""
    addresses = Addresses("TH", gmail_dots="drop", plus_tags="drop")
    assert "lan@gmail.com" == addresses.normalise("email", "L.an+a@gmail.com")
    assert "+66812345678" == addresses.normalise("phone", "0812345678")
    assert "lan@gmail.com" == addresses.raw_identity("l.an@gmail.com")
    assert "U4af" == addresses.normalise("text", " U4af ")


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


@pytest.mark.parametrize(
    "raw", ["lan@example.com", "+84912345678", "0912345678", "lan%40example.com", "\u202a0912345678\u202c"]
)
def test_raw_addresses_are_recognised_where_an_opaque_id_belongs(raw):
    """An e-mail address or a number written as a phone is no opaque id."""
    assert Addresses("VN").raw_identity(raw) in {"lan@example.com", "+84912345678"}


@pytest.mark.parametrize(
    "opaque", ["1234567890123", "84912345678", "C-1001", "0", "007", "d41d8cd98f00b204e9800998ecf8427e"]
)
def test_ids_are_not_taken_for_addresses(opaque):
    """Digits without a plus or a leading zero may be a customer's number."""
    assert Addresses("VN").raw_identity(opaque) is None


PHONE_AS_HASHED = [
    "0912345678", "84912345678", "912345678", "0084912345678", "+840912345678", "840912345678", "00840912345678",
    "+84 912 345 678", "0912 345 678", "0912.345.678", "0912-345-678", "091 234 5678", "84 912 345 678", "(+84) 912 345 678",
    "+84-912-345-678", "+84 (0)912 345 678", "tel:+84912345678", " 0912345678", "0912345678\n", "%2B84912345678", " 84912345678",
    "+0912345678",
]  # fmt: skip


@pytest.mark.parametrize("written", PHONE_AS_HASHED)
@pytest.mark.parametrize("make", [md5, sha1, sha256])
def test_a_hash_of_a_phone_written_otherwise_is_recognised(written, make):
    """The forms in which sites hash a number are all hashes of that number, in either case of hex, whichever form came with it."""
    addresses = Addresses("VN")
    for given in ("+84912345678", "0912 345 678"):
        assert addresses.is_same(make(written), "phone", given)
        assert addresses.is_same(make(written).upper(), "phone", given)
        assert not addresses.is_same(make(written), "phone", "+84912345679")


EMAIL_AS_HASHED = [
    "Lan.Nguyen@Example.com", "LAN.NGUYEN@EXAMPLE.COM", "Lan.nguyen@example.com", " lan.nguyen@example.com",
    "lan.nguyen@example.com ", "lan.nguyen@example.com\n", "lan.nguyen @example.com", "lan.nguyen%40example.com",
    "Lan.Nguyen@Example.Com",
]  # fmt: skip


@pytest.mark.parametrize("written", EMAIL_AS_HASHED)
@pytest.mark.parametrize("make", [md5, sha1, sha256])
def test_a_hash_of_an_e_mail_address_written_otherwise_is_recognised(written, make):
    """Upper case, capitals and blanks before hashing are seen through, whichever form came with it."""
    addresses = Addresses("VN")
    for given in ("lan.nguyen@example.com", " LAN.NGUYEN@example.COM"):
        assert addresses.is_same(make(written), "email", given)
        assert not addresses.is_same(make(written), "email", "lan.nguyen2@example.com")


@pytest.mark.parametrize(
    "written",
    ["lannguyen@gmail.com", "lan.nguyen@googlemail.com", "l.annguyen@gmail.com", "Lan.Nguyen+shop@gmail.com", "lan.nguyen+shop@gmail.com"],
)  # fmt: skip
def test_gmail_addresses_of_one_mailbox_are_one(written):
    """Dots, the other domain and the tag that came make no other person at Gmail."""
    assert Addresses("VN").is_same(md5(written), "email", "Lan.Nguyen+shop@gmail.com")


def test_dots_elsewhere_make_another_person():
    """`a.b@` and `ab@` are two people at any domain but Gmail's."""
    assert not Addresses("VN").is_same(md5("ab@example.com"), "email", "a.b@example.com")
    assert not Addresses("VN").is_same(md5("a.b@example.com"), "email", "ab@example.com")


def test_a_site_that_cuts_the_tag_is_seen_through():
    """At Gmail the hash of the address without its tag is the same person's; elsewhere it may be another mailbox."""
    assert Addresses("VN").is_same(md5("lan@gmail.com"), "email", "lan+news@gmail.com")
    assert not Addresses("VN").is_same(md5("sales@example.com"), "email", "sales+lan@example.com")
    assert Addresses("VN", plus_tags="drop").is_same(md5("lan@example.com"), "email", "lan+news@example.com")
    assert Addresses("VN", plus_tags="drop").is_same(
        md5("lan+news@example.com"), "email", "lan+news@example.com"
    )


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_unicode_forms_of_an_address_are_one(form):
    """How accents are composed before hashing does not matter, nor the script of the domain."""
    written = unicodedata.normalize(form, "nguyễn@bücher.example")
    assert Addresses("VN").is_same(sha256(written), "email", "nguyễn@xn--bcher-kva.example")


def test_digits_that_are_somebody_elses_number_here_prove_nothing():
    """The national digits of a foreign number may be a number of this country: their hash is left as it is."""
    thai = "+66912345678"
    assert "+84912345678" == normalise_phone("0912345678", "VN")
    assert not Addresses("VN").is_same(md5("0912345678"), "phone", thai)
    assert Addresses("TH").is_same(md5("0912345678"), "phone", thai)
    assert Addresses("SG").is_same(md5("0912345678"), "phone", thai)


def test_a_keyed_hash_of_any_spelling_is_recognised_under_any_key_of_the_ring():
    """A site that hashes with the key, wrongly or under an older one, is seen through; a key that was taken out proves nothing."""
    ring = Keyring([NEW, OLD])
    addresses = Addresses("VN", keyring=ring)
    before = Hasher("hmac-sha256", Keyring([OLD]))
    for written in ("+84912345678", "0912345678"):
        assert addresses.is_same(Hasher("hmac-sha256", ring).hash(written), "phone", "0912345678")
        assert addresses.is_same(before.hash(written), "phone", "0912345678")
        assert not Addresses("VN", keyring=Keyring([NEW])).is_same(
            before.hash(written), "phone", "0912345678"
        )


@pytest.mark.parametrize("candidate", ["", "lan@example.com", "a" * 64, "k1:" + "a" * 64, "g" * 32])
def test_what_is_no_hash_of_the_address_proves_nothing(candidate):
    """Neither other hashes nor raw text are the same address."""
    assert not Addresses("VN").is_same(candidate, "email", "lan@example.com")


def test_ids_that_differ_in_case_are_two_ids():
    """Other identity fields are compared without their blanks, but never in another case."""
    assert Addresses("VN").is_same(md5("U4af"), "text", " U4af ")
    assert not Addresses("VN").is_same(md5("u4af"), "text", "U4af")


@pytest.mark.parametrize("region", ["VN", "TH", "ID", "SG", "US"])
def test_every_phone_number_of_the_corpus_is_read_as_it_was_meant(region):
    """At least 100 spellings of each country, as people type them, give their E.164; what is no number gives nothing."""
    rows = [(json.loads(typed), e164) for country, typed, e164 in corpus("phones.tsv") if country == region]
    assert 100 <= len({typed for typed, e164 in rows if e164})
    assert [e164 for _, e164 in rows if e164 is None]
    wrong = {typed: (e164, got) for typed, e164 in rows if (got := normalise_phone(typed, region)) != e164}
    assert {} == wrong


def test_the_numbers_of_the_corpus_exist_in_their_plans():
    """What the corpus says a spelling means is a valid number of the country by libphonenumber's metadata."""
    numbers = {e164 for _, _, e164 in corpus("phones.tsv") if e164}
    assert [] == [each for each in numbers if not phonenumbers.is_valid_number(phonenumbers.parse(each))]


def test_every_e_mail_address_of_the_corpus_is_read_as_it_was_meant():
    """Case, blanks, widths, scripts, Gmail's variants and tags give one spelling; what is no address gives nothing."""
    rows = corpus("emails.tsv")
    assert 100 <= len(rows)
    wrong = {}
    for typed, kept, dropped in rows:
        text = json.loads(typed)
        got = (normalise_email(text), normalise_email(text, gmail_dots="drop", plus_tags="drop"))
        if got != (kept, dropped):
            wrong[text] = got
    assert {} == wrong
