"""The UID's cookies: who they say a visitor is, when they are written, and with which attributes."""

from __future__ import annotations

import pytest

from gateway.events.cookies import STRANGER, UidCookie, Visitor
from gateway.events.keyring import Keyring
from gateway.events.ppid import ppid
from gateway.events.twin import ABSENT, TwinSigner, TwinState
from gateway.settings import Cookies

NEW, OLD = "2026b:a newer secret of the shop", "2026a:an older secret of the shop"
SITE, HOST, UID, OTHER, NOW = (
    "shop.example",
    "track.shop.example",
    "1234567890123",
    "222222222",
    1_790_000_000,
)
DAY = 86_400


def usable(uid):
    """Give a UID of digits: the rules of the pipeline are tested there."""
    return uid if uid.isdigit() and uid != "0" else ""


def policy(keys=(NEW,), **changes):
    return UidCookie(Cookies(**changes), Keyring(keys), usable)


COOKIE = policy()


def jar(headers):
    """Give the `Cookie` header of a browser that got these `Set-Cookie` headers."""
    return "; ".join(value.partition(";")[0] for _, value in headers)


def written(cookie=COOKIE, *, visitor=STRANGER, uid=UID, host=HOST, site=SITE, now_s=NOW):
    return [value for _, value in cookie.headers(host, site, visitor, uid, now_s)]


def pair(uid=UID, now_s=NOW, cookie=COOKIE):
    """Give the `Cookie` header of a visitor whose cookies were written at that time."""
    return jar(cookie.headers(HOST, SITE, STRANGER, uid, now_s))


def twin_of(uid=UID, now_s=NOW, site=SITE, key=NEW):
    return "_asm_uid_s=" + TwinSigner(Keyring([key])).sign(site, uid, now_s)


def domain_of(host, site=SITE, **changes):
    """Give the `Domain` of the cookies, which is the same for all, or `None`."""
    found = {
        next((part.strip() for part in value.split(";") if "Domain" in part), None)
        for value in written(policy(**changes), host=host, site=site)
    }
    assert len(found) == 1
    return found.pop()


# ---- What is written


def test_a_stranger_gets_the_uid_and_its_twin():
    """400 days, for the whole site; scripts read the plain one only."""
    mac = TwinSigner(Keyring([NEW])).sign(SITE, UID, NOW)
    expected = [
        f"_asm_uid={UID}; Path=/; Max-Age=34560000; Domain=shop.example; Secure; SameSite=Lax",
        f"_asm_uid_s={mac}; Path=/; Max-Age=34560000; Domain=shop.example; Secure; SameSite=Lax; HttpOnly",
    ]
    assert expected == written()


def test_the_attributes_follow_the_settings():
    """Names, lifetime, `Secure`, `SameSite`, `Domain`, and the PPID beside them for scripts."""
    cookie = policy(
        name="uid", twin_name="uid_twin", ppid_name="gam", secure=False, same_site="strict", lifetime_days=30, domain="host"
    )  # fmt: skip
    rest = "; Path=/; Max-Age=2592000; SameSite=Strict"
    mac = TwinSigner(Keyring([NEW])).sign(SITE, UID, NOW)
    assert [
        f"uid={UID}{rest}",
        f"uid_twin={mac}{rest}; HttpOnly",
        f"gam={ppid(UID)}{rest}",
    ] == written(cookie)


@pytest.mark.parametrize(("setting", "text"), [("lax", "Lax"), ("strict", "Strict"), ("none", "None")])
def test_same_site_is_written_as_browsers_read_it(setting, text):
    """On each cookie."""
    assert all(value.split("; ")[-1 - value.endswith("HttpOnly")] == f"SameSite={text}"
               for value in written(policy(same_site=setting, ppid_name="p")))  # fmt: skip


def test_session_cookies_have_no_age():
    """The browser forgets them when it closes."""
    assert [f"_asm_uid={UID}; Path=/; Domain=shop.example; Secure; SameSite=Lax"] == written(
        policy(lifetime_days=0)
    )[:1]
    assert not [
        value for value in written(policy(lifetime_days=0)) if "Max-Age" in value or "Expires" in value
    ]


@pytest.mark.parametrize("changes", [{"twin_name": ""}, {"keys": ()}])
def test_without_a_twin_the_plain_cookie_is_alone_and_renewed_with_each_answer(changes):
    """Nothing else tells how old it is."""
    cookie = policy(**changes)
    assert 1 == len(written(cookie))
    visitor = cookie.read(f"_asm_uid={UID}; {twin_of()}", SITE, NOW)
    assert Visitor(UID, UID, ABSENT, is_restored=False, is_due=True) == visitor


