"""Laws of the one look at an event's bytes."""

from __future__ import annotations

import functools

from hypothesis import given
from hypothesis import strategies as st

from gateway.events.identity import Identities
from gateway.events.masking import Masking
from gateway.events.mentions import FirstLook
from tests.builders import make_settings

PIECES = (
    *(b"@", b"+", b"%40", b"%2540", b"\\u0040", b"\xef\xbc\xa0", b"&#64;", b"\\\\", b"%u0040", b"eyJ", b"\xe2\x80\x8b"),
    *(b'"email":', b'"Phone":', b'"customer_EMAIL":', b'"th\xe1\xba\xbb":', b'"TH\xe1\xba\xba":', b"email=", b"?email=", b"&E-Mail="),
    *(b"0912345678", b"+84 912 345 678", b"84912345678", b"4111 1111 1111 1111", b"001085012345", b"S1234567D", b"MB12345678"),
    *(b"a", b" ", b'"', b",", b"{", b"}", b"1790000000000", b"uid", b"\xff", b"\x00", b"-", b".", b"/", b"?"),
)  # fmt: skip


@functools.cache
def looks(scrubbing: bool):
    made = make_settings(
        identity={"fields": {"thẻ": "hash", "line.id": "drop"}},
        privacy={"url_scrubbing": scrubbing, "id_patterns": {"member": "MB[0-9]{8}"}},
    )
    identities = Identities(made.identity)
    masking = Masking(made.privacy, made.identity, identities.protect)
    return (
        FirstLook(identities.mentions_fields, masking.may_hold),
        identities.mentions_fields,
        masking.may_hold,
    )


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=8)), max_size=30), st.booleans())
def test_one_look_says_what_two_would(pieces, scrubbing):
    """Whatever stands in a text, in whatever letter-case and encoding, nothing is overlooked and nothing is added."""
    text = b"".join(pieces)
    at_once, mentions, may_hold = looks(scrubbing)
    assert (mentions(text), may_hold(text)) == at_once(text)
