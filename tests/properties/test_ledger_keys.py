"""A key of the ledger gives back exactly the id it was made of, and is short for the ids that are common."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.keys import decode_key, encode_key

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))
HEX = (
    st.sampled_from([16, 20, 32]).flatmap(lambda size: st.binary(min_size=size, max_size=size)).map(bytes.hex)
)
LIKE_HEX = st.sampled_from([32, 40, 64]).flatmap(
    lambda size: st.text("0123456789abcdefABCDEF \n\u0660", min_size=size, max_size=size)
)
LIKE_DECIMAL = st.text("0123456789+-_ \u0661\u00b2", max_size=21)
DECIMAL = st.integers(0, 2**65).map(str)
UUIDS = st.uuids().map(str)
LIKE_UUID = st.one_of(UUIDS.map(str.upper), st.text("0123456789abcdef-", min_size=36, max_size=36))
IDS = st.one_of(ANY_TEXT, HEX, LIKE_HEX, LIKE_DECIMAL, DECIMAL, UUIDS, LIKE_UUID)
UUID = "0190a0b1-0000-7000-8000-00000000000a"


@given(IDS)
def test_every_text_comes_back_exactly(text):
    """Encoding and decoding any text gives that text."""
    assert decode_key(encode_key(text)) == text


@given(IDS, IDS)
def test_different_texts_have_different_keys(one, other):
    """Two ids share a key only when they are one id."""
    assert (encode_key(one) == encode_key(other)) == (one == other)


@given(st.integers(0, 2**64 - 1))
def test_a_decimal_integer_takes_its_bytes_and_one(number):
    """A UID of the common kind takes nine bytes at most."""
    assert len(encode_key(str(number))) == 1 + max(1, (number.bit_length() + 7) // 8)


@given(UUIDS)
def test_a_uuid_takes_its_bytes_and_one(text):
    """A device's id takes seventeen bytes."""
    assert len(encode_key(text)) == 17


@given(HEX)
def test_a_hash_takes_half_its_digits_and_one(text):
    """A CID of the common kind takes the bytes of its hash and a tag."""
    assert len(encode_key(text)) == 1 + len(text) // 2


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", b"\x00"),
        ("0", b"\x01\x00"),
        ("255", b"\x01\xff"),
        ("256", b"\x01\x01\x00"),
        ("18446744073709551615", b"\x01" + b"\xff" * 8),
        ("18446744073709551616", b"\x0018446744073709551616"),
        ("00", b"\x0000"),
        ("\u0661", "\x00\u0661".encode()),
        ("00" * 16, b"\x02" + b"\x00" * 16),
        ("ab" * 32, b"\x02" + b"\xab" * 32),
        ("AB" * 16, b"\x00" + b"AB" * 16),
        ("ab" * 24, b"\x00" + b"ab" * 24),
        (UUID, b"\x04" + bytes.fromhex("0190a0b100007000800000000000000a")),
        (UUID.upper(), b"\x00" + UUID.upper().encode()),
    ],
)
def test_keys_are_as_they_are_on_disk(text, key):
    """These bytes are in the files of those who run the gateway: a change of them would unbind their customers."""
    assert encode_key(text) == key


@pytest.mark.parametrize("key", [b"", b"\x03", b"\x03abc", b"\x05a", b"7"])
def test_bytes_without_a_known_tag_are_no_key(key):
    """Decoding what was never encoded is an error, not an id."""
    with pytest.raises(ValueError, match="the key of an id starts with"):
        decode_key(key)
