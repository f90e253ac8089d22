"""Laws of addresses and their hashes: for any text, any number, any keys."""

from __future__ import annotations

import hashlib

import phonenumbers
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.events.addresses import Addresses, normalise_email, normalise_phone
from gateway.events.hashing import Hasher, is_hash
from gateway.events.keyring import Keyring
from gateway.events.norms import norm_hash
from gateway.events.spellings import MOST

REGIONS = ["VN", "TH", "ID", "SG", "US"]
ADDRESSES = {region: Addresses(region) for region in REGIONS}
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=80)
LETTERS = st.characters(codec="utf-8", categories=("L", "N", "M", "P", "S"))
LOCAL = st.one_of(st.text("abz019.+-_", min_size=1, max_size=20), st.text(LETTERS, min_size=1, max_size=20))
LABEL = st.one_of(st.text("abz09-", min_size=1, max_size=8), st.text(LETTERS, min_size=1, max_size=8))
DOMAIN = st.one_of(
    st.sampled_from(["gmail.com", "googlemail.com", "GMAIL.com", "xn--0.com"]),
    st.builds("{}.{}".format, LABEL, st.sampled_from(["com", "example", "ไทย", "COM."])),
)
EMAIL_LIKE = st.builds(
    "{}{}@{}{}".format, st.sampled_from(["", " ", "\ufeff"]), LOCAL, DOMAIN, st.sampled_from(["", "\n"])
)
# Mobile numbers as the plans number them.
PHONES = st.one_of(
    st.builds("+84{}{:07}".format, st.sampled_from([32, 70, 77, 81, 90, 91, 98]), st.integers(0, 9_999_999)),
    st.builds("+66{}{:07}".format, st.sampled_from([61, 81, 89, 91]), st.integers(0, 9_999_999)),
    st.builds("+62{}{:08}".format, st.sampled_from([812, 857, 878]), st.integers(0, 99_999_999)),
    st.builds("+65{}{:06}".format, st.sampled_from([81, 87, 91, 98]), st.integers(0, 999_999)),
    st.builds("+1{}5550{:03}".format, st.sampled_from([202, 415, 713]), st.integers(100, 199)),
)
PHONE_LIKE = st.one_of(PHONES, st.text("0123456789+-.() /\u202a\uff11\u0e51", max_size=24))
KEY = st.text(st.characters(codec="utf-8"), min_size=16, max_size=40)
MAKERS = [
    lambda data: hashlib.md5(data).hexdigest(),
    lambda data: hashlib.sha1(data).hexdigest(),
    lambda data: hashlib.sha256(data).hexdigest(),
]  # fmt: skip


@given(st.one_of(ANY_TEXT, EMAIL_LIKE), st.sampled_from(["keep", "drop"]), st.sampled_from(["keep", "drop"]))
def test_normalising_an_e_mail_address_twice_changes_nothing(text, dots, tags):
    """The one spelling is its own spelling, under every choice of the settings."""
    normal = normalise_email(text, gmail_dots=dots, plus_tags=tags)
    if normal is not None:
        assert normal == normalise_email(normal, gmail_dots=dots, plus_tags=tags)


@given(st.one_of(ANY_TEXT, PHONE_LIKE), st.sampled_from(REGIONS), st.sampled_from(REGIONS))
def test_normalising_a_phone_number_twice_changes_nothing(text, region, other):
    """E.164 is its own spelling, in every region."""
    normal = normalise_phone(text, region)
    if normal is not None:
        assert normal == normalise_phone(normal, other)


@given(EMAIL_LIKE, st.sampled_from([str.upper, str.title, str.strip, " {} ".format, "\u200b{}".format]))
def test_case_and_blanks_make_no_other_address(text, write):
    """An ASCII address in capitals, with blanks or with what a copy brings along has the same spelling."""
    normal = normalise_email(text)
    assume(normal is not None and normal.isascii())
    assert normal == normalise_email(write(normal))


