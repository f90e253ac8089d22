"""Whether a person sent an event: lists, kinds, modes, and the address that asked for what no person asks for."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA as LISTED

from gateway.events import crawlers
from gateway.events.crawlers import Crawler, Crawlers
from gateway.events.device import Devices
from gateway.events.model import UNBOUND, Head
from gateway.events.outcome import Outcome, Reason
from gateway.events.pipeline import Pipeline
from gateway.events.world import World
from tests.builders import CHROME, PORTAL_ID, PROP_ID, QUERY, STAMP, event, make_settings, post
from tests.unit.test_device import ANDROID, ANDROID_APP, IPHONE, IPHONE_APP, MAC, WINDOWS

CASES = Path(__file__).parents[1] / "user_agents"
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
CRAWLER = {"name": "Googlebot", "kind": "search", "reason": "user_agent"}


@pytest.fixture(scope="module")
def lists():
    return Crawlers(Devices().is_spider)


def world_of(mode, **bots):
    return make_settings(bots={"mode": mode, **bots})


@pytest.fixture(scope="module")
def pipelines():
    return {mode: Pipeline(world_of(mode)) for mode in ("off", "tag", "drop")}


def decided(pipeline, request, stamp=STAMP):
    prepared = pipeline.prepare(request, stamp)
    return pipeline.decide(prepared, [UNBOUND] * len(prepared.claims))


def context_of(verdict):
    return json.loads(verdict.record.body)["context"]


def test_every_agent_that_the_list_shows_is_known(lists):
    """Each pattern's own examples; but for those that people's apps and browsers send too."""
    shown = [
        (each["pattern"], agent)
        for each in LISTED
        if each["pattern"] not in crawlers._PEOPLES
        for agent in each["instances"]
    ]
    assert len(shown) > 2_000
    assert [] == [each for each in shown if lists.find(each[1]) is None]
    assert {lists.find(agent).kind for _, agent in shown} <= crawlers.KINDS


def test_the_patterns_that_are_narrowed_are_still_in_the_list():
    """A list that has mended them itself needs none of ours."""
    patterns = {each["pattern"] for each in LISTED}
    assert set() == {*crawlers._PEOPLES, *crawlers._NARROWED, *crawlers._NAMES} - patterns
    tags = {tag for each in LISTED for tag in each["tags"]}
    assert set() == tags - crawlers._KINDS.keys()


def test_names_are_words_that_fit_into_a_log_line():
    """No pattern's syntax is left in them."""
    names = [crawlers._name(each["pattern"]) for each in LISTED]
    assert [] == [name for name in names if not name or len(name) > 60 or set(name) & set('\\[]()|*?^$<>"')]


def test_no_browser_of_ua_parsers_cases_is_a_bot(lists):
    """16,054 user agents of phones, tablets, televisions and computers; the apps and programs among them are named."""
    with lzma.open(CASES / "uap_device.jsonl.xz", "rt", encoding="utf-8") as file:
        agents = [agent for agent, _, brand, _ in map(json.loads, file) if brand != "Spider"]
    assert 16_054 == len(agents)
    found = {crawler.name for crawler in map(lists.find, agents) if crawler is not None}
    assert {"WhatsApp", "WordPress", "Postman"} == found


