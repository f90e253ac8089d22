"""Safari's cap of seven days, as WebKit has it, over what DNS said of two names.

FACT, `NetworkTaskCocoa::setCookieTransformForFirstPartyRequest` in WebKit's Source/WebKit/NetworkProcess/cocoa/NetworkTaskCocoa.mm,
for an answer to a request that a page makes to a host of its own site:

1. The tracking name resolves through a CNAME: the **last** name of the chain counts. The cookies are capped when its
   registrable domain is neither the page's nor that of the last CNAME of the page's own host. Addresses are not compared.
2. No CNAME: the cookies are capped when the address that answered and the address that the page came from differ in their first
   half, 16 bits of IPv4 or 64 of IPv6. One of each kind has no bit in common (`IPAddress::matchingNetMaskLength`).

The first came with Safari 14 (*CNAME Cloaking and Bounce Tracking Defense*, https://webkit.org/blog/11338/), the second with
WebKit pull request 5347, seen in Safari 16.4. The cap is on persistent cookies of more than 7 days, `HttpOnly` or not, so a
twin of the cookie from the same host falls with it. Cookies that scripts set (`document.cookie`) are capped to 7 days always
(*Tracking Prevention in WebKit*, https://webkit.org/tracking-prevention/). Requests to the page's own host differ in nothing.
"""

from __future__ import annotations

from ipaddress import ip_network
from itertools import product
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.doctor.model import Address, Resolution
    from gateway.doctor.names import Suffixes

CAP_DAYS = 7
CnameKind = Literal["none", "same_site", "same_network", "foreign"]
Halves = Literal["same", "mixed", "some_differ", "all_differ", "unknown"]


def half(address: Address) -> str:
    """Give the part of an address that Safari compares, as a network: `203.0.0.0/16`, `2001:db8::/64`."""
    return str(ip_network(f"{address}/{16 if address.version == 4 else 64}", strict=False))


def cname_kind(site: Resolution, tracking: Resolution, suffixes: Suffixes) -> CnameKind:
    """Tell where the tracking name's CNAME leads: there is none, to the page's site, to the network that carries the page, or away.

    The registrable domains are those of the page's name and of the last name of each chain.
    """
    if not tracking.chain:
        return "none"
    target = suffixes.registrable(tracking.chain[-1])
    if target == suffixes.registrable(site.name):
        return "same_site"
    if site.chain and target == suffixes.registrable(site.chain[-1]):
        return "same_network"
    return "foreign"


def compare_halves(site: Resolution, tracking: Resolution) -> Halves:
    """Tell whether the first halves of the addresses agree, over every pair that a visitor can meet.

    A visitor without IPv6 meets an IPv4 pair; one with it takes IPv6 for each name that has it, else IPv4 (RFC 8305 prefers it),
    so a name with AAAA beside one without makes a pair of two kinds. `mixed`: both names answer out of the same two or more
    networks, so which pair a visitor meets is chance. `unknown`: an answer is missing that could change the result.
    """
    pairs = [*_pairs(site, tracking, (4,)), *_pairs(site, tracking, (6, 4))]
    agreeing = [half(page) == half(gateway) for page, gateway in pairs]
    if not pairs:
        return "unknown"
    if all(agreeing):
        return "unknown" if site.unanswered or tracking.unanswered else "same"
    if {half(each) for each in site.addresses} == {half(each) for each in tracking.addresses}:
        return "mixed"
    if site.unanswered or tracking.unanswered:
        # What is known differs already where both sides of a pair are of one kind; else the missing answer may mend it.
        told = [half(page) == half(gateway) for page, gateway in pairs if page.version == gateway.version]
        return "some_differ" if not all(told) else "unknown"
    return "some_differ" if any(agreeing) else "all_differ"


def _pairs(
    site: Resolution, tracking: Resolution, versions: tuple[int, ...]
) -> Iterable[tuple[Address, Address]]:
    """Give the pairs of addresses that a visitor can meet who prefers these versions, the first that a name has."""
    return product(_preferred(site, versions), _preferred(tracking, versions))


def _preferred(names: Resolution, versions: tuple[int, ...]) -> list[Address]:
    for version in versions:
        found = [each for each in names.addresses if each.version == version]
        if found:
            return found
    return []
