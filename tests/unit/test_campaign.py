"""Where a visit came from: the page's parameters, the referrer, the channel."""

from __future__ import annotations

import pytest

from gateway.events.campaign import CLICK_IDS, Campaigns
from gateway.events.channels import CHANNELS
from gateway.events.model import Head
from gateway.events.occasion import Occasion
from gateway.events.referrers import KINDS, Referrers
from gateway.events.screening import Property
from gateway.settings_visits import Campaign

SHOP = Property("1", "2", "shop.example", frozenset(), ())
PAGE = "https://www.shop.example/a"
REFERRERS = Referrers({})


def landed(page=PAGE, referrer=None, *, policy=None, **head):
    """Give the landing of a page, and the event after it was added."""
    context = {"navigation": {"url": page}} if page is not None else {}
    if referrer is not None:
        context["referrer"] = referrer
    extra = {}
    campaigns = Campaigns(policy or Campaign())
    landing = campaigns.landing(context, Occasion(Head(method="POST", path="/event", **head), owner=SHOP))
    campaigns.add(context, extra, landing)
    return landing, context, extra


def channel(page=PAGE, referrer=None):
    return landed(page, referrer)[1].get("traffic_source", {}).get("channel")


def test_the_pages_own_url_is_preferred_to_the_referer_header():
    """The header is often cut to the origin by the browser's referrer policy."""
    _, context, extra = landed(
        "https://s.example/a?utm_campaign=tet&fbclid=f", referer="https://s.example/?utm_campaign=other"
    )
    assert (context["campaign"], extra["fbclid"]) == ({"name": "tet"}, "f")


@pytest.mark.parametrize(
    "page",
    ["?", "not a url?utm_source=", "https://s.example/#?utm_source=x", "https://s.example/?xutm_source=x"],
)
def test_a_page_url_without_parameters_adds_no_campaign(page):
    """Nor does what only looks like one: an empty value, a fragment, another name."""
    assert "campaign" not in landed(page)[1]


def test_every_utm_parameter_has_its_field():
    """All that Google documents, as they stand in the URL, percent-encoded or not."""
    names = [
        "source",
        "medium",
        "campaign",
        "term",
        "content",
        "id",
        "source_platform",
        "creative_format",
        "marketing_tactic",
    ]
    page = f"{PAGE}?" + "&".join(f"utm_{name}=T%E1%BA%BFt+{name}" for name in names)
    expected = {name.replace("campaign", "name"): f"Tết {name}" for name in names}
    assert expected == landed(page)[1]["campaign"]


@pytest.mark.parametrize("name", CLICK_IDS)
def test_each_click_id_goes_to_extra(name):
    """Under its own name, as it stands in the URL: ad platforms compare it letter by letter."""
    assert {name: "Cj0KCQ_aB-1"} == landed(f"{PAGE}?x=1&{name}=Cj0KCQ_aB-1")[2]


def test_settings_add_parameters_and_click_ids():
    """Where both stand in a URL, utm_… wins."""
    policy = Campaign(parameters={"pk_campaign": "name", "aff": "affiliate"}, click_ids=("my_click",))
    _, context, extra = landed(f"{PAGE}?pk_campaign=old&utm_campaign=tet&aff=7&my_click=9", policy=policy)
    assert ({"name": "tet", "affiliate": "7"}, {"my_click": "9"}) == (context["campaign"], extra)


def test_what_the_client_says_is_never_overwritten():
    """Its campaign, its click id and its traffic source stay."""
    context = {
        "navigation": {"url": f"{PAGE}?utm_source=x&gclid=new"},
        "campaign": {"source": "own"},
        "traffic_source": "own",
    }
    extra = {"gclid": "own"}
    campaigns = Campaigns(Campaign())
    campaigns.add(context, extra, campaigns.landing(context, Occasion(Head(method="POST", path="/"))))
    assert ({"source": "own"}, "own", {"gclid": "own"}) == (
        context["campaign"],
        context["traffic_source"],
        extra,
    )