@pytest.mark.parametrize(
    "agent",
    [
        *(WINDOWS, ANDROID, IPHONE, MAC, ANDROID_APP, IPHONE_APP, CHROME, ""),
        f"{ANDROID_APP} Zalo android/240502313 ZaloTheme/light ZaloLanguage/vi",
        f"{IPHONE_APP} Safari Line/14.8.0",
        f"{IPHONE_APP} [FBAN/FBIOS;FBAV/465.0.0.37.103]",
        f"{ANDROID_APP} MetaIAB Facebook",
        f"{ANDROID_APP} Viber/22.3.0.0",
        f"{ANDROID_APP} Instagram 406.0.0.58.159 Android (35/15; 480dpi)".replace("UP1A.231005.007", "AP3A.240617.008"),
        f"{ANDROID_APP} musical_ly_2023501030 BytedanceWebview/d8a21c6",
        f"{IPHONE_APP} [Pinterest/iOS]",
        f"{ANDROID_APP} Telegram-Android/10.13.1",
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) coc_coc_browser/125.0.126 Chrome/119.0 Safari/537.36",
        "Mozilla/5.0 (Linux; Android 6.0; CUBOT MAX Build/MRA58K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/51.0.2704.81 Mobile Safari/537.36",
        "Mozilla/5.0 (Linux; Android 10; TLA001; wv) AppleWebKit/537.36 Version/4.0 Chrome/80.0 Safari/537.36 SogouMSE,SogouMobileBrowser/6.1.5",
        "Mozilla/5.0 (Linux; Android 5.1; O+ Sonic) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0.3987.162 Mobile Safari/537.36",
        # Apps of our own: their libraries are no programs that somebody runs in a data centre.
        "okhttp/4.12.0",
        "Shop/3.1 CFNetwork/1494.0.7 Darwin/23.4.0",
        "Dart/3.2 (dart:io)",
        "Dalvik/2.1.0 (Linux; U; Android 13; SM-S918B)",
        "ShopApp/3.1 (com.shop; build:12; iOS 17.5) Alamofire/5.8",
        "Expo/1017 CFNetwork/1408",
    ],
)  # fmt: skip
def test_people_and_our_apps_are_no_bots(lists, agent):
    """Windows of chats, phones with names like a crawler's, app libraries, and who says nothing."""
    assert lists.find(agent) is None


@pytest.mark.parametrize(
    ("agent", "name", "kind"),
    [
        (GOOGLEBOT, "Googlebot", "search"),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "bingbot", "search"),
        ("Mozilla/5.0 (compatible; coccocbot-web/1.0; +http://help.coccoc.com/searchengine)", "coccoc", "search"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)", "GPTBot", "ai"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ClaudeBot/1.0; +claudebot@anthropic.com)", "ClaudeBot", "ai"),
        ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; PerplexityBot/1.0; +https://perplexity.ai/perplexitybot)", "PerplexityBot", "ai"),
        ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "facebookexternalhit", "link_preview"),
        ("WhatsApp/2.23.20.0 A", "WhatsApp", "link_preview"),
        ("TelegramBot (like TwitterBot)", "TelegramBot", "link_preview"),
        ("Mozilla/5.0 (compatible; ZaloBot/1.0)", "Zalo preview", "link_preview"),
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36", "HeadlessChrome", "automation"),
        ("Mozilla/5.0 (Unknown; Linux x86_64) AppleWebKit/538.1 (KHTML, like Gecko) PhantomJS/2.1.1 Safari/538.1", "PhantomJS", "automation"),
        ("Mozilla/5.0 (Linux; Android 11) Chrome/119.0 Mobile Safari/537.36 Chrome-Lighthouse", "Chrome-Lighthouse", "monitoring"),
        ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "UptimeRobot", "monitoring"),
        ("Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)", "Pingdom", "monitoring"),
        ("curl/8.5.0", "curl", "program"),
        ("Wget/1.21.4", "Wget", "program"),
        ("python-requests/2.31.0", "python-requests", "program"),
        ("Go-http-client/2.0", "Go-http-client", "program"),
        ("Java/1.8.0_151", "Java", "program"),
        ("PostmanRuntime/7.36.0", "Postman", "program"),
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "AhrefsBot", "seo"),
        ("Mozilla/5.0 (compatible; MyNewCrawler/0.1)", "unlisted", "other"),
        ("an@shop.example (+https://unheard.example/about)", "unlisted", "other"),
    ],
)  # fmt: skip
def test_a_program_is_named(lists, agent, name, kind):
    """By a word of the lists, never one of its own."""
    assert Crawler(name, kind) == lists.find(agent)


