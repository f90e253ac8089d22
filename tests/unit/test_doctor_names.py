"""What may stand in the doctor's options, and how names are compared."""

from __future__ import annotations

import pytest

from gateway.doctor.lookup import read_resolver
from gateway.doctor.names import Place, Suffixes, covers, read_place, readable


@pytest.fixture(scope="module")
def suffixes():
    return Suffixes()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://www.shop.example", Place("https", "www.shop.example", 443)),
        ("www.shop.example", Place("https", "www.shop.example", 443)),
        ("WWW.Shop.Example.", Place("https", "www.shop.example", 443)),
        ("https://www.shop.example:8443/", Place("https", "www.shop.example", 8443)),
        ("www.shop.example:8443", Place("https", "www.shop.example", 8443)),
        ("http://www.shop.example/t/", Place("http", "www.shop.example", 80, "/t")),
        ("https://Bücher.example/", Place("https", "xn--bcher-kva.example", 443)),
        ("https://ร้านค้า.ไทย", Place("https", "xn--42c5b3a1dc8kd.xn--o3cw4h", 443)),
    ],
)
def test_a_url_is_read_into_its_parts(text, expected):
    """Host, port and path are kept, the host as DNS has it; a bare name means https."""
    assert expected == read_place(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "write an http:// or https:// URL"),
        ("ftp://shop.example", "write an http:// or https:// URL"),
        ("https://shop.example:port", "host and port"),
        ("https://shop.example:99999", "host and port"),
        ("https://[::1", "host and port"),
        ("https://shop.example/?a=1", "without user, ?query and #fragment"),
        ("https://203.0.113.1", "not an address"),
        ("https://[2001:db8::1]/", "not an address"),
        ("https://shop..example", "labels of letters"),
        ("https://-shop.example", "labels of letters"),
        (f"https://{'a' * 64}.example", "labels of letters"),
        (f"https://{'a.' * 130}example", "labels of letters"),
        ("https://shop\u2028.example", "labels of letters"),
    ],
)
def test_what_is_no_url_of_a_name_is_refused(text, told):
    """The error says what to write instead."""
    with pytest.raises(ValueError, match=told.replace("?", r"\?")):
        read_place(text)


def test_an_address_of_a_person_is_not_repeated():
    """An e-mail address that was typed by mistake does not reach the error."""
    with pytest.raises(ValueError) as caught:
        read_place("lan@shop.example")
    assert "lan" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "url", "authority"),
    [
        (Place("https", "t.shop.example", 443), "https://t.shop.example", "t.shop.example"),
        (Place("https", "t.shop.example", 8443, "/t"), "https://t.shop.example:8443/t", "t.shop.example:8443"),
        (Place("http", "t.shop.example", 443), "http://t.shop.example:443", "t.shop.example:443"),
    ],
)  # fmt: skip
def test_the_usual_port_is_left_out(place, url, authority):
    """A URL and a `Host` header hold the port only where it is not the scheme's own."""
    assert (url, authority) == (place.url, place.authority)


@pytest.mark.parametrize(
    ("name", "registrable", "is_public"),
    [
        ("www.shop.example", "shop.example", False),
        ("a.b.shop.co.th", "shop.co.th", False),
        ("www.shop.com.vn", "shop.com.vn", False),
        ("lan.github.io", "lan.github.io", False),
        ("d1.cloudfront.net", "d1.cloudfront.net", False),
        ("www.city.kobe.jp", "city.kobe.jp", False),
        ("www.xn--bcher-kva.example", "xn--bcher-kva.example", False),
        ("xn--42c5b3a1dc8kd.xn--o3cw4h", "xn--42c5b3a1dc8kd.xn--o3cw4h", False),
        ("co.th", "co.th", True),
        ("github.io", "github.io", True),
        ("localhost", "localhost", True),
    ],
)
def test_registrable_domains_are_those_of_the_public_suffix_list(name, registrable, is_public, suffixes):
    """A name's site is the public suffix and one label more; a suffix belongs to nobody."""
    assert (registrable, is_public) == (suffixes.registrable(name), suffixes.is_public(name))


@pytest.mark.parametrize(
    ("domain", "name", "expected"),
    [
        ("shop.example", "shop.example", True),
        ("shop.example", "www.shop.example", True),
        ("shop.example", "myshop.example", False),
        ("www.shop.example", "shop.example", False),
    ],
)
def test_a_domain_covers_itself_and_what_is_below_it(domain, name, expected):
    """A name that only ends in the same letters is another site's."""
    assert expected == covers(domain, name)


def test_people_read_their_own_letters():
    """An encoded name is shown with its letters, and one that can't be decoded as it is."""
    assert readable("xn--bcher-kva.example") == "bücher.example (xn--bcher-kva.example)"
    assert readable("xn--\u00e4.example") == "xn--ä.example"
    assert readable("shop.example") == "shop.example"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9.9.9.9", ("9.9.9.9", 53)),
        ("127.0.0.1:5353", ("127.0.0.1", 5353)),
        ("::1", ("::1", 53)),
        ("[::1]:5353", ("::1", 5353)),
        ("[2620:fe::fe]", ("2620:fe::fe", 53)),
    ],
)
def test_a_resolver_is_an_address_with_or_without_a_port(text, expected):
    """The port of DNS is the default."""
    assert expected == read_resolver(text)


@pytest.mark.parametrize(
    "text",
    [
        "dns.example",
        "9.9.9.9:",
        "9.9.9.9:0",
        "9.9.9.9:70000",
        "[::1",
        "",
        "1.2.3",
        "[::1]5",
        "[::1]:",
    ],
)
def test_what_is_no_resolver_is_refused(text):
    """A resolver's name would need a resolver."""
    with pytest.raises(ValueError, match="write the resolver's address"):
        read_resolver(text)
