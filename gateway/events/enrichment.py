"""What the gateway knows and the page can't say reliably: moment, address, device, language, page and campaign.

Everything goes where the CDP looks for it (`context`, `extra`) and nothing that the client sent is ever overwritten.
`Enricher` is compiled once; per event it costs dictionary look-ups, since user agents repeat.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from ua_parser import Parser
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver

if TYPE_CHECKING:
    from gateway.events.model import Head, JsonObject

CLICK_IDS = (
    "gclid",
    "wbraid",
    "gbraid",
    "dclid",
    "fbclid",
    "ttclid",
    "msclkid",
    "zclid",
    "twclid",
    "li_fat_id",
    "yclid",
)
_CAMPAIGN = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "name",
    "utm_term": "term",
    "utm_content": "content",
    "utm_id": "id",
}
_HAS_CAMPAIGN = re.compile(r"[?&](?:utm_|" + "|".join(CLICK_IDS) + ")")
# The parameters that are looked for, wherever they stand in a query string.
_PARAMETER = re.compile(rf"(?<=[?&])({'|'.join((*_CAMPAIGN, *CLICK_IDS))})=([^&]*)")
_LANGUAGE = re.compile(r"[A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*\Z")
_MAX_PARAMETER = 512
_CACHED = 8_192


class Enricher:
    """Adds to events what their request tells."""

    def __init__(self) -> None:
        self._parser = Parser(Resolver(load_lazy_builtins()))
        self.device = lru_cache(_CACHED)(self._device)
        self.locale = lru_cache(_CACHED)(_first_language)

    def enrich(
        self, fields: JsonObject, head: Head, *, client_ip: str, event_id: str, received_at: str
    ) -> None:
        """Add moment, id, address, user agent, language, page, referrer, campaign and click ids, where they are absent.

        The blocks that are added are shared between events: they are to be written out, not changed.
        """
        extra = fields.setdefault("extra", {})
        extra.setdefault("event_id", event_id)
        extra.setdefault("receive_time", received_at)
        context = fields.setdefault("context", {})
        if client_ip:
            context.setdefault("ip", client_ip)
        if head.user_agent:
            context.setdefault("userAgent", head.user_agent)
        agent = context.get("userAgent")
        if isinstance(agent, str) and agent:
            for name, block in self.device(agent[:_MAX_PARAMETER]):
                context.setdefault(name, block)
        if "locale" not in context:
            locale = self.locale(head.accept_language[:_MAX_PARAMETER])
            if locale:
                context["locale"] = locale
        page = _page_url(context) or head.referer
        if head.referer and "navigation" not in context:
            context["navigation"] = {"url": head.referer}
        # Most pages have no parameters, and looking for a mark is quicker than looking for a pattern.
        if ("?" in page or "&" in page) and _HAS_CAMPAIGN.search(page):
            _add_campaign(context, extra, page)

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


def _add_campaign(context: JsonObject, extra: JsonObject, page: str) -> None:
    campaign: dict[str, str] = {}
    for name, value in _PARAMETER.findall(page.partition("#")[0]):
        text = unquote_plus(value) if "%" in value or "+" in value else value
        if not text:
            continue
        if name in _CAMPAIGN:
            campaign.setdefault(_CAMPAIGN[name], text[:_MAX_PARAMETER])
        else:
            extra.setdefault(name, text[:_MAX_PARAMETER])
    if campaign:
        context.setdefault("campaign", campaign)


def _first_language(accept_language: str) -> str:
    language = accept_language.partition(",")[0].partition(";")[0].strip()
    return language if _LANGUAGE.match(language) else ""


def _page_url(context: JsonObject) -> str:
    for holder, key in (("navigation", "url"), ("page", "url"), ("navigation", "href")):
        block = context.get(holder)
        if isinstance(block, dict) and isinstance(block.get(key), str):
            return str(block[key])
    return ""


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