def test_by_default_an_event_of_a_bot_goes_on_with_a_mark():
    """A site that points its name here gets the events that it got before."""
    verdict = decided(Pipeline(make_settings()), post(event(), user_agent=GOOGLEBOT)).verdicts[0]
    context = context_of(verdict)
    assert (Reason.OK, CRAWLER, "bot") == (verdict.reason, context["bot"], context["device"]["type"])
    assert (CRAWLER, ("bot", "search")) == (verdict.remarks["bot"], verdict.tallies[0])


def test_a_person_is_not_marked(pipelines):
    """Neither in the event nor in the log."""
    verdict = decided(pipelines["tag"], post(event(), user_agent=CHROME)).verdicts[0]
    assert ("bot" in context_of(verdict), verdict.remarks, verdict.tallies) == (False, {}, [])


def test_what_is_dropped_says_which_bot_it_was(pipelines):
    """The answer is a success, so that nobody sends it again; no cookie is set."""
    decision = decided(pipelines["drop"], post([event(), event()], user_agent=GOOGLEBOT))
    assert [(Outcome.DROPPED, Reason.BOT)] * 2 == [(each.outcome, each.reason) for each in decision.verdicts]
    assert "Googlebot (search)" in decision.verdicts[0].rejection.detail
    assert 200 == decision.reply.status
    assert "Set-Cookie" not in dict(decision.reply.headers)


def test_nothing_is_looked_at_where_the_mode_is_off(pipelines):
    """Nor are any headers asked for."""
    pipeline = pipelines["off"]
    verdict = decided(pipeline, post(event(), user_agent=GOOGLEBOT)).verdicts[0]
    assert ("bot" in context_of(verdict), "sec-purpose" in pipeline.wanted_headers) == (False, False)


def test_a_property_has_a_mode_of_its_own():
    """Instead of the general one."""
    settings = make_settings(
        bots={"mode": "off"},
        properties=({"portal_id": PORTAL_ID, "prop_id": PROP_ID, "site": "shop.example", "bots": "drop"},),
    )
    assert (
        Reason.BOT is decided(Pipeline(settings), post(event(), user_agent="curl/8.5.0")).verdicts[0].reason
    )


def test_a_server_is_no_bot(pipelines):
    """It is a program, and says so."""
    decision = decided(
        pipelines["drop"], post(event(), f"{QUERY}&is_s2s=true", user_agent="python-requests/2.31.0")
    )
    assert ("bot" in context_of(decision.verdicts[0]), Reason.OK) == (False, decision.verdicts[0].reason)


def test_a_headless_browser_is_told_by_its_brand_too(pipelines):
    """Its user agent can be any, its client hints are seldom changed with it."""
    hints = {"sec-ch-ua": '"HeadlessChrome";v="138", "Chromium";v="138"'}
    verdict = decided(pipelines["tag"], post(event(), user_agent=CHROME, named=hints)).verdicts[0]
    assert {"name": "HeadlessChrome", "kind": "automation", "reason": "client_hints"} == context_of(verdict)[
        "bot"
    ]


@pytest.mark.parametrize(
    ("headers", "purpose"),
    [
        ({"sec-purpose": "prefetch"}, "prefetch"),
        ({"sec-purpose": "prefetch;prerender"}, "prerender"),
        ({"purpose": "prefetch"}, "prefetch"),
        ({"purpose": "preview"}, "prefetch"),
        ({"sec-purpose": "x"}, None),
        ({"sec-ch-ua": '"Chromium";v="138"'}, None),
        ({}, None),
    ],
)
def test_a_page_that_nobody_has_asked_for_yet_is_marked(pipelines, headers, purpose):
    """Browsers fetch and even show themselves pages that a visitor may open next."""
    verdict = decided(pipelines["tag"], post(event(), user_agent=CHROME, named=headers)).verdicts[0]
    assert purpose == context_of(verdict).get("purpose")