@pytest.mark.parametrize(
    "uid", ["", "a b", "a;b", "a\r\nSet-Cookie: b=c", "lan@example.com,b", "lan\u0301", "9" * 129]
)
def test_a_uid_that_would_break_a_header_is_never_written(uid):
    """Whatever the caller believes."""
    assert [] == written(uid=uid)


# ---- Where it is written


@pytest.mark.parametrize(
    "host",
    [
        "shop.example",
        "track.shop.example",
        "a.b.shop.example",
        "TRACK.Shop.Example",
        "track.shop.example:8443",
    ],
)
def test_on_the_site_and_below_it_the_cookies_are_the_sites(host):
    """With or without a port, however it is written."""
    assert domain_of(host) == "Domain=shop.example"


@pytest.mark.parametrize(
    "host",
    ["localhost:8080", "evilshop.example", "shop.example.evil.test", "example", "track.shop.example.", "203.0.113.9",
     "203.0.113.9:8080", "[2001:db8::1]:8080", "", ":", "x;Domain=evil.test", "a" * 300 + ".shop.example"],
)  # fmt: skip
def test_on_another_host_the_cookies_are_that_hosts_alone(host):
    """A browser refuses a Domain that the host is not part of."""
    assert domain_of(host) is None


@pytest.mark.parametrize(
    ("host", "site"),
    [
        ("localhost:8080", "localhost"),
        ("127.0.0.1:8080", "127.0.0.1"),
        ("a.shop.example", "a.shop.example;x"),
    ],
)
def test_a_site_that_is_no_domain_names_none(host, site):
    """A bare name and an address have nothing to share; nothing odd gets into a header."""
    assert domain_of(host, site) is None


def test_the_setting_host_keeps_the_cookies_to_the_host():
    """Also on the site itself."""
    assert domain_of("track.shop.example", domain="host") is None
    assert domain_of("shop.example", domain="host") is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [("track.eu.shop.example", "Domain=eu.shop.example"), ("eu.shop.example", "Domain=eu.shop.example"),
     ("track.shop.example", None), ("neu.shop.example", None)],
)  # fmt: skip
@pytest.mark.parametrize("domain", ["eu.shop.example", ".EU.shop.example", "*.eu.shop.example"])
def test_a_domain_of_the_settings_holds_for_hosts_below_it(host, expected, domain):
    """However it is written; on other hosts the cookies are the host's."""
    assert expected == domain_of(host, domain=domain)


def test_a_host_cookie_has_no_domain():
    """Browsers refuse a `__Host-` cookie that has one."""
    plain, twin = written(policy(twin_name="__Host-uid"))
    assert "Domain=shop.example" in plain
    assert "Domain" not in twin


# ---- When it is written


def test_what_was_written_is_read_back_and_is_not_due():
    """The common case: nothing to do."""
    visitor = COOKIE.read(pair(), SITE, NOW + 60)
    assert (UID, UID, TwinState.VALID) == (visitor.uid, visitor.plain_uid, visitor.twin.state)
    assert (False, False) == (visitor.is_restored, visitor.is_due)
    assert [] == written(visitor=visitor, now_s=NOW + 60)


def test_cookies_are_renewed_once_a_day():
    """A visitor who sends an event every minute for three days gets them four times: at first and once a day."""
    header, renewals = "", []
    for now_s in range(NOW, NOW + 3 * DAY + 1, 60):
        visitor = COOKIE.read(header, SITE, now_s)
        headers = COOKIE.headers(HOST, SITE, visitor, UID, now_s)
        if headers:
            assert 2 == len(headers)
            header = jar(headers)
            renewals.append(now_s - NOW)
    assert [0, DAY, 2 * DAY, 3 * DAY] == renewals


def test_they_are_renewed_as_often_as_the_setting_says():
    """`renew_hours`, and 0 with each answer."""
    assert not policy(renew_hours=1).read(pair(), SITE, NOW + 3_599).is_due
    assert policy(renew_hours=1).read(pair(), SITE, NOW + 3_600).is_due
    assert policy(renew_hours=0).read(pair(), SITE, NOW).is_due