@pytest.mark.parametrize(
    ("referrer", "kind", "name"),
    [
        ("https://www.google.com/", "search", "Google"),
        ("https://www.google.com.vn/search?q=x", "search", "Google"),
        ("https://google.co.th", "search", "Google"),
        ("android-app://com.google.android.googlequicksearchbox/", "search", "Google"),
        ("https://coccoc.com/search?query=x", "search", "Cốc Cốc"),
        ("https://www.bing.com/", "search", "Bing"),
        ("https://duckduckgo.com/", "search", "DuckDuckGo"),
        ("https://m.baidu.com/", "search", "Baidu"),
        ("https://search.naver.com/search.naver", "search", "Naver"),
        ("https://yandex.com.tr/", "search", "Yandex"),
        ("https://mail.google.com/", "email", "Gmail"),
        ("android-app://com.google.android.gm/", "email", "Gmail"),
        ("https://outlook.live.com/mail/0/", "email", "Outlook"),
        ("https://accounts.google.com/", "unknown", "Google"),
        ("https://zalo.me/", "social", "Zalo"),
        ("https://chat.zalo.me:443/", "social", "Zalo"),
        ("android-app://com.zing.zalo", "social", "Zalo"),
        ("https://l.facebook.com/l.php?u=x", "social", "Facebook"),
        ("https://l.instagram.com/", "social", "Instagram"),
        ("https://www.tiktok.com/", "social", "TikTok"),
        ("https://liff.line.me/1", "social", "LINE"),
        ("https://www.linkedin.com/feed/", "social", "LinkedIn"),
        ("https://t.co/abc", "social", "X"),
        ("https://old.reddit.com/r/x", "social", "Reddit"),
        ("https://m.youtube.com/watch", "social", "YouTube"),
        ("https://www.pinterest.co.uk/", "social", "Pinterest"),
        ("https://chatgpt.com/", "ai_assistant", "ChatGPT"),
        ("https://www.perplexity.ai/search", "ai_assistant", "Perplexity"),
        ("https://gemini.google.com/app", "ai_assistant", "Gemini"),
        ("https://copilot.microsoft.com/", "ai_assistant", "Copilot"),
        ("https://claude.ai/", "ai_assistant", "Claude"),
        ("https://chat.deepseek.com/", "ai_assistant", "DeepSeek"),
        ("https://googleads.g.doubleclick.net/", "ad", "Google"),
        ("https://blog.example/post", "unknown", ""),
        ("https://google.evil.example/", "unknown", ""),
        ("https://notgoogle.com/", "unknown", ""),
        ("https://evil.example/@www.google.com", "unknown", ""),
        ("https://www.google.com@evil.example/", "unknown", ""),
        ("HTTPS://WWW.GOOGLE.COM./", "search", "Google"),
        ("https://pay.shop.example/done", "internal", ""),
    ],
)
def test_a_referrer_is_known_by_its_host(referrer, kind, name):
    """Search engines by country, apps by their package, and nobody by a part of a name."""
    found = REFERRERS.classify(referrer, "shop.example", PAGE)
    assert (kind, name) == (found.kind, found.name)
    assert found.kind in KINDS


@pytest.mark.parametrize(
    "referrer", ["", "about:blank", "javascript:1", "://", "https://", "x" * 5_000, "\0"]
)
def test_what_is_no_address_is_no_referrer(referrer):
    """And nothing is claimed of it."""
    assert REFERRERS.classify(referrer, "shop.example", PAGE) is None


def test_settings_say_who_a_referrer_is_and_which_hosts_are_the_sites_own():
    """Before any list."""
    policy = Campaign(
        referrers={"forum.example": "social:The Forum", "google.com": "search:G"},
        internal_hosts=("*.pay.example",),
    )
    known = Referrers(policy.known_referrers, policy.internal_hosts)
    kinds = [
        known.classify(f"https://{host}/", "shop.example", PAGE)[:2]
        for host in ("m.forum.example", "www.google.com", "a.pay.example")
    ]
    assert [("social", "The Forum"), ("search", "G"), ("internal", "")] == kinds


