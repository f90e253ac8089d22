"""The campaign that a visit came from: UTM parameters and click ids of the page's URL."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from gateway.events.page import url_of

if TYPE_CHECKING:
    from gateway.events.model import JsonObject
    from gateway.events.occasion import Occasion

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
_MAX_PARAMETER = 512


def add(context: JsonObject, extra: JsonObject, occasion: Occasion) -> None:
    """Add `context.campaign`, and each click id to `extra`, where they are absent and the page's URL has them."""
    page = url_of(context, occasion)
    # Most pages have no parameters, and looking for a mark is quicker than looking for a pattern.
    if ("?" in page or "&" in page) and _HAS_CAMPAIGN.search(page):
        _add(context, extra, page)


def _add(context: JsonObject, extra: JsonObject, page: str) -> None:
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