def test_cookies_of_a_day_are_renewed_before_they_die():
    """A renewal after `renew_hours` alone would come when the browser has dropped them."""
    cookie = policy(lifetime_days=1)
    assert not cookie.read(pair(), SITE, NOW + DAY // 2 - 1).is_due
    assert cookie.read(pair(), SITE, NOW + DAY // 2).is_due


def test_another_uid_is_written_at_once():
    """With its twin and its PPID."""
    cookie = policy(ppid_name="p")
    visitor = cookie.read(pair(), SITE, NOW)
    plain, twin, third = written(cookie, visitor=visitor, uid=OTHER)
    assert f"_asm_uid={OTHER}" == plain.partition(";")[0]
    assert twin_of(OTHER) == twin.partition(";")[0]
    assert f"p={ppid(OTHER)}" == third.partition(";")[0]


def test_a_plain_cookie_alone_gets_its_twin():
    """The first answer after an update, or to a cookie that the page made."""
    visitor = COOKIE.read(f"_asm_uid={UID}", SITE, NOW)
    assert Visitor(UID, UID, ABSENT, is_restored=False, is_due=True) == visitor
    assert 2 == len(written(visitor=visitor))


def test_the_twin_restores_a_plain_cookie_that_is_gone():
    """Safari drops what a script wrote after seven days."""
    visitor = COOKIE.read(twin_of(), SITE, NOW + 8 * DAY)
    assert (UID, "", True, True) == (visitor.uid, visitor.plain_uid, visitor.is_restored, visitor.is_due)
    assert written(visitor=visitor, now_s=NOW + 8 * DAY)[0].startswith(f"_asm_uid={UID};")


def test_the_twin_restores_a_plain_cookie_that_is_no_uid():
    """`undefined` was written by a script in trouble."""
    visitor = COOKIE.read(f"_asm_uid=undefined; {twin_of()}", SITE, NOW)
    assert (UID, True) == (visitor.uid, visitor.is_restored)


def test_the_plain_cookie_wins_over_a_twin_that_differs():
    """The page wrote it at a reset; the twin follows at once."""
    visitor = COOKIE.read(f"_asm_uid={OTHER}; {twin_of()}", SITE, NOW)
    assert (OTHER, OTHER, False, True) == (
        visitor.uid,
        visitor.plain_uid,
        visitor.is_restored,
        visitor.is_due,
    )
    assert twin_of(OTHER) == written(visitor=visitor, uid=OTHER)[1].partition(";")[0]


def test_a_twin_under_an_older_key_is_renewed():
    """One day after a rotation, the old key is out of use."""
    cookie = policy(keys=(NEW, OLD))
    visitor = cookie.read(f"_asm_uid={UID}; {twin_of(key=OLD)}", SITE, NOW)
    assert (UID, TwinState.VALID, True) == (visitor.uid, visitor.twin.state, visitor.is_due)
    assert twin_of(key=NEW) == written(cookie, visitor=visitor)[1].partition(";")[0]


@pytest.mark.parametrize(
    ("twin", "state"),
    [
        (twin_of().replace(UID, OTHER), TwinState.FORGED),
        (twin_of(site="other.example"), TwinState.FOREIGN),
        (twin_of(key=OLD), TwinState.FOREIGN),
        (twin_of(now_s=NOW - 400 * DAY), TwinState.EXPIRED),
        (twin_of()[:-1], TwinState.UNREADABLE),
        (twin_of("0"), TwinState.UNREADABLE),
    ],
)
def test_a_twin_that_is_not_taken_restores_nothing_and_is_replaced(twin, state):
    """It is told apart for the count, and has no say in who the visitor is."""
    alone = COOKIE.read(twin, SITE, NOW)
    assert ("", state, "") == (alone.uid, alone.twin.state, alone.twin.uid)
    visitor = COOKIE.read(f"{twin}; _asm_uid={OTHER}", SITE, NOW)
    assert (OTHER, state, False, True) == (
        visitor.uid,
        visitor.twin.state,
        visitor.is_restored,
        visitor.is_due,
    )


@pytest.mark.parametrize(("ahead_s", "is_due"), [(0, False), (300, False), (301, True), (365 * DAY, True)])
def test_a_clock_that_was_set_back_costs_nobody_a_uid(ahead_s, is_due):
    """The twin is taken; written far in the future, it is written anew so that it can age."""
    visitor = COOKIE.read(pair(now_s=NOW + ahead_s), SITE, NOW)
    assert (UID, TwinState.VALID, is_due) == (visitor.uid, visitor.twin.state, visitor.is_due)


def test_the_twin_of_a_session_is_taken_for_a_day_after_its_last_renewal():
    """A copy that somebody kept is not a visitor for ever."""
    cookie = policy(lifetime_days=0)
    assert UID == cookie.read(twin_of(), SITE, NOW + DAY - 1).uid
    late = cookie.read(twin_of(), SITE, NOW + DAY)
    assert ("", TwinState.EXPIRED) == (late.uid, late.twin.state)
