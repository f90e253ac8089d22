"""The channel that a visit came by, roughly by the rules of Google Analytics 4 for its default channel group, with AI assistants beside them.

What always holds: every landing has exactly one of `CHANNELS`; a click id that only an advertisement has says more than any parameter that a person
wrote; those beat the referrer. Source: Analytics Help, [GA4] Default channel group.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gateway.events.referrers import Referrer

CHANNELS = (
    "paid_search",
    "paid_social",
    "display",
    "paid_other",
    "social",
    "organic_search",
    "email",
    "affiliates",
    "ai_assistant",
    "sms",
    "push",
    "referral",
    "direct",
    "unassigned",
)
"""The channels; the set is closed."""
_PAID_CLICKS = {
    **dict.fromkeys(("gclid", "wbraid", "gbraid", "gad_source", "msclkid", "yclid"), "paid_search"),
    "dclid": "display",
    **dict.fromkeys(("ttclid", "twclid", "li_fat_id", "zclid", "ScCid", "epik", "rdt_cid"), "paid_social"),
    "irclickid": "affiliates",
}
# Not only advertisements have these.
_SOCIAL_CLICKS = frozenset({"fbclid", "igshid"})
_PAID = re.compile(r"(?:.*cp.*|ppc|retargeting|paid.*)\Z")
_DISPLAY = frozenset({"display", "banner", "expandable", "interstitial", "cpm"})
_SOCIAL = frozenset({"social", "social-network", "social-media", "sm", "social network", "social media"})
_EMAIL = frozenset({"email", "e-mail", "e_mail", "e mail", "mail", "newsletter"})
_BY_MEDIUM = {
    **dict.fromkeys(_SOCIAL, "social"),
    "organic": "organic_search",
    **dict.fromkeys(_EMAIL, "email"),
    **dict.fromkeys(("affiliate", "affiliates"), "affiliates"),
    "sms": "sms",
    **dict.fromkeys(("mobile", "notification", "push"), "push"),
}
_BY_KIND = {
    "search": "organic_search",
    "social": "social",
    "email": "email",
    "ai_assistant": "ai_assistant",
    "ad": "display",
}


def channel_of(
    campaign: Mapping[str, str], clicks: Collection[str], source_kind: str, referrer: Referrer | None
) -> str:
    """Give the channel of a landing.

    `campaign` has `source` and `medium` as the page's URL says, `clicks` are the names of its click ids, `source_kind` is what `source` is
    known as; `referrer` is `None` for none.
    """
    for name in clicks:
        if name in _PAID_CLICKS:
            return _PAID_CLICKS[name]
    medium, source = campaign.get("medium", "").strip().lower(), campaign.get("source", "").strip().lower()
    kind = source_kind or (referrer.kind if referrer is not None and not source else "")
    if _PAID.match(medium):
        return {"search": "paid_search", "social": "paid_social"}.get(
            kind, "display" if medium in _DISPLAY else "paid_other"
        )
    if medium in _DISPLAY:
        return "display"
    found = _BY_MEDIUM.get(medium) or ("push" if medium.endswith("push") else "")
    found = found or _BY_KIND.get(kind) or ("email" if source in _EMAIL else "sms" if source == "sms" else "")
    if found:
        return found
    if not _SOCIAL_CLICKS.isdisjoint(clicks):
        return "social"
    if medium in {"referral", "app", "link"}:
        return "referral"
    if campaign:
        return "unassigned"
    return "direct" if referrer is None or referrer.kind == "internal" else "referral"
