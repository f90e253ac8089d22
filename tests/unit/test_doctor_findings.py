"""The checks beside the cap: the names in DNS, the cookie's Domain, HTTPS and the script; each says what to do."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from gateway.doctor.judge import judge
from gateway.doctor.model import Answer, CookiePlan, Fault, Resolution, Seen
from gateway.doctor.names import Suffixes, read_place
from gateway.doctor.plan import cookie_plan, default_tracking
from gateway.settings import Settings

ADDRESS = "203.0.113.10"
CHECKS = [
    "site_domain", "site_dns", "tracking_dns", "same_site", "cookie_domain", "cname", "address", "changing", "https", "script",
]  # fmt: skip
GOOD = Answer("https://track.shop.example/insight.js", ADDRESS, 200, "application/javascript; charset=utf-8")


@pytest.fixture(scope="module")
def suffixes():
    return Suffixes()


def there(name, *addresses, **more):
    return Resolution(name, looks=(frozenset(ip_address(each) for each in addresses or (ADDRESS,)),), **more)


def report(
    suffixes, *, site="https://www.shop.example", tracking="https://track.shop.example", domain="shop.example",
    answer=GOOD, site_names=None, tracking_names=None,
):  # fmt: skip
    page, gateway = read_place(site), read_place(tracking)
    return judge(
        Seen(
            page,
            gateway,
            site_names or there(page.host),
            tracking_names or there(gateway.host),
            CookiePlan(domain),
            answer,
        ),
        suffixes,
    )


def found(check, result):
    return next(each for each in result.findings if each.check == check)


def settings(**more):
    return Settings(properties=[{"portal_id": "1", "prop_id": "2", "site": "shop.example"}], **more)


def test_a_healthy_site_has_every_check_in_order(suffixes):
    """All is fine, every check is in the report, and none advises anything."""
    result = report(suffixes)
    assert [each.check for each in result.findings] == CHECKS
    assert {each.status for each in result.findings} == {"ok"}
    assert not any(each.advice for each in result.findings)
    assert result.summary == "Safari would keep the cookie of track.shop.example 400 days."


def test_what_is_not_fine_says_what_to_do_or_where_it_is_said(suffixes):
    """No finding leaves a person alone with it."""
    results = [
        report(suffixes, tracking="http://track.other.example", domain=None, answer=Answer("u", fault=Fault.TLS)),
        report(suffixes, site="https://co.th", tracking="https://shop.co.th", domain="co.th"),
        report(suffixes, tracking_names=Resolution("track.shop.example", fault=Fault.TIMEOUT, unanswered=("A", "AAAA"))),
        *(report(suffixes, answer=Answer("u", ADDRESS, fault=fault, detail="why")) for fault in Fault),
    ]  # fmt: skip
    ill = [each for result in results for each in result.findings if each.status != "ok"]
    assert len(ill) > 20
    assert [each for each in ill if not each.advice and "see " not in each.seen] == []
    assert not any(result.is_well for result in results[:3])


@pytest.mark.parametrize(
    ("names", "status", "told"),
    [
        (there("track.shop.example", chain=("lb.shop.example",)), "ok", "CNAME lb.shop.example 203.0.113.10"),
        (Resolution("track.shop.example", fault=Fault.NO_SUCH_NAME), "fail", "does not exist in DNS"),
        (
            Resolution("track.shop.example", ("gone.vendor.example",), fault=Fault.NO_SUCH_NAME), "fail",
            "does not exist in DNS (CNAME gone.vendor.example)",
        ),
        (Resolution("track.shop.example", looks=(frozenset(),), fault=Fault.NO_ADDRESS), "fail", "has no address"),
        (Resolution("track.shop.example", ("a", "track.shop.example"), fault=Fault.LOOP), "fail", "round in a circle"),
        (
            Resolution("track.shop.example", fault=Fault.REFUSED, detail="the resolver said SERVFAIL", unanswered=("A", "AAAA")),
            "unknown", "the resolver said SERVFAIL",
        ),
        (
            there("track.shop.example", fault=Fault.TIMEOUT, detail="no answer within 5 s", unanswered=("AAAA",)), "unknown",
            "203.0.113.10; AAAA unanswered (no answer within 5 s)",
        ),
        (there("track.shop.example", "10.0.0.7"), "warn", "10.0.0.7 can't be reached from the internet"),
        (there("track.shop.example", "fd00::1"), "warn", "fd00::1 can't be reached"),
        (there("track.shop.example", "::1", "127.0.0.1"), "warn", "127.0.0.1, ::1 can't be reached"),
    ],
)  # fmt: skip
def test_dns_is_told_with_what_is_wrong(names, status, told, suffixes):
    """A name that is missing, silent, circular or private is told apart from one that is there."""
    finding = found("tracking_dns", report(suffixes, tracking_names=names))
    assert status == finding.status
    assert told in finding.seen


@pytest.mark.parametrize(
    ("site", "tracking", "domain", "status", "told"),
    [
        ("www.shop.example", "track.shop.example", "shop.example", "ok", "covers both names"),
        ("www.shop.co.th", "track.shop.co.th", "shop.co.th", "ok", "covers both names"),
        ("www.shop.co.th", "track.shop.co.th", "co.th", "fail", "public suffix"),
        (
            "www.shop.example",
            "track.shop.example",
            "track.shop.example",
            "fail",
            "does not cover www.shop.example",
        ),
        (
            "www.shop.example",
            "track.shop.example",
            "www.shop.example",
            "fail",
            "does not cover track.shop.example",
        ),
        (
            "www.shop.example",
            "track.shop.example",
            "hop.example",
            "fail",
            "track.shop.example and www.shop.example",
        ),
        ("www.shop.example", "track.shop.example", None, "fail", "no [[properties]]"),
        ("www.shop.example", "track.shop.example", "", "warn", "track.shop.example's alone"),
        ("www.shop.example", "www.shop.example/t", "", "ok", "www.shop.example's alone"),
        ("www.bücher.example", "t.bücher.example", "bücher.example", "fail", "not ASCII"),
        ("www.bücher.example", "t.bücher.example", "xn--bcher-kva.example", "ok", "bücher.example"),
    ],
)
def test_the_cookies_domain_must_reach_both_names(site, tracking, domain, status, told, suffixes):
    """A Domain that browsers refuse, or that hides the cookie from the page, is found."""
    finding = found("cookie_domain", report(suffixes, site=site, tracking=tracking, domain=domain))
    assert status == finding.status
    assert told in finding.seen


@pytest.mark.parametrize(
    ("answer", "https", "script"),
    [
        (GOOD, "ok", "ok"),
        (GOOD._replace(content_type="text/javascript"), "ok", "ok"),
        (GOOD._replace(content_type="text/html"), "ok", "fail"),
        (GOOD._replace(content_type=""), "ok", "fail"),
        (GOOD._replace(status=404), "ok", "fail"),
        (GOOD._replace(status=301), "ok", "fail"),
        (Answer("u", ADDRESS, fault=Fault.NOT_HTTP, detail="RemoteDisconnected"), "ok", "fail"),
        (Answer("u", ADDRESS, fault=Fault.CERTIFICATE, detail="certificate has expired"), "fail", "unknown"),
        (Answer("u", ADDRESS, fault=Fault.TLS, detail="wrong version number"), "fail", "unknown"),
        (Answer("u", ADDRESS, fault=Fault.REFUSED, detail="connection refused"), "fail", "unknown"),
        (Answer("u", ADDRESS, fault=Fault.TIMEOUT, detail="nothing within 5 s"), "fail", "unknown"),
        (
            Answer("u", ADDRESS, fault=Fault.UNREACHABLE, detail="network is unreachable"),
            "unknown",
            "unknown",
        ),
        (Answer("u", fault=Fault.NO_ADDRESS), "unknown", "unknown"),
    ],
)
def test_https_and_the_script_are_judged_apart(answer, https, script, suffixes):
    """A refused certificate is the proxy's matter, a wrong content type the route's."""
    result = report(suffixes, answer=answer)
    assert (https, script) == (found("https", result).status, found("script", result).status)
    assert answer.detail in found("https", result).seen or answer.detail in found("script", result).seen


def test_plain_http_fails_whatever_answers(suffixes):
    """A Secure cookie needs HTTPS, so a tracking URL without it is a failure."""
    result = report(suffixes, tracking="http://track.shop.example:8080", answer=Answer("u", fault=Fault.TLS))
    assert found("https", result).status == "fail"
    assert "http://track.shop.example:8080 is plain HTTP" in found("https", result).seen


def test_https_that_was_not_tried_is_not_in_the_report(suffixes):
    """What was left out on purpose is no unknown."""
    result = report(suffixes, answer=None)
    assert [each.check for each in result.findings] == CHECKS[:-2]
    assert result.is_well


def test_a_port_in_the_url_changes_nothing_about_the_names(suffixes):
    """Cookies and the cap know hosts, not ports; the port is told where it is asked."""
    result = report(
        suffixes, site="https://www.shop.example:8443", tracking="https://track.shop.example:9443"
    )
    assert result.is_well
    assert "port 9443" in found("https", result).seen


def test_a_page_at_a_public_suffix_is_no_site(suffixes):
    """Nobody can set a cookie there."""
    assert found("site_domain", report(suffixes, site="https://github.io")).status == "fail"


@pytest.mark.parametrize(
    ("server", "site", "expected"),
    [
        ({}, "https://www.shop.example", "https://track.shop.example"),
        ({"public_url": "https://t.shop.example/x"}, "https://www.shop.example", "https://t.shop.example/x"),
        ({}, "https://www.other.example", "https://track.other.example"),
    ],
)
def test_the_gateway_is_looked_for_where_the_snippet_points(server, site, expected, suffixes):
    """The public URL wins; else it is `track.` and the property's site, or the page's own where no property fits."""
    assert expected == default_tracking(settings(server=server), read_place(site), suffixes)


def test_without_settings_the_gateway_is_looked_for_on_the_pages_site(suffixes):
    """A site can be looked at before there is a gateway."""
    assert (
        default_tracking(None, read_place("https://www.shop.co.th"), suffixes) == "https://track.shop.co.th"
    )


@pytest.mark.parametrize(
    ("cookies", "site", "expected"),
    [
        ({}, "www.shop.example", CookiePlan("shop.example", 400)),
        ({}, "shop.example", CookiePlan("shop.example", 400)),
        ({}, "www.myshop.example", CookiePlan(None, 400)),
        ({"domain": "host"}, "www.shop.example", CookiePlan("", 400)),
        ({"domain": ".www.shop.example", "lifetime_days": 30}, "www.shop.example", CookiePlan("www.shop.example", 30)),
    ],
)  # fmt: skip
def test_the_cookies_domain_is_what_the_settings_make_of_it(cookies, site, expected, suffixes):
    """`cookies.domain` wins, else it is the property's site; a page of no property has none."""
    assert expected == cookie_plan(settings(cookies=cookies), read_place(site), suffixes)


def test_the_nearest_property_is_the_pages(suffixes):
    """A shop in a sub-domain with a property of its own is not its parent's."""
    sites = [{"portal_id": "1", "prop_id": str(number), "site": each} for number, each in
             enumerate(("shop.example", "vn.shop.example", "*.bücher.example"))]  # fmt: skip
    loaded = Settings(properties=sites)
    assert cookie_plan(loaded, read_place("www.vn.shop.example"), suffixes).domain == "vn.shop.example"
    # As browsers send it.
    assert cookie_plan(loaded, read_place("www.bücher.example"), suffixes).domain == "xn--bcher-kva.example"