def test_who_asked_for_the_honeypot_is_a_bot_for_so_many_hours():
    """It is known by its address and its name: others behind the same address are people."""
    pipeline = Pipeline(world_of("drop", honeypot_path="/members", honeypot_hours=1))

    def reason(address, minutes, agent=CHROME):
        stamp = type(STAMP)(STAMP.now_ms + minutes * 60_000, STAMP.entropy)
        return decided(pipeline, post(event(), user_agent=agent, peer=address), stamp).verdicts[0].reason

    assert Reason.OK is reason("203.0.113.9", 0)
    pipeline.bots.trap(Head(method="GET", path="/members", user_agent=CHROME), "203.0.113.9", STAMP.now_ms)
    assert Reason.OK is reason("203.0.113.9", 1, IPHONE)
    found = [
        reason("203.0.113.9", 1),
        reason("203.0.113.9", 59),
        reason("203.0.113.10", 1),
        reason("203.0.113.9", 60),
    ]
    assert [Reason.BOT, Reason.BOT, Reason.OK, Reason.OK] == found


def test_an_address_behind_which_many_may_be_is_not_remembered():
    """A proxy that is not named as one would make bots of all visitors."""
    pipeline = Pipeline(world_of("drop", honeypot_path="/members"))
    for address in ("10.0.0.1", "127.0.0.1", ""):
        pipeline.bots.trap(Head(method="GET", path="/members", user_agent=CHROME), address, STAMP.now_ms)
        found = decided(pipeline, post(event(), user_agent=CHROME, peer=address or "10.0.0.1"))
        assert Reason.OK is found.verdicts[0].reason


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ({}, Reason.BOT),
        ({"fetch_site": "same-site", "fetch_mode": "navigate", "fetch_dest": "document"}, Reason.BOT),
        ({"fetch_site": "none", "fetch_mode": "navigate", "fetch_dest": "document"}, Reason.BOT),
        ({"fetch_site": "same-site", "fetch_mode": "no-cors", "fetch_dest": "image"}, Reason.OK),
        ({"fetch_site": "same-origin", "fetch_mode": "navigate", "fetch_dest": "iframe"}, Reason.OK),
        ({"fetch_site": "cross-site", "fetch_mode": "navigate", "fetch_dest": "document"}, Reason.OK),
        (
            {"fetch_site": "same-site", "fetch_mode": "navigate", "named": {"sec-purpose": "prefetch"}},
            Reason.OK,
        ),
    ],
)
def test_no_page_can_have_its_readers_taken_for_bots(head, expected):
    """An image of the honeypot's address on any page would."""
    pipeline = Pipeline(world_of("drop", honeypot_path="/members"))
    pipeline.bots.trap(
        Head(method="GET", path="/members", user_agent=CHROME, **head), "203.0.113.9", STAMP.now_ms
    )
    found = decided(pipeline, post(event(), user_agent=CHROME, peer="203.0.113.9"))
    assert expected is found.verdicts[0].reason


@pytest.mark.parametrize(
    ("proof", "block"),
    [
        (True, {**CRAWLER, "verified": True}),
        (False, {"name": "fake Googlebot", "kind": "impostor", "reason": "reverse_dns", "verified": False}),
        (None, CRAWLER),
    ],
)
def test_a_crawler_is_taken_for_whose_its_address_is(proof, block):
    """As far as that is known; the world is asked for its name and its address."""
    asked = []
    pipeline = Pipeline(world_of("tag"), World(proof=lambda *about: (asked.append(about), proof)[1]))
    verdict = decided(pipeline, post(event(), user_agent=GOOGLEBOT, peer="203.0.113.9")).verdicts[0]
    assert ([("Googlebot", "203.0.113.9")], block) == (asked, context_of(verdict)["bot"])
    decided(pipeline, post(event(), user_agent=CHROME, peer="203.0.113.9"))
    assert 1 == len(asked)
