"""Safari's cap over what DNS said: each table row is a site as one meets them, with the cap that WebKit's rule gives it."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from gateway.doctor.cap import compare_halves, half
from gateway.doctor.judge import judge
from gateway.doctor.model import CookiePlan, Fault, Resolution, Seen
from gateway.doctor.names import Suffixes, read_place

PAGE, TRACK = "www.shop.example", "track.shop.example"
NEAR, NEAR_TOO, FAR = "203.0.113.10", "203.0.250.7", "198.51.100.4"
NEAR_6, NEAR_6_TOO, FAR_6 = "2001:db8:1:1::10", "2001:db8:1:1:ffff::7", "2001:db8:1:2::10"


@pytest.fixture(scope="module")
def suffixes():
    return Suffixes()


def names(name, *addresses, chain=(), **more):
    return Resolution(name, tuple(chain), (frozenset(ip_address(each) for each in addresses),) * 3, **more)


def nothing(name, fault, **more):
    return Resolution(name, fault=fault, **more)


def seen(page, track, lifetime_days=400, domain="shop.example"):
    return Seen(
        read_place(page.name), read_place(track.name), page, track, CookiePlan(domain, lifetime_days)
    )  # fmt: skip


def statuses(report):
    return {each.check: each.status for each in report.findings}


def decided(report):
    found = statuses(report)
    return report.cap, found["cname"], found["address"], found["changing"]


def finding(report, check):
    return next(each for each in report.findings if each.check == check)


@pytest.mark.parametrize(
    ("page", "track", "expected"),
    [
        pytest.param(names(PAGE, NEAR), names(TRACK, NEAR), ("none", "ok", "ok", "ok"), id="one load balancer"),
        pytest.param(names(PAGE, NEAR), names(TRACK, NEAR_TOO), ("none", "ok", "ok", "ok"), id="one /16"),
        pytest.param(names(PAGE, NEAR), names(TRACK, FAR), ("all", "ok", "fail", "ok"), id="another network"),
        pytest.param(
            names(PAGE, NEAR, chain=["shop.cdn.example"]), names(TRACK, FAR, chain=["t7.cdn.example"]),
            ("none", "ok", "warn", "ok"), id="the same CDN carries both names",
        ),
        pytest.param(
            names(PAGE, NEAR), names(TRACK, NEAR_TOO, chain=["lb.shop.example"]),
            ("none", "ok", "ok", "ok"), id="CNAME within the site",
        ),
        pytest.param(
            names(PAGE, NEAR), names(TRACK, FAR, chain=["lb.shop.example"]),
            ("none", "ok", "warn", "ok"), id="CNAME within the site, another network",
        ),
        pytest.param(
            names(PAGE, NEAR), names(TRACK, FAR, chain=["shop.vendor.example"]),
            ("all", "fail", "warn", "ok"), id="CNAME to a vendor",
        ),
        pytest.param(
            names(PAGE, NEAR), names(TRACK, NEAR_TOO, chain=["shop.vendor.example"]),
            ("all", "fail", "ok", "ok"), id="CNAME to a vendor in the site's own network",
        ),
        pytest.param(
            names(PAGE, NEAR), names(TRACK, NEAR, chain=["shop.vendor.example", "edge.shop.example"]),
            ("none", "ok", "ok", "ok"), id="only the last name of the chain counts, back home",
        ),
        pytest.param(
            names(PAGE, NEAR), names(TRACK, NEAR, chain=["t.shop.example", "shop.vendor.example"]),
            ("all", "fail", "ok", "ok"), id="only the last name of the chain counts, away",
        ),
        pytest.param(
            names(PAGE, NEAR, chain=["d1.cloudfront.net"]), names(TRACK, NEAR, chain=["d2.cloudfront.net"]),
            ("all", "fail", "ok", "ok"), id="two customers of one CDN are two sites by the public suffix list",
        ),
        pytest.param(
            names(PAGE, NEAR_6), names(TRACK, NEAR_6_TOO), ("none", "ok", "ok", "ok"), id="IPv6 only, one /64",
        ),
        pytest.param(
            names(PAGE, NEAR_6), names(TRACK, FAR_6), ("all", "ok", "fail", "ok"), id="IPv6 only, another /64",
        ),
        pytest.param(
            names(PAGE, NEAR_6), names(TRACK, NEAR), ("all", "ok", "fail", "ok"), id="one IPv6, one IPv4",
        ),
        pytest.param(
            names(PAGE, NEAR, NEAR_6), names(TRACK, NEAR_TOO, NEAR_6_TOO), ("none", "ok", "ok", "ok"), id="both kinds",
        ),
        pytest.param(
            names(PAGE, NEAR, NEAR_6), names(TRACK, NEAR), ("some", "ok", "fail", "ok"),
            id="the gateway has no AAAA: visitors with IPv6 meet two kinds",
        ),
        pytest.param(
            names(PAGE, NEAR), names(TRACK, NEAR, NEAR_6), ("some", "ok", "fail", "ok"), id="the page has no AAAA",
        ),
        pytest.param(
            names(PAGE, NEAR), names(TRACK, NEAR_TOO, FAR), ("some", "ok", "fail", "ok"), id="one of two addresses off",
        ),
        pytest.param(
            names(PAGE, NEAR, FAR), names(TRACK, NEAR, FAR), ("perhaps", "ok", "warn", "ok"), id="both names on a CDN's two networks",
        ),
        pytest.param(
            names(PAGE, NEAR), nothing(TRACK, Fault.NO_SUCH_NAME), ("unknown", "unknown", "unknown", "unknown"), id="no such name",
        ),
        pytest.param(
            nothing(PAGE, Fault.TIMEOUT, unanswered=("A", "AAAA")), names(TRACK, NEAR),
            ("unknown", "ok", "unknown", "ok"), id="the page's DNS times out",
        ),
        pytest.param(
            nothing(PAGE, Fault.TIMEOUT, unanswered=("A", "AAAA")), names(TRACK, NEAR, chain=["x.vendor.example"]),
            ("unknown", "unknown", "ok", "ok"), id="the page's own CNAME might lead to the vendor too",
        ),
        pytest.param(
            nothing(PAGE, Fault.TIMEOUT, unanswered=("A", "AAAA")), names(TRACK, NEAR, chain=["lb.shop.example"]),
            ("none", "ok", "ok", "ok"), id="a CNAME within the site needs no answer about the page",
        ),
        pytest.param(
            names(PAGE, NEAR, unanswered=("AAAA",)), names(TRACK, NEAR_TOO),
            ("unknown", "ok", "unknown", "ok"), id="agreement, but AAAA is unknown",
        ),
        pytest.param(
            names(PAGE, NEAR, unanswered=("AAAA",)), names(TRACK, NEAR, NEAR_6), ("unknown", "ok", "unknown", "ok"),
            id="the AAAA of the page may be the one that agrees",
        ),
        pytest.param(
            names(PAGE, NEAR, unanswered=("AAAA",)), names(TRACK, FAR), ("some", "ok", "fail", "ok"),
            id="no answer about AAAA mends an IPv4 that differs",
        ),
        pytest.param(
            names(PAGE, "10.1.2.3"), names(TRACK, "10.1.9.9"), ("none", "ok", "ok", "ok"), id="private addresses compare too",
        ),
        pytest.param(
            names("www.shop.co.th", NEAR), names("track.other.co.th", NEAR),
            ("blocked", "unknown", "unknown", "unknown"), id="two owners under co.th",
        ),
        pytest.param(
            names("www.shop.co.th", NEAR), names("track.shop.co.th", NEAR, chain=["t.vendor.co.th"]),
            ("all", "fail", "ok", "ok"), id="CNAME to another owner under co.th",
        ),
        pytest.param(
            names("www.xn--bcher-kva.example", NEAR), names("t.xn--bcher-kva.example", NEAR, chain=["lb.xn--bcher-kva.example"]),
            ("none", "ok", "ok", "ok"), id="names with letters beyond ASCII",
        ),
        pytest.param(names(PAGE, NEAR, FAR), names(PAGE, NEAR, FAR), ("none", "ok", "ok", "ok"), id="below a path of the page's host"),
    ],
)  # fmt: skip
def test_the_cap_is_as_webkit_has_it(page, track, expected, suffixes):
    """For each kind of DNS, the cap and the status of the checks that decide about it."""
    assert expected == decided(judge(seen(page, track), suffixes))


def test_a_site_behind_addresses_that_change_is_warned(suffixes):
    """What was seen of a name whose addresses change may not be what the next visitor gets, and the report says so."""
    looks = tuple(frozenset({ip_address(each)}) for each in (NEAR, NEAR_TOO, NEAR))
    report = judge(seen(names(PAGE, NEAR), Resolution(TRACK, looks=looks)), suffixes)
    assert ("none", "ok", "ok", "warn") == decided(report)
    assert TRACK in finding(report, "changing").seen
    assert report.is_well


def test_addresses_that_change_do_not_matter_under_a_cname_of_the_site(suffixes):
    """Safari compares no addresses where the CNAME is in order, so their changing is no finding."""
    looks = tuple(frozenset({ip_address(each)}) for each in (NEAR, FAR))
    track = Resolution(TRACK, ("lb.shop.example",), looks)
    assert decided(judge(seen(names(PAGE, NEAR), track), suffixes)) == ("none", "ok", "warn", "ok")


@pytest.mark.parametrize("days", [0, 1, 7])
def test_a_cap_of_a_week_does_no_harm_to_a_cookie_of_a_week(days, suffixes):
    """A short-lived cookie makes a warning of what would be a failure."""
    track = names(TRACK, FAR, chain=["x.vendor.example"])
    report = judge(seen(names(PAGE, NEAR), track, lifetime_days=days), suffixes)
    assert finding(report, "cname").status == "warn"
    assert report.is_well
    assert "changes nothing" in report.summary


def test_the_summary_says_why_and_that_the_twin_does_not_help(suffixes):
    """A person reads in one sentence how long the cookie lives and which record is to blame."""
    report = judge(seen(names(PAGE, NEAR), names(TRACK, FAR, chain=["x.vendor.example"])), suffixes)
    assert report.summary == (
        "Safari would keep the cookie 7 days instead of 400, with the twin not helping either, because track.shop.example "
        "is a CNAME to x.vendor.example, a host of vendor.example and not of shop.example."
    )


def test_the_advice_names_the_records_to_make(suffixes):
    """The advice holds the site's own addresses, or its own CNAME, and the way below a path of the site."""
    plain = judge(seen(names(PAGE, NEAR, NEAR_6), names(TRACK, FAR)), suffixes)
    assert (
        f"A and AAAA records to the same load balancer or CDN zone that carries {PAGE} ({NEAR}, {NEAR_6})"
        in (finding(plain, "address").advice)
    )
    assert "https://www.shop.example/t/" in finding(plain, "address").advice
    on_cdn = judge(
        seen(names(PAGE, NEAR, chain=["shop.cdn.example"]), names(TRACK, FAR, chain=["x.vendor.example"])),
        suffixes,
    )
    assert (
        "a CNAME to the name that www.shop.example has (shop.cdn.example)" in finding(on_cdn, "cname").advice
    )


@pytest.mark.parametrize(
    ("address", "expected"),
    [(NEAR, "203.0.0.0/16"), ("255.255.255.255", "255.255.0.0/16"), (NEAR_6_TOO, "2001:db8:1:1::/64"), ("::1", "::/64")],
)  # fmt: skip
def test_the_half_is_16_bits_of_ipv4_and_64_of_ipv6(address, expected):
    """The half of an address is shown as a network."""
    assert expected == half(ip_address(address))


def test_nothing_is_said_of_names_without_addresses():
    """Two names without an address neither agree nor differ."""
    assert compare_halves(nothing(PAGE, Fault.NO_ADDRESS), nothing(TRACK, Fault.NO_ADDRESS)) == "unknown"
