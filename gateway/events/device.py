"""The visitor's device, system and browser: as the browser's client hints tell them, else as the user agent does, by ua-parser's rules.

The names are ua-parser's wherever it has one (`Mac OS X`, `Chrome Mobile`), whoever told it, so that a report does not fall in two. What tells them
repeats: what was read is remembered. Client hints count only beside the user agent that they came with: an app's own words are left as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ua_parser import Parser
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver

from gateway.events import client_hints
from gateway.events.in_app import app_of
from gateway.events.remembering import remembered_together

if TYPE_CHECKING:
    from ua_parser import UserAgent

    from gateway.events.client_hints import Hints
    from gateway.events.model import JsonObject
    from gateway.events.occasion import Occasion

_CACHED = 8_192
_MAX_AGENT = 512
_TYPES = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (
            "tv",
            (
                r"smart-?tv|hbbtv|apple ?tv|google ?tv|android ?tv|netcast|web0s|webos\.tv|tizen tv|\bbravia|\baft[a-z]{1,4}\b"
                r"|\broku\b|\bcrkey\b|\bviera\b|\bdtv\b|\bmitv\b|\btv\b"
            ),
        ),
        ("console", r"playstation|\bxbox\b|nintendo"),
        ("watch", r"\bwatch(?:os)?\b|watch\d|\bsm-r[789]\d\d\b|wear ?os"),
        ("tablet", r"ipad|tablet(?! pc)|kindle|\A(?!.*mobi).*android"),
        ("mobile", r"mobi|iphone|ipod|opera mini|\bmidp\b|symbian"),
        ("desktop", r"windows nt|macintosh|x11|\bcros "),
    )
)
_FORMS = {"Watch": "watch", "Mobile": "mobile", "Tablet": "tablet", "Desktop": "desktop", "TV": "tv"}
# As ua-parser calls them.
_SYSTEMS = {"macOS": "Mac OS X", "Chromium OS": "Chrome OS"}
_BRANDS = {
    "Google Chrome": "Chrome",
    "Microsoft Edge": "Edge",
    "Microsoft Edge WebView2": "Edge",
    "Yandex": "Yandex Browser",
    "YaBrowser": "Yandex Browser",
    "CocCoc": "Coc Coc",
    "Android WebView": "Chrome Mobile WebView",
    "Opera GX": "Opera",
}
_WITH_MOBILE = frozenset({"Chrome", "Edge", "Opera"})
# What says only that it is Chromium inside, or a window of the system's: whatever else is known is more.
_GENERAL = frozenset({"Chromium", "Google Chrome", "Android WebView", "Microsoft Edge WebView2"})
# Browsers write this model into every user agent, so that nobody can tell phones apart by it.
_NO_MODEL = frozenset({"K", "Smartphone", "Tablet", "Feature Phone", "Desktop"})
_OLD_WINDOWS = {"0.1": "7", "0.2": "8", "0.3": "8.1"}
_REDUCED = re.compile(r"(?<=; )Android [0-9.]+; K(?=[;)])")

Blocks = tuple[tuple[str, dict[str, str]], ...]


class Devices:
    """Reads user agents and client hints; compiled once. `wanted_headers` are those of the hints that the settings want read."""

    def __init__(self, hints: str = "off") -> None:
        self._parser = Parser(Resolver(load_lazy_builtins()))
        self.wanted_headers = {"off": (), "low": client_hints.LOW}.get(
            hints, client_hints.LOW + client_hints.HIGH
        )
        self.device = remembered_together(_CACHED, self._device)

    def add(self, context: JsonObject, occasion: Occasion) -> None:
        """Add `context.userAgent`, `device`, `os` and `browser`, where they are absent."""
        head = occasion.head
        own = head.user_agent
        agent = context.setdefault("userAgent", own) if own else context.get("userAgent")
        if not isinstance(agent, str) or not agent:
            return
        named = head.named
        if named and agent == own:
            blocks = self.device(agent[:_MAX_AGENT], *[named.get(name, "") for name in self.wanted_headers])
        else:
            blocks = self.device(agent[:_MAX_AGENT])
        for name, block in blocks:
            context.setdefault(name, block)

    def is_spider(self, user_agent: str) -> bool:
        """Tell whether the rules take a user agent for a program's that looks at pages by itself."""
        device = self._parser.parse_device(user_agent[:_MAX_AGENT])
        return device is not None and device.brand == "Spider"

    def _device(self, user_agent: str, *values: str) -> Blocks:
        """Give the blocks of `context` that a user agent tells, with the values of `wanted_headers` that came with it, by name."""
        hints = client_hints.read(dict(zip(self.wanted_headers, values, strict=False)))
        told = user_agent
        if hints.model and _REDUCED.search(user_agent):
            # The user agent as it was before browsers cut it short: the rules know the maker by the model.
            told = _REDUCED.sub(
                lambda _: f"Android {_short(hints.platform_version) or '10'}; {hints.model}",
                user_agent,
                count=1,
            )
        parsed = self._parser.parse(told)
        device, system = parsed.device, parsed.os
        brand, model = (device.brand, device.model) if device else (None, None)
        if brand == "Spider" or (brand or "").startswith("Generic"):
            brand = None
        if not hints.model and model in _NO_MODEL:
            model = None
        blocks = {
            "device": _filled(type=_device_type(user_agent, hints), brand=brand, model=hints.model or model),
            "os": _system(hints)
            or _filled(
                name=system and system.family, version=system and _version(system.major, system.minor)
            ),
            "browser": _filled(**_browser(parsed.user_agent, hints), in_app=app_of(user_agent)),
        }
        return tuple((name, block) for name, block in blocks.items() if block)


