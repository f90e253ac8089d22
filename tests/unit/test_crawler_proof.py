"""Whether an address is the crawler's whose name it uses."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import dns.exception
import dns.name
import dns.resolver
import pytest

from gateway import crawler_proof
from gateway.crawler_proof import DOMAINS, CrawlerProof, Dns
from gateway.events.crawlers import Crawlers

GOOGLES = "66.249.66.1"


class Zone:
    """A resolver that knows these names."""

    def __init__(self, names, addresses):
        self.names, self.addresses = names, addresses
        self.lifetime = 0.0

    async def resolve_address(self, address):
        found = self._found(self.names, address)
        return [SimpleNamespace(target=dns.name.from_text(each)) for each in found]

    async def resolve(self, name, kind):
        return [
            SimpleNamespace(address=each)
            for each in self._found(self.addresses, name)
            if (":" in each) == (kind == "AAAA")
        ]

    def _found(self, table, key):
        found = table.get(key, dns.resolver.NXDOMAIN)
        if isinstance(found, list):
            return found
        raise found


@pytest.mark.parametrize(
    ("names", "addresses", "verdict"),
    [
        (["crawl-66-249-66-1.googlebot.com."], {"crawl-66-249-66-1.googlebot.com": [GOOGLES]}, True),
        (["x.example.", "CRAWL.GoogleBot.com."], {"crawl.googlebot.com": ["192.0.2.1", GOOGLES]}, True),
        # Who has an address writes its name as he likes: only the domain's owner can lead it back.
        (["crawl-66-249-66-1.googlebot.com."], {"crawl-66-249-66-1.googlebot.com": ["192.0.2.1"]}, False),
        (["crawl-66-249-66-1.googlebot.com."], {}, False),
        (["crawl.googlebot.com.evil.example."], {"crawl.googlebot.com.evil.example": [GOOGLES]}, False),
        (["notgooglebot.com."], {"notgooglebot.com": [GOOGLES]}, False),
        # Any machine that somebody rents there.
        (["1.66.249.66.bc.googleusercontent.com."], {"1.66.249.66.bc.googleusercontent.com": [GOOGLES]}, False),
        (dns.resolver.NXDOMAIN, {}, False),
        (dns.exception.Timeout, {}, None),
        (["crawl.googlebot.com."], {"crawl.googlebot.com": dns.exception.Timeout}, None),
        (OSError, {}, None),
    ],
)  # fmt: skip
async def test_an_address_is_looked_up_backwards_and_forwards(names, addresses, verdict):
    """Both must agree; DNS that does not answer proves nothing."""
    assert verdict is await Dns(Zone({GOOGLES: names}, addresses)).confirm(GOOGLES, DOMAINS["Googlebot"])


async def test_what_is_no_address_proves_nothing():
    """A visitor's address may be cut or hashed."""
    assert await Dns(Zone({}, {})).confirm("66.249.66.0/24", DOMAINS["Googlebot"]) is None


async def test_version_6_is_looked_up_too():
    """In its own kind of record, in any spelling."""
    zone = Zone(
        {"2001:4860:4801::1": ["geo.googlebot.com."]},
        {"geo.googlebot.com": ["2001:4860:4801:0::1", "192.0.2.1"]},
    )
    assert await Dns(zone).confirm("2001:4860:4801::1", DOMAINS["Googlebot"])


async def test_nobody_waits_for_a_look_and_it_is_remembered():
    """The first of an address hears nothing, later ones what was found, for a day; then it is looked up again while the old word holds."""
    now, looks = [0.0], []

    async def confirm(address, domains):
        looks.append(address)
        return True

    known = CrawlerProof(confirm, lambda: now[0])
    assert known.proof("Googlebot", GOOGLES) is None
    assert known.proof("Googlebot", GOOGLES) is None
    await known.settled()
    # Others of the same owner share what is known.
    assert [True, True] == [known.proof("Googlebot", GOOGLES), known.proof("AdsBot-Google", GOOGLES)]
    assert 1 == len(looks)
    now[0] = 86_400.0
    assert known.proof("Googlebot", GOOGLES)
    await known.settled()
    assert 2 == len(looks)


async def test_only_crawlers_that_say_how_to_recognise_them_are_looked_up():
    """Of others nothing is known, ever."""
    known = CrawlerProof(lambda *_: pytest.fail("looked"))
    assert (None, None) == (known.proof("AhrefsBot", GOOGLES), known.proof("unlisted", GOOGLES))


async def test_what_waits_and_what_is_remembered_is_bounded(monkeypatch):
    """A flood of addresses costs bounded memory, and few questions at a time."""
    monkeypatch.setattr(crawler_proof, "_MOST_WAITING", 20)
    monkeypatch.setattr(crawler_proof, "_MOST_KNOWN", 10)
    under_way, most, asked = 0, 0, 0

    async def confirm(address, domains):
        nonlocal under_way, most, asked
        under_way, asked = under_way + 1, asked + 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return False

    known = CrawlerProof(confirm)
    for number in range(100):
        known.proof("Googlebot", f"192.0.2.{number}")
    await known.settled()
    assert (20, True, 10) == (asked, most <= 8, len(known._known))


async def test_closing_gives_up_the_looks_that_are_under_way():
    """A stop does not wait for DNS."""

    async def confirm(address, domains):
        await asyncio.Event().wait()

    known = CrawlerProof(confirm)
    known.proof("Googlebot", GOOGLES)
    await asyncio.wait_for(known.close(), 10)
    await asyncio.wait_for(known.settled(), 10)


def test_the_crawlers_are_called_as_the_lists_call_them():
    """A name that the list has no more would never be looked up."""
    names = {crawler.name for _, crawler in Crawlers(lambda _: False)._found}
    assert set() == set(DOMAINS) - names