@pytest.mark.parametrize(
    ("query", "referrer", "expected"),
    [
        ("gclid=1", "https://www.google.com/", "paid_search"),
        ("gclid=1&utm_source=newsletter&utm_medium=email", "", "paid_search"),
        ("msclkid=1", "", "paid_search"),
        ("wbraid=1", "", "paid_search"),
        ("dclid=1", "", "display"),
        ("utm_source=google&utm_medium=cpc", "", "paid_search"),
        ("utm_source=coccoc&utm_medium=CPC", "", "paid_search"),
        ("utm_source=facebook&utm_medium=paid_social", "", "paid_social"),
        ("utm_source=zalo&utm_medium=cpm", "", "paid_social"),
        ("zclid=1", "https://zalo.me/", "paid_social"),
        ("ttclid=1", "", "paid_social"),
        ("fbclid=1", "https://l.facebook.com/", "social"),
        ("fbclid=1", "", "social"),
        ("fbclid=1&utm_source=fb&utm_medium=cpc", "", "paid_social"),
        ("utm_medium=cpm", "", "display"),
        ("utm_source=adnetwork&utm_medium=cpa", "", "paid_other"),
        ("utm_source=zalo&utm_medium=oa", "", "social"),
        ("utm_source=x&utm_medium=social", "", "social"),
        ("utm_source=crm&utm_medium=email", "https://mail.google.com/", "email"),
        ("utm_source=newsletter", "", "email"),
        ("utm_source=crm&utm_medium=sms", "", "sms"),
        ("utm_source=crm&utm_medium=web_push", "", "push"),
        ("utm_source=a&utm_medium=affiliate", "", "affiliates"),
        ("irclickid=1", "", "affiliates"),
        ("utm_source=chatgpt.com", "", "ai_assistant"),
        ("utm_source=partner&utm_medium=referral", "", "referral"),
        ("utm_source=poster", "", "unassigned"),
        ("", "https://www.google.com/", "organic_search"),
        ("", "https://coccoc.com/", "organic_search"),
        ("", "https://www.facebook.com/", "social"),
        ("", "android-app://com.google.android.gm/", "email"),
        ("", "https://www.perplexity.ai/", "ai_assistant"),
        ("", "https://blog.example/", "referral"),
        ("", "", "direct"),
    ],
)
def test_a_landing_has_its_channel(query, referrer, expected):
    """Roughly as GA4 groups them; a click id of an advertisement says more than what a person wrote."""
    assert expected == channel(f"{PAGE}?{query}", referrer)
    assert expected in CHANNELS


def test_a_next_page_of_the_visit_has_no_channel():
    """Its referrer is the site itself: it is no landing, and no direct visit either."""
    landing, context, _ = landed(PAGE, "https://www.shop.example/")
    assert (None, {"type": "internal"}) == (landing.touch, context["traffic_source"])


def test_a_client_that_tells_no_referrer_is_not_called_direct():
    """Nothing is known of where it came from."""
    landing, context, _ = landed(PAGE)
    assert (None, False) == (landing.touch, "traffic_source" in context)


def test_a_landing_page_keeps_only_the_campaigns_parameters():
    """What else stands in a URL may be anybody's."""
    landing, _, _ = landed(f"{PAGE}?token=secret&utm_source=zalo&id=7&gclid=g#part", "")
    assert f"{PAGE}?utm_source=zalo&gclid=g" == landing.page


def test_one_campaign_has_one_tag_and_another_click_another():
    """Whatever else stands in the URL, in whatever order."""
    first = landed(f"{PAGE}?utm_source=a&utm_medium=b&x=1")[0].tag
    assert first == landed("https://www.shop.example/b?utm_medium=b&utm_source=a")[0].tag
    assert len({first, landed(f"{PAGE}?utm_source=a")[0].tag, landed(f"{PAGE}?gclid=1")[0].tag, ""}) == 4
    assert landed(f"{PAGE}?gclid=1")[0].tag != landed(f"{PAGE}?gclid=2")[0].tag


def test_a_parameter_as_long_as_a_book_is_cut():
    """What is kept of a URL is bounded."""
    _, context, extra = landed(f"{PAGE}?utm_source={'a' * 9_000}&gclid={'b' * 9_000}")
    assert (512, 512) == (len(context["campaign"]["source"]), len(extra["gclid"]))