@settings(max_examples=60, deadline=None)
@given(EMAIL_LIKE, st.sampled_from(MAKERS))
def test_every_spelling_of_an_e_mail_address_is_recognised_by_its_hash(text, make):
    """A hash of any spelling is the hash of the address; spellings are bounded and begin with the right one."""
    addresses = ADDRESSES["VN"]
    normal = addresses.normalise("email", text)
    assume(normal is not None)
    spellings = addresses.other_spellings("email", text)
    assert normal == spellings[0]
    assert text in spellings
    assert len(set(spellings)) == len(spellings) <= MOST
    for spelling in spellings[:: max(1, len(spellings) // 12)]:
        assert addresses.is_same(make(spelling.encode("utf-8", "surrogatepass")), "email", text)


@settings(max_examples=60, deadline=None)
@given(PHONES, st.sampled_from(MAKERS))
def test_every_spelling_of_a_phone_number_is_recognised_by_its_hash(number, make):
    """In its own country each spelling is read as that number or as none, and its hash is recognised."""
    region = phonenumbers.region_code_for_number(phonenumbers.parse(number))
    assume(normalise_phone(number, "US") == number and region in ADDRESSES)
    addresses = ADDRESSES[region]
    spellings = addresses.other_spellings("phone", number)
    assert number == spellings[0]
    assert len(set(spellings)) == len(spellings) < MOST
    for spelling in spellings:
        assert normalise_phone(spelling, region) in {number, None}, spelling
    for spelling in spellings[:: max(1, len(spellings) // 12)]:
        assert addresses.is_same(make(spelling.encode()), "phone", number)


@settings(max_examples=60, deadline=None)
@given(PHONES, PHONES)
def test_no_hash_of_another_number_is_recognised(number, other):
    """The right hash of one number is never taken for another number's."""
    assume(number != other)
    for addresses in ADDRESSES.values():
        assert not addresses.is_same(hashlib.sha256(other.encode()).hexdigest(), "phone", number)


@settings(max_examples=60, deadline=None)
@given(ANY_TEXT, st.lists(KEY, min_size=1, max_size=4, unique=True))
def test_a_keyed_hash_verifies_under_rotation(text, secrets):
    """What was written while a key was first verifies for as long as the key is in the ring, and never after."""
    keys = [f"k{index}:{secret}" for index, secret in enumerate(secrets)]
    newest = Hasher("hmac-sha256", Keyring(keys))
    for position in range(len(keys)):
        written = Hasher("hmac-sha256", Keyring(keys[position:])).hash(text)
        assert is_hash(written)
        assert newest.is_own(written)
        assert newest.verify(text, written)
        if position:
            assert written == newest.older(text)[position - 1]
            assert not Hasher("hmac-sha256", Keyring(keys[:position])).verify(text, written)


@settings(max_examples=60, deadline=None)
@given(EMAIL_LIKE, st.lists(KEY, min_size=1, max_size=3, unique=True))
def test_address_keys_are_found_again_after_each_rotation(text, secrets):
    """The key that an address was remembered under is among the keys that are looked for later."""
    keys = [f"k{index}:{secret}" for index, secret in enumerate(secrets)]
    now = Hasher("md5", Keyring(keys)).address_keys(text)
    for position in range(len(keys) + 1):
        then = Hasher("md5", Keyring(keys[position:])).address_keys(text)[0]
        assert set(then) <= {*now[0], *now[1]}


@given(
    st.sampled_from(["meta", "google", "tiktok"]),
    st.sampled_from(
        ["email", "phone", "fn", "ln", "ge", "db", "ct", "st", "zp", "country", "external_id", "other"]
    ),
    st.one_of(ANY_TEXT, EMAIL_LIKE, PHONE_LIKE),
    st.sampled_from(REGIONS),
)
def test_a_platforms_hash_is_a_hash_or_nothing(platform, field, value, region):
    """Whatever stands in a field, what a platform gets of it is a SHA-256 or nothing."""
    made = norm_hash(platform, field, value, region=region)
    assert made is None or (is_hash(made) and len(made) == 64)


@given(st.one_of(EMAIL_LIKE, PHONES), st.sampled_from(["md5", "sha256", "hmac-sha256"]))
def test_no_hash_holds_the_raw_address(address, algorithm):
    """Nothing that is made to be stored or sent has the address in it, in any of its spellings."""
    hasher = Hasher(algorithm, Keyring(["k1:sixteen characters", "k0:sixteen more of them"]))
    kind = "email" if "@" in address else "phone"
    normal = ADDRESSES["VN"].normalise(kind, address)
    assume(normal is not None)
    keys, older = hasher.address_keys(normal)
    norms = [norm_hash(each, kind, address, region="VN") for each in ("meta", "google", "tiktok")]
    made = [hasher.hash(normal), *hasher.older(normal), *keys, *older, *(each for each in norms if each)]
    assert all(is_hash(each) for each in made)
    for raw in (address.strip(), normal, normal[1:]):
        assert len(raw) < 8 or not any(raw in each for each in made)


@pytest.mark.parametrize("region", REGIONS)
@settings(max_examples=60, deadline=None)
@given(text=ANY_TEXT)
def test_no_text_breaks_the_reading_of_addresses(region, text):
    """Any text at all is an address or none: nothing raises, lone surrogates and all."""
    addresses = ADDRESSES[region]
    addresses.raw_identity(text)
    for kind in ("email", "phone", "text"):
        addresses.normalise(kind, text)
        assert not addresses.is_same("a" * 64, kind, text)