def _device_type(user_agent: str, hints: Hints) -> str:
    for form in hints.forms:
        if form in _FORMS:
            return _FORMS[form]
    kind = next((kind for kind, pattern in _TYPES if pattern.search(user_agent)), "other")
    if hints.is_mobile and kind in {"tablet", "desktop", "other"}:
        return "mobile"
    return kind


def _system(hints: Hints) -> dict[str, str]:
    """Give the system as the hints tell it; nothing where they don't say which version, for then the user agent says no less."""
    name, version = hints.platform, hints.platform_version
    if not name or name == "Unknown" or not version:
        return {}
    if name == "Windows":
        # Windows 11 calls itself 10 in every user agent (Microsoft Edge, Detect Windows 11 using User-Agent Client Hints).
        major = version.partition(".")[0]
        known = _OLD_WINDOWS.get(_short(version), "")
        if not known and major.isascii() and major.isdigit():
            known = "11" if int(major) >= 13 else "10" if int(major) > 0 else ""
        return _filled(name=name, version=known)
    return _filled(name=_SYSTEMS.get(name, name), version=_short(version))


def _browser(agent: UserAgent | None, hints: Hints) -> dict[str, str | None]:
    family = agent.family if agent else None
    version = _version(agent.major, agent.minor) if agent else ""
    own = next((each for each in hints.brands if each[0] not in _GENERAL), None)
    if own is None:
        # Chrome itself, or who calls itself Chrome: a name in the user agent says more than that.
        if not hints.has_full_versions or not (family or "").startswith("Chrom"):
            return {"name": family, "version": version}
        full = next((each[1] for each in hints.brands if each[0] in _GENERAL), "")
        return {"name": family, "version": full or version}
    name = _BRANDS.get(own[0], own[0])
    if hints.is_mobile and name in _WITH_MOBILE:
        name += " Mobile"
    if name == family and not hints.has_full_versions:
        return {"name": family, "version": version}
    return {"name": name, "version": own[1]}


def _short(version: str) -> str:
    """Give major and minor of a dotted version, without a minor of 0."""
    major, _, rest = version.partition(".")
    minor = rest.partition(".")[0]
    return f"{major}.{minor}" if minor not in {"", "0"} else major


def _version(*parts: str | None) -> str:
    return ".".join(part for part in parts if part)


def _filled(**values: Any) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
