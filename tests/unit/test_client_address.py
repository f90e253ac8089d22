"""Whose address a request has, behind each kind of proxy and CDN, and behind none."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.client_address import ClientAddress

PROXIES = ("10.0.0.0/8", "2001:db8::/32")
PROXY = "10.0.0.1"
SINGLE = ("CF-Connecting-IP", "True-Client-IP", "Fastly-Client-IP", "X-Real-IP")


@pytest.mark.parametrize(
    ("trusted", "peer", "told", "expected"),
    [
        ((), "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (PROXIES, "203.0.113.9", "198.51.100.1", "203.0.113.9"),
        (PROXIES, PROXY, "198.51.100.1", "198.51.100.1"),
        (PROXIES, PROXY, "1.2.3.4, 198.51.100.1", "198.51.100.1"),
        (PROXIES, PROXY, "1.2.3.4, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        (PROXIES, PROXY, "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        (PROXIES, PROXY, "198.51.100.1, rubbish", PROXY),
        (PROXIES, PROXY, "198.51.100.1:4711", "198.51.100.1"),
        (PROXIES, PROXY, "[2a00::1]:4711", "2a00::1"),
        (PROXIES, PROXY, "[2a00::1]", "2a00::1"),
        # What a visitor might add to an address that some proxy passes on.
        (PROXIES, PROXY, "198.51.100.1:x", PROXY),
        (PROXIES, PROXY, "198.51.100.1:", PROXY),
        (PROXIES, PROXY, "[2a00::1]x", PROXY),
        (PROXIES, PROXY, "[2a00::1", PROXY),
        (PROXIES, PROXY, "fe80::1%<b>", PROXY),
        (PROXIES, PROXY, "::ffff:198.51.100.1", "198.51.100.1"),
        (PROXIES, "::ffff:10.0.0.1", "198.51.100.1", "198.51.100.1"),
        (PROXIES, "2001:db8::5", "2a00::1", "2a00::1"),
        (PROXIES, PROXY, "", PROXY),
        (PROXIES, "", "198.51.100.1", ""),
        ((), "::ffff:203.0.113.9", "", "203.0.113.9"),
        ((), "fe80::1%eth0", "", "fe80::1%eth0"),
    ],
)
def test_only_trusted_proxies_are_believed_about_the_visitors_address(trusted, peer, told, expected):
    """The list is read from the right, and what a visitor wrote in front is never reached."""
    assert expected == ClientAddress(trusted)(peer, told)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("for=198.51.100.1", "198.51.100.1"),
        ("For=198.51.100.1;Proto=https;By=10.0.0.1", "198.51.100.1"),
        ('proto=https; for="[2a00::1]:4711"', "2a00::1"),
        ('for="198.51.100.1:80"', "198.51.100.1"),
        ("for=1.2.3.4, for=198.51.100.1;host=t.example , for=10.0.0.2", "198.51.100.1"),
        ("for=198.51.100.1, for=unknown", PROXY),
        ("for=198.51.100.1, for=_hidden", PROXY),
        ("for=198.51.100.1, proto=https", PROXY),
        # A quote that a visitor left open swallows nothing of what our proxy wrote.
        ('for="1.2.3.4, for=198.51.100.1', "198.51.100.1"),
        ('for="1.2.3.4;x=", for=198.51.100.1', "198.51.100.1"),
        ("xfor=1.2.3.4", PROXY),
        ('x="for=1.2.3.4"', PROXY),
        ("for 1.2.3.4", PROXY),
        ("", PROXY),
    ],
)
def test_the_standard_header_is_read_like_the_list(told, expected):
    """RFC 7239: from the right, with ports, quotes and parameters in any order; what hides an address ends the walk."""
    assert expected == ClientAddress(PROXIES, "Forwarded")(PROXY, told)


@pytest.mark.parametrize("header", SINGLE)
@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("198.51.100.1", "198.51.100.1"),
        (" 2A00:0::1 ", "2a00::1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        # An address of our own network too: the CDN says that it is the visitor's.
        ("10.9.9.9", "10.9.9.9"),
        ("198.51.100.1, 1.2.3.4", PROXY),
        ("unknown", PROXY),
        ("", PROXY),
    ],
)
def test_a_cdns_header_holds_one_address(header, told, expected):
    """More than one, or none, is as if nothing had been said."""
    assert expected == ClientAddress(PROXIES, header)(PROXY, told)
    assert "203.0.113.9" == ClientAddress(PROXIES, header)("203.0.113.9", told)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("198.51.100.1:46532", "198.51.100.1"),
        ("2a00:23c7:0:1::9:46532", "2a00:23c7:0:1::9"),
        ("[2a00::1]:46532", "2a00::1"),
        ("198.51.100.1", PROXY),
        (":46532", PROXY),
    ],
)
def test_cloudfronts_header_always_has_a_port(told, expected):
    """For IPv6 too, with or without brackets."""
    assert expected == ClientAddress(PROXIES, "CloudFront-Viewer-Address")(PROXY, told)


@given(
    st.sampled_from(("X-Forwarded-For", "Forwarded", "CloudFront-Viewer-Address", *SINGLE)),
    st.text(max_size=60) | st.from_regex(r'(for="?[0-9a-f.:\[\]]{0,20}"?[,; ]*){0,4}', fullmatch=True),
)
def test_whatever_is_told_the_answer_is_an_address(header, told):
    """No header raises, and none makes an address of what is none."""
    ipaddress.ip_address(ClientAddress(PROXIES, header)(PROXY, told))


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=80))
def test_nothing_that_a_visitor_writes_in_front_changes_the_address(written):
    """Our proxy's own hop stands at the end, in both lists."""
    assert "198.51.100.1" == ClientAddress(PROXIES)(PROXY, f"{written},198.51.100.1")
    assert "198.51.100.1" == ClientAddress(PROXIES, "Forwarded")(PROXY, f"{written},for=198.51.100.1")
