"""Where a visit came from: UTM parameters and click ids of the page's URL, the referrer, and the channel that they make.

What always holds: nothing that the client sent is overwritten; what is read of one URL and referrer is read once, in bounded memory; no text in
it is longer than 512 characters. A landing is a page that a campaign's link or another site led to, or to which nobody did (`direct`); the next page of the
same visit is none.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec

from gateway.events.channels import channel_of
from gateway.events.forms import parse_query
from gateway.events.page import url_of
from gateway.events.referrers import Referrers
from gateway.events.remembering import remembered_together

if TYPE_CHECKING:
    from gateway import settings_visits
    from gateway.events.model import JsonObject
    from gateway.events.occasion import Occasion
    from gateway.events.referrers import Referrer

CLICK_IDS = (
    "gclid", "wbraid", "gbraid", "dclid", "gad_source", "fbclid", "igshid", "ttclid", "msclkid", "zclid", "twclid", "li_fat_id", "yclid",
    "ScCid", "epik", "rdt_cid", "irclickid",
)  # fmt: skip
_CAMPAIGN = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "name",
    "utm_term": "term",
    "utm_content": "content",
    "utm_id": "id",
    "utm_source_platform": "source_platform",
    "utm_creative_format": "creative_format",
    "utm_marketing_tactic": "marketing_tactic",
}
_MAX_PARAMETER = 512
_CACHED = 8_192
_BEFORE_PARAMETERS = re.compile(r"[?&#]")
# Not a referrer, but that nothing is known of one.
UNKNOWN = "\0"


class Landing(msgspec.Struct, frozen=True):
    """What a page's URL and its referrer say.

    `campaign` and `click_ids` are by name, empty for none; `source` is the block `traffic_source`, `None` when nothing is known of it. `tag` is the campaign's
    short name, empty for none. `touch` says it all once more, for a visitor's first and last touch; `None` for a page that is no landing. `page` is its URL without
    other parameters than a campaign's.
    """

    campaign: dict[str, str] = {}
    click_ids: dict[str, str] = {}
    source: dict[str, str] | None = None
    tag: str = ""
    touch: dict[str, Any] | None = None
    page: str = ""

    @property
    def is_direct(self) -> bool:
        """Whether nobody led here."""
        return self.touch is not None and self.touch["channel"] == "direct"


class Campaigns:
    """Reads landings; compiled once from the settings."""

    def __init__(self, policy: settings_visits.Campaign) -> None:
        self._names = {**policy.parameters, **_CAMPAIGN}
        self._click_ids = frozenset({*CLICK_IDS, *policy.click_ids})
        self._referrers = Referrers(policy.known_referrers, policy.internal_hosts)
        self._read = remembered_together(_CACHED, self._read_landing)

    def landing(self, context: JsonObject, occasion: Occasion) -> Landing:
        """Give what an event's page and referrer say of where its visitor came from."""
        owner = occasion.owner
        return self._read(
            url_of(context, occasion), _referrer(context), owner.site if owner is not None else ""
        )

    @staticmethod
    def add(context: JsonObject, extra: JsonObject, landing: Landing) -> None:
        """Add `context.campaign`, `context.traffic_source`, and each click id to `extra`, where they are absent and known."""
        if landing.campaign:
            context.setdefault("campaign", landing.campaign)
        for name, value in landing.click_ids.items():
            extra.setdefault(name, value)
        if landing.source is not None:
            context.setdefault("traffic_source", landing.source)

    def _read_landing(self, page: str, referrer: str, site: str) -> Landing:
        campaign: dict[str, str] = {}
        clicks: dict[str, str] = {}
        asked: list[str] = []
        before_fragment = page.partition("#")[0]
        if "?" in before_fragment or "&" in before_fragment:
            self._read_parameters(before_fragment, campaign, clicks, asked)
        who = None if referrer == UNKNOWN else self._referrers.classify(referrer, site, page)
        has_campaign = bool(campaign or clicks)
        if not has_campaign and (referrer == UNKNOWN or (who is None and referrer.strip())):
            return Landing(page=_place(page, asked))
        if not has_campaign and who is not None and who.kind == "internal":
            return Landing(source={"type": "internal"}, page=_place(page, asked))
        kind = self._referrers.kind_of_source(campaign.get("source", ""))
        channel = channel_of(campaign, clicks, kind, who)
        source = {"channel": channel}
        if who is not None:
            source |= {"type": who.kind, "name": who.name, "host": who.host}
            source = {name: text for name, text in source.items() if text}
        # Which of Google's many links it was, and nothing of the click.
        said = sorted(
            (*campaign.items(), *((name, text) for name, text in clicks.items() if name != "gad_source"))
        )
        tag = sha256(repr(said).encode("utf-8", "replace")).hexdigest()[:8] if has_campaign else ""
        place = _place(page, asked)
        return Landing(campaign, clicks, source, tag, _touch(channel, campaign, clicks, who, place), place)

    def _read_parameters(
        self, page: str, campaign: dict[str, str], clicks: dict[str, str], asked: list[str]
    ) -> None:
        given = parse_query(_BEFORE_PARAMETERS.split(page, 1)[1].replace("?", "&"))
        custom: dict[str, str] = {}
        for name, text in given.items():
            if not text:
                continue
            if name in _CAMPAIGN:
                campaign[_CAMPAIGN[name]] = text[:_MAX_PARAMETER]
            elif name in self._click_ids:
                clicks[name] = text[:_MAX_PARAMETER]
            elif name in self._names:
                custom[self._names[name]] = text[:_MAX_PARAMETER]
            else:
                continue
            asked.append(name)
        for name, text in custom.items():
            campaign.setdefault(name, text)


def _referrer(context: JsonObject) -> str:
    """Give the page before this one: as the event says; `UNKNOWN` when it says nothing."""
    said = context.get("referrer")
    if said is None:
        for holder in ("page", "navigation"):
            block = context.get(holder)
            if isinstance(block, dict) and isinstance(block.get("referrer"), str):
                return str(block["referrer"])
    elif isinstance(said, dict):
        said = said.get("url")
    return said if isinstance(said, str) else UNKNOWN


def _place(page: str, asked: list[str]) -> str:
    """Give a page's URL with those of its parameters that are in `asked`, and no others."""
    bare = _BEFORE_PARAMETERS.split(page, 1)[0]
    kept: list[str] = []
    if asked:
        pairs = _BEFORE_PARAMETERS.split(page.partition("#")[0], 1)[1].replace("?", "&").split("&")
        kept = [pair for pair in pairs if pair.partition("=")[0] in asked]
    return (f"{bare}?{'&'.join(kept)}" if kept else bare)[:_MAX_PARAMETER]


def _touch(
    channel: str, campaign: dict[str, str], clicks: dict[str, str], who: Referrer | None, page: str
) -> dict[str, Any]:
    touch: dict[str, Any] = {"channel": channel, **campaign}
    if who is not None and who.kind != "internal":
        touch.setdefault("source", who.name or who.host)
        touch["referrer"] = who.host
    if clicks:
        touch["click_ids"] = clicks
    if page:
        touch["landing_page"] = page
    return touch
