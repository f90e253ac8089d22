"""Whether an address is the crawler's whose name it uses: DNS, backwards and forwards, as search engines ask to be recognised.

What always holds: who asks never waits, for the answer is what is known so far (`None`: nothing); looks go on beside the events, few at a time, and
what waits and what is remembered is bounded; DNS that does not answer proves nothing, in either direction.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

import dns.asyncresolver
import dns.exception
import dns.resolver

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

_GOOGLE = ("googlebot.com", "google.com", "gae.googleusercontent.com")
_BING = ("search.msn.com",)
_YANDEX = ("yandex.ru", "yandex.net", "yandex.com")
# As each says of itself: developers.google.com/crawling/docs/crawlers-fetchers/verify-google-requests, bing.com/webmasters/help (Verify Bingbot),
# yandex.com/support/webmaster/robot-workings, support.apple.com/119829, help.coccoc.com/searchengine.
DOMAINS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        (
            *("Googlebot", "Googlebot-Mobile", "Googlebot-Image", "Googlebot-News", "Googlebot-Video"),
            *("AdsBot-Google", "AdsBot-Google-Mobile", "Mediapartners-Google", "APIs-Google"),
            *("Google-InspectionTool", "Storebot-Google", "GoogleOther"),
        ),
        _GOOGLE,
    ),
    **dict.fromkeys(("bingbot", "msnbot", "BingPreview"), _BING),
    **dict.fromkeys(("YandexBot", "YandexRenderResourcesBot"), _YANDEX),
    "Baiduspider": ("baidu.com", "baidu.jp"),
    "Applebot": ("applebot.apple.com",),
    "coccoc": ("coccoc.com",),
    "Slurp": ("crawl.yahoo.net",),
    "Yeti": ("naver.com",),
    "SeznamBot": ("seznam.cz",),
    "PetalBot": ("petalsearch.com", "aspiegel.com"),
    "Pinterestbot": ("pinterest.com",),
    "Amazonbot": ("crawl.amazonbot.amazon",),
}
"""The domains of those crawlers that say how to recognise them, by the names of `gateway.events.crawlers`."""

_MOST_KNOWN = 8_192
_MOST_WAITING = 256
_AT_ONCE = 8
_DAY_SECONDS = 86_400.0
_HOUR_SECONDS = 3_600.0
_LOOK_SECONDS = 5.0


class CrawlerProof:
    """Knows crawlers by their address. `confirm` looks: whether it belongs to one of the domains, `None` where that can't be told now."""

    def __init__(
        self,
        confirm: Callable[[str, Sequence[str]], Awaitable[bool | None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._confirm = confirm
        self._clock = clock
        self._known: OrderedDict[tuple[str, str], tuple[bool | None, float]] = OrderedDict()
        self._looks: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)

    def proof(self, name: str, address: str) -> bool | None:
        """Tell what is known, and have it looked up where nothing is, or what is has become old."""
        domains = DOMAINS.get(name)
        if domains is None:
            return None
        key = domains[0], address
        verdict, until = self._known.get(key, (None, 0.0))
        if self._clock() >= until and key not in self._looks and len(self._looks) < _MOST_WAITING:
            look = asyncio.get_running_loop().create_task(self._look(key, domains))
            self._looks[key] = look
            look.add_done_callback(lambda _: self._looks.pop(key))
        return verdict

    async def settled(self) -> None:
        """Wait until no look is under way."""
        while self._looks:
            await asyncio.wait(list(self._looks.values()))
            # Their callbacks come a turn later.
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Give up the looks that are under way."""
        looks = list(self._looks.values())
        for each in looks:
            each.cancel()
        await asyncio.gather(*looks, return_exceptions=True)

    async def _look(self, key: tuple[str, str], domains: Sequence[str]) -> None:
        async with self._turn:
            verdict = await self._confirm(key[1], domains)
        lasts = _HOUR_SECONDS if verdict is None else _DAY_SECONDS
        self._known[key] = verdict, self._clock() + lasts
        self._known.move_to_end(key)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)


class Dns:
    """Looks at DNS through the system's resolver. Raises `dns.resolver.NoResolverConfiguration` where it names none."""

    def __init__(self, resolver: dns.asyncresolver.Resolver | None = None) -> None:
        self._resolver = resolver or dns.asyncresolver.Resolver()
        self._resolver.lifetime = _LOOK_SECONDS

    async def confirm(self, address: str, domains: Sequence[str]) -> bool | None:
        """Tell whether the address's name is one of these domains', and the name's address this one."""
        try:
            own = ipaddress.ip_address(address)
        except ValueError:
            return None
        try:
            names = [
                each.target.to_text(omit_final_dot=True).lower()
                for each in await self._resolver.resolve_address(address)
            ]
            for name in names:
                if name.endswith(tuple(f".{domain}" for domain in domains)):
                    kind = "A" if own.version == 4 else "AAAA"
                    answer = await self._resolver.resolve(name, kind)
                    return any(ipaddress.ip_address(each.address) == own for each in answer)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return False
        except (dns.exception.DNSException, OSError):
            return None
        return False
