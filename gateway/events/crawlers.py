"""Which program a user agent names: crawlers, monitors, headless browsers, libraries that ask for pages.

The list is that of `crawler-user-agents`, in one automaton of RE2, with few patterns of our own; what it does not know, ua-parser's rules may. What
always holds: names and kinds are words of the lists, never a client's own; patterns that people's browsers and apps have in their user agents too are
narrowed until they don't.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import re2  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_KINDS = {
    "search-engine": "search",
    "seo": "seo",
    "monitoring": "monitoring",
    "scanner": "scanner",
    "advertising": "advertising",
    "social-preview": "link_preview",
    "feed-reader": "feed",
    "ai-crawler": "ai",
    "http-library": "program",
    "archiver": "archive",
    "academic": "research",
    "browser-automation": "automation",
}
KINDS = frozenset({*_KINDS.values(), "other", "impostor", "honeypot"})
"""What a bot can be."""

# People's, whatever the list says: apps send with OkHttp, Meta's apps open pages in windows of their own, Fluid and an editor's preview are browsers, and
# the last is the number of a build of Android.
_PEOPLES = frozenset({"okhttp", "MetaIAB Facebook", "Fluid", r"Code\/1\.", r"AP3A\.240617\.008"})
# Words that are also part of an app's, a browser's or a phone's name.
_NARROWED = {
    "WhatsApp": "^WhatsApp",
    "Viber": "^Viber",
    "Sogou": r"Sogou[ a-zA-Z-]*[sS]pider",
    "Sonic": r"Sonic/|RankSonic",
    "Butterfly": "Butterfly/",
    "Fever": r"Fever/",
    "Expanse": "Expanse, a Palo",
    "speedy": r"[sS]peedy[ _]?[sS]pider",
    r"008\/": r"(?:^|[ (])008/",
    r"mail\.ru": r"top\.mail\.ru|^[^(]*mail\.ru",
}
# Where the pattern is no name.
_NAMES = {
    r"yandex\.com\/bots": "YandexBot",
    r"(^| )sentry\/": "Sentry",
    r"(^| )PTST\/": "WebPageTest",
    r"Ahrefs(Bot|SiteAudit)": "AhrefsBot",
    r"Mediapartners \(Googlebot\)": "Mediapartners-Google",
    r"pinterest\.com\/bot": "Pinterestbot",
    r"[cC]laude[bB]ot": "ClaudeBot",
    r"[wW]get": "Wget",
    r"[pP]ingdom": "Pingdom",
    r"https:\/\/developers\.cloudflare\.com\/security-center\/": "Cloudflare Security Center",
    r"Riddler \(http:\/\/riddler\.io": "Riddler",
    r"SSL Labs \(https:\/\/www\.ssllabs\.com": "SSL Labs",
    r"Owler \(ows\.eu": "Owler",
    r"developers\.google\.com\/\+\/web\/snippet": "Google+ snippet",
}
UNLISTED = "unlisted"
"""The name of who calls itself a bot and stands in no list."""

_OURS = (
    # Who names a page about itself means to be known as a program.
    (r"[+]https?://", UNLISTED, "other"),
    ("^Java/|^Java-http-client/", "Java", "program"),
    ("^PostmanRuntime/", "Postman", "program"),
    ("^insomnia/", "Insomnia", "program"),
    ("(?i)^ruby|^faraday|^rest-client/", "Ruby", "program"),
    ("^GuzzleHttp/|^PHP/|^Symfony HttpClient", "PHP", "program"),
    ("^node(?:$|/)|^undici|^Deno/|^Bun/", "Node", "program"),
    ("^reqwest/|^hyper/", "Rust", "program"),
    ("^libcurl", "curl", "program"),
    ("^Python/|^python-", "Python", "program"),
    ("HtmlUnit|jsdom/", "simulated browser", "automation"),
    ("Cypress/|SlimerJS|TestCafe|WebdriverIO|Splash/", "test tool", "automation"),
    ("^k6/|^Apache-JMeter|^Gatling|^Artillery|^wrk/", "load test", "monitoring"),
    ("(?i)nuclei - open-source", "Nuclei", "scanner"),
    ("(?i)zalo-?bot|^Zalo/|zalo link ?preview|\\+https?://zalo\\.me", "Zalo preview", "link_preview"),
)

# The list's patterns are large alternations for an automaton, but far from this.
_AUTOMATON_BYTES = 64 << 20


class Crawler(NamedTuple):
    """A program that a user agent names."""

    name: str
    kind: str


class Crawlers:
    """The lists, compiled once. `is_spider` says what ua-parser's rules think of a user agent."""

    def __init__(self, is_spider: Callable[[str], bool]) -> None:
        # It reads its list when it is imported, which takes a moment: not where nobody looks for bots.
        from crawleruseragents import CRAWLER_USER_AGENTS_DATA as LISTED  # type: ignore[import-untyped] # noqa: PLC0415

        options = re2.Options()
        options.max_mem = _AUTOMATON_BYTES
        options.log_errors = False
        self._set = re2.Set.SearchSet(options)
        self._found: list[tuple[int, Crawler]] = []
        for each in LISTED:
            pattern = each["pattern"]
            if pattern not in _PEOPLES:
                kind = next((_KINDS[tag] for tag in each.get("tags", ()) if tag in _KINDS), "other")
                self._add(_NARROWED.get(pattern, pattern), Crawler(_name(pattern), kind), rank=len(pattern))
        for pattern, name, kind in _OURS:
            self._add(pattern, Crawler(name, kind), rank=0 if name == UNLISTED else 1)
        self._set.Compile()
        self._is_spider = is_spider

    def _add(self, pattern: str, crawler: Crawler, rank: int) -> None:
        self._set.Add(pattern)
        self._found.append((rank, crawler))

    def find(self, user_agent: str) -> Crawler | None:
        """Give the program that a user agent names, the one with the most particular pattern; `None` for a browser's or an app's."""
        # The binding gives `None` where nothing fits.
        numbers: Sequence[int] = self._set.Match(user_agent) or ()
        if numbers:
            # Those of the list go before ours, and of the list's the most particular one.
            return max([self._found[number] for number in numbers])[1]
        return Crawler(UNLISTED, "other") if self._is_spider(user_agent) else None


def _name(pattern: str) -> str:
    """Make a name of a pattern: `[aA]cunetix` is acunetix."""
    if pattern in _NAMES:
        return _NAMES[pattern]
    text = re.sub(r"\[\\s\\S\]\*", " ", pattern)
    text = re.sub(r"\[(.)[^\]]*\]", r"\1", text)
    text = re.sub(r"\\[bBsSdDwW][+*?]?", " ", text)
    text = re.split(r"\(\[|\|", re.sub(r"\\(.)", r"\1", text))[0]
    return " ".join(re.sub(r"[^\w .,:;!'@/+&-]", " ", text).split()).strip(" .,:;/+-")
