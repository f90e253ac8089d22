"""How the UID is found in a `Cookie` header, whatever else is in it."""

from __future__ import annotations

import time

import pytest

from gateway.events.cookies import UidCookie, values
from gateway.events.keyring import Keyring
from gateway.events.twin import TwinSigner, TwinState
from gateway.settings import Cookies

SITE, UID, OTHER, NOW, DAY = "shop.example", "1234567890123", "222222222", 1_790_000_000, 86_400
RING = Keyring(["2026b:a newer secret of the shop"])
COOKIE = UidCookie(Cookies(), RING, lambda uid: uid if uid.isdigit() else "")


def twin_of(uid=UID, now_s=NOW, site=SITE):
    return "_asm_uid_s=" + TwinSigner(RING).sign(site, uid, now_s)


@pytest.mark.parametrize(
    ("header", "uid"),
    [
        ("", ""),
        ("_asm_uid=", ""),
        ("_asm_uid", ""),
        (f"_asm_uid={UID}", UID),
        (f"a=b; _asm_uid={UID}; c=d", UID),
        (f"a=b;_asm_uid={UID};c=d", UID),
        (f"a=b;  _asm_uid= {UID} ;c=d", UID),
        (f'_asm_uid="{UID}"', UID),
        (f"my_asm_uid={OTHER}; _asm_uid={UID}", UID),
        (f"my_asm_uid={OTHER}", ""),
        (f"a=_asm_uid={OTHER}", ""),
        (f"a=b _asm_uid={OTHER}", ""),
        (f"_asm_uid_s={OTHER}", ""),
        (f"_ASM_UID={OTHER}", ""),
        (f"_asm_uid=undefined; _asm_uid={UID}", UID),
        (f"_asm_uid={UID}; _asm_uid={OTHER}", UID),
    ],
)
def test_the_uid_is_found_in_a_cookie_header(header, uid):
    """Among others, quoted or not; the first usable one of several; never in another cookie's name or value."""
    assert uid == COOKIE.read(header, SITE, NOW).uid


def test_the_twin_says_which_of_two_plain_cookies_is_the_sites():
    """A browser sends an older one of the host alone first, and would undo each reset."""
    visitor = COOKIE.read(f"_asm_uid={OTHER}; _asm_uid={UID}; {twin_of()}", SITE, NOW)
    assert (UID, UID, False) == (visitor.uid, visitor.plain_uid, visitor.is_due)


def test_of_several_twins_the_newest_valid_one_counts():
    """Of a site above, forged, old: they don't hide the right one."""
    twins = [
        twin_of(OTHER, site="example"),
        twin_of().replace(UID, OTHER),
        twin_of(OTHER, NOW - DAY),
        twin_of(),
    ]
    for header in ("; ".join(twins), "; ".join(reversed(twins))):
        visitor = COOKIE.read(header, SITE, NOW)
        assert (UID, TwinState.VALID, NOW) == (visitor.uid, visitor.twin.state, visitor.twin.issued_s)


def test_only_a_few_cookies_of_one_name_are_looked_at():
    """Nobody makes the gateway verify a thousand forgeries for one event."""
    header = "; ".join(f"a={number}" for number in range(1_000))
    assert tuple(str(number) for number in range(8)) == values(header, "a")


@pytest.mark.parametrize(
    "header",
    ["my_asm_uid=1;" * 5_000, "_asm_uid=;" * 6_500, f"{twin_of()[:-1]}A; " * 700, "x" * 65_536, " " * 65_536 + "_asm_uid=1",
     " _asm_uid=" * 6_500, "=" * 65_536, ";" * 65_536],
)  # fmt: skip
def test_sixty_four_kilobytes_of_cookies_are_read_at_once(header):
    """20 such headers in less than a second of one processor: what a quadratic reader needs a minute for."""
    started = time.process_time()
    for _ in range(20):
        assert not COOKIE.read(header, SITE, NOW).uid
    assert time.process_time() - started < 1.0
