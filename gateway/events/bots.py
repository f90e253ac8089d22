"""Whether a person sent an event: what its request says of the program behind it.

What always holds: what a server sends is never looked at, nor anything where the property wants no look; what is said of a bot (name, kind, reason) are
words of closed lists; a user agent is judged once, then remembered; an app's own library is an app, not a program.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import msgspec
from xxhash import xxh3_64_intdigest as fingerprint

from gateway.events.crawlers import Crawler, Crawlers
from gateway.events.outcome import Reason, Rejection
from gateway.events.remembering import remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.events.decisions import Pending
    from gateway.events.model import Head, JsonObject
    from gateway.events.occasion import Occasion
    from gateway.settings import Settings

_CACHED = 8_192
_MAX_AGENT = 1_024
_MOST_TRAPPED = 65_536
_HINTS = "sec-ch-ua"
# Of a page that a browser has fetched before its visitor asked for it (W3C Resource Hints; Sec-Purpose is the name since 2021).
_PURPOSES = ("sec-purpose", "purpose")


class Bot(msgspec.Struct, frozen=True):
    """A program. `block` is what the event says of it, `fields` the same for the log; `rejection` why its event is dropped where bots are."""

    name: str
    kind: str
    reason: str
    block: dict[str, Any]
    rejection: Rejection

    def remark(self, events: Sequence[Pending | Rejection]) -> None:
        """Note it in the log's words, with each event of a request that was let in."""
        for each in events:
            if not isinstance(each, Rejection):
                each.remarks["bot"] = self.block
                each.tallies.append(("bot", self.kind))


def _bot(crawler: Crawler, reason: str, **more: Any) -> Bot:
    block = {"name": crawler.name, "kind": crawler.kind, "reason": reason, **more}
    field = "User-Agent" if reason == "user_agent" else "Sec-CH-UA" if reason == "client_hints" else ""
    detail = f"sent by a program: {crawler.name} ({crawler.kind}), told by {reason}"
    return Bot(crawler.name, crawler.kind, reason, block, Rejection(Reason.BOT, field, detail))


_TRAPPED = _bot(Crawler("honeypot", "honeypot"), "honeypot")
_HEADLESS = _bot(Crawler("HeadlessChrome", "automation"), "client_hints")


class Bots:
    """Judges requests; compiled once. `is_wanted` tells whether any property has a look taken."""

    def __init__(
        self,
        settings: Settings,
        is_spider: Callable[[str], bool],
        client_of: Callable[[str], str],
        proof: Callable[[str, str], bool | None] | None = None,
    ) -> None:
        modes = {each.bots or settings.bots.mode for each in settings.properties}
        self.is_wanted = bool(modes - {"off"})
        self.wanted_headers = (_HINTS, *_PURPOSES) if self.is_wanted else ()
        self._named = remembered(_CACHED, self._of_agent) if self.is_wanted else _nobody
        self._crawlers = Crawlers(is_spider) if self.is_wanted else None
        self._client_of = client_of
        self._proof = proof
        self._trap_ms = int(settings.bots.honeypot_hours * 3_600_000) if settings.bots.honeypot_path else 0
        self._trapped: OrderedDict[str, int] = OrderedDict()

    def judge(self, head: Head, client_ip: str, now_ms: int) -> Bot | None:
        """Give the bot that sent a request; `None` for anybody else."""
        bot = self._named(head.user_agent[:_MAX_AGENT])
        if bot is not None:
            return bot if self._proof is None else self._proved(bot, client_ip, self._proof)
        named = head.named
        if named and "HeadlessChrome" in named.get(_HINTS, ""):
            return _HEADLESS
        if self._trapped and now_ms < self._trapped.get(self._program(head, client_ip), 0):
            return _TRAPPED
        return None

    def trap(self, head: Head, client_ip: str, now_ms: int) -> None:
        """Remember a program, at an address, that asked for what no person asks for.

        Not one at an address behind which many may be, such as a proxy's, nor a person's browser that another page has made ask.
        """
        program = self._program(head, client_ip)
        if program and self._trap_ms and not _is_made_to(head):
            self._trapped[program] = now_ms + self._trap_ms
            self._trapped.move_to_end(program)
            if len(self._trapped) > _MOST_TRAPPED:
                self._trapped.popitem(last=False)

    def _program(self, head: Head, client_ip: str) -> str:
        """Give what a program is known by; empty where its address may be everybody's. Thousands of people share a mobile carrier's."""
        client = self._client_of(client_ip)
        agent = head.user_agent[:_MAX_AGENT].encode("utf-8", "replace")
        return f"{client} {fingerprint(agent):x}" if client else ""

    def _of_agent(self, user_agent: str) -> Bot | None:
        assert self._crawlers is not None
        crawler = self._crawlers.find(user_agent) if user_agent else None
        return _bot(crawler, "user_agent") if crawler is not None else None

    def _proved(self, bot: Bot, client_ip: str, proof: Callable[[str, str], bool | None]) -> Bot:
        """Say of a crawler whether it is whose it says that it is, where that is known by now."""
        is_true = proof(bot.name, client_ip) if client_ip else None
        if is_true is None:
            return bot
        crawler = Crawler(bot.name, bot.kind) if is_true else Crawler(f"fake {bot.name}", "impostor")
        return _bot(crawler, "user_agent" if is_true else "reverse_dns", verified=is_true)


def _is_made_to(head: Head) -> bool:
    """Tell whether a browser may ask without its person's doing: for an image or a frame of any page, by a link of another site's, or in advance."""
    if head.named and not head.named.keys().isdisjoint(_PURPOSES):
        return True
    if not head.fetch_site:
        return False
    return (
        head.fetch_site == "cross-site"
        or head.fetch_mode != "navigate"
        or head.fetch_dest not in {"", "document"}
    )


def add(context: JsonObject, occasion: Occasion) -> None:
    """Add `context.bot` and the device's type, where they are absent and no person sent it; and `context.purpose` of a page that nobody has asked for yet."""
    bot, named = occasion.bot, occasion.head.named
    if bot is not None:
        context.setdefault("bot", bot.block)
        context.setdefault("device", {"type": "bot"})
    if named and not named.keys().isdisjoint(_PURPOSES):
        purpose = _purpose(named)
        if purpose:
            context.setdefault("purpose", purpose)


def _purpose(named: dict[str, str]) -> str:
    said = named.get("sec-purpose", "") or named.get("purpose", "")
    if "prerender" in said:
        return "prerender"
    return "prefetch" if "prefetch" in said or "preview" in said else ""


def _nobody(user_agent: str) -> None:
    del user_agent
