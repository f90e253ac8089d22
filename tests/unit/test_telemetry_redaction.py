"""Raw addresses in texts that a client chose, and ids that only look like them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.redaction import redact

LIMIT = 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lan@example.com", "[email]"),
        ("Lan.Nguyen+shop@Mail.Example.CO.UK", "[email]"),
        ("user lan@example.com signed in", "user [email] signed in"),
        ("<lan@example.com>, minh@example.com", "<[email]>, [email]"),
        ("email=lan@example.com&x=1", "email=[email]&x=1"),
        ("https://shop.example/?e=lan@example.com", "https://shop.example/?e=[email]"),
        ("lan%40example.com", "[email]"),
        ("lan%2540example.com", "[email]"),
        ("lan @ example.com", "[email]"),
        ("lan\uff20example.com", "[email]"),
        ("lan@bücher.example", "[email]"),
        ("0912345678@zalo.example", "[email]"),
    ],
)
def test_an_email_address_becomes_a_word(text, expected):
    """Bare, in a sentence, in a URL, percent-encoded once or twice, with a full-width at sign."""
    assert expected == redact(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0912345678", "[phone]"),
        ("0912 345 678", "[phone]"),
        ("0912.345.678", "[phone]"),
        ("(0912) 345-678", "([phone]"),
        ("+84912345678", "[phone]"),
        ("+84 (912) 345 678", "[phone]"),
        ("0084912345678", "[phone]"),
        ("%2B84912345678", "[phone]"),
        ("call 0912345678, please", "call [phone], please"),
    ],
)
def test_a_phone_number_becomes_a_word(text, expected):
    """As people write them: with a plus or zeros in front, with marks between the digits."""
    assert expected == redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "pageview",
        "1234567890123",
        "912345678",
        "0123456789012345678901",
        "d41d8cd98f00b204e9800998ecf8427e",
        "09123456789abcdef09123456789abcd",
        "01990b2c-7d5e-7a31-8000-0123456789ab",
        "01912345-6789-7123-8456-123456789012",
        "order-0912345678",
        "GA1.2.0912345678.1712345678",
        "2026-09-21 08:09:10",
        "https://a.cdp.asia/event",
        "[::1]:8080",
    ],
)
def test_ids_hashes_moments_and_urls_stay_as_they_are(text):
    """An id that is redacted can't be looked up any more."""
    assert text == redact(text)


@pytest.mark.parametrize("before", range(LIMIT - 40, LIMIT + 1))
def test_an_address_at_the_cut_is_not_cut_in_half(before):
    """Whether it ends, has its @, or only begins before the two hundredth character: no part of it is shown."""
    for address in ("lan.nguyen@canary.example", "+84 912 345 678"):
        shown = redact("-" * (before - 1) + " " + address + " and more of it" * 100)
        assert "nguyen" not in shown
        assert "canary" not in shown
        assert "912" not in shown
        assert ("[email]" in shown or "[phone]" in shown) == (before < LIMIT)


@given(
    st.text(max_size=300),
    st.from_regex(r"[a-z0-9.]{1,20}canary@[a-z0-9]{1,20}\.example", fullmatch=True),
    st.text(max_size=300),
)
def test_no_text_around_it_lets_an_address_through(before, address, after):
    """Law: between any two texts an address is not readable afterwards, and no text grows beyond its bound."""
    shown = redact(f"{before} {address} {after}")
    assert address not in shown
    assert LIMIT + len("[email]") * LIMIT >= len(shown)
