"""The visitor's device, system and browser, as the user agent tells them by ua-parser's rules.

User agents repeat: what one tells is remembered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ua_parser import Parser
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver

from gateway.events.remembering import remembered

if TYPE_CHECKING:
    from gateway.events.model import JsonObject
    from gateway.events.occasion import Occasion

_CACHED = 8_192
_MAX_AGENT = 512


class Devices:
    """Reads user agents; compiled once."""

    def __init__(self) -> None:
        self._parser = Parser(Resolver(load_lazy_builtins()))
        self.device = remembered(_CACHED, self._device)

    def add(self, context: JsonObject, occasion: Occasion) -> None:
        """Add `context.userAgent`, `device`, `os` and `browser`, where they are absent."""
        if occasion.head.user_agent:
            context.setdefault("userAgent", occasion.head.user_agent)
        agent = context.get("userAgent")
        if isinstance(agent, str) and agent:
            for name, block in self.device(agent[:_MAX_AGENT]):
                context.setdefault(name, block)

    def _device(self, user_agent: str) -> tuple[tuple[str, dict[str, str]], ...]:
        """Give the blocks of `context` that a user agent tells, by name."""
        parsed = self._parser.parse(user_agent)
        device, system, browser = parsed.device, parsed.os, parsed.user_agent
        kind = _device_type(user_agent)
        blocks = {
            "device": _filled(type=kind, brand=device and device.brand, model=device and device.model),
            "os": _filled(
                name=system and system.family, version=system and _version(system.major, system.minor)
            ),
            "browser": _filled(
                name=browser and browser.family, version=browser and _version(browser.major, browser.minor)
            ),
        }
        return tuple((name, block) for name, block in blocks.items() if block)


def _device_type(user_agent: str) -> str:
    lowered = user_agent.lower()
    if "ipad" in lowered or "tablet" in lowered or ("android" in lowered and "mobile" not in lowered):
        return "tablet"
    if "mobi" in lowered or "iphone" in lowered or "ipod" in lowered:
        return "mobile"
    return (
        "desktop" if any(word in lowered for word in ("windows nt", "macintosh", "x11", "cros ")) else "other"
    )


def _version(*parts: str | None) -> str:
    return ".".join(part for part in parts if part)


def _filled(**values: Any) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
