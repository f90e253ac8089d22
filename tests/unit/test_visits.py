"""Sessions, first and last touch, and their cookies: as the whole pipeline makes them."""

from __future__ import annotations

import itertools

import orjson
import pytest

from gateway.events.consent import Consent
from gateway.events.model import Binding, Stamp
from gateway.events.pipeline import Pipeline
from gateway.events.world import World
from gateway.time_zones import time_zones
from tests.builders import ORIGIN, QUERY, STAMP, event, get, make_settings, post

PAGE = "https://www.shop.example/"
MINUTE = 60
SHOP = {
    "portal_id": "33167",
    "prop_id": "556300706",
    "site": "shop.example",
    "origins": (ORIGIN,),
    "redirect_hosts": ("www.shop.example",),
}


def shop(**sections):
    """Give the pipeline of a shop for which sessions are made."""
    return Pipeline(make_settings(**{"properties": (SHOP,), **sections}), World(zone=time_zones()))


PIPELINE = shop()
UID = "1234567890123"


class Browser:
    """A browser with its jar of cookies and its clock; `at` is in seconds since it was made."""

    def __init__(self, pipeline=PIPELINE, uid=UID):
        self.pipeline, self.uid = pipeline, uid
        self.jar = {}
        self.at = 0
        self.written = []

    def ask(self, request, consent=None):
        """Send a request; give the decision, after the cookies of its answer were taken."""
        stamp = Stamp(STAMP.now_ms + self.at * 1_000, STAMP.entropy + self.at)
        prepared = self.pipeline.prepare(request, stamp)
        for pending in prepared.events:
            if consent is not None:
                pending.consent = consent
        decision = self.pipeline.decide(prepared, [Binding()] * len(prepared.claims))
        self.written = []
        for name, value in decision.reply.headers:
            if name == "Set-Cookie":
                cookie, _, text = value.partition(";")[0].partition("=")
                self.written.append(cookie)
                if "Max-Age=0" in value:
                    self.jar.pop(cookie, None)
                else:
                    self.jar[cookie] = text
        return decision

    def send(self, page=PAGE, referrer="", *, batch=1, consent=None, headers=None, **fields):
        """Send one event, or several at once; give the last as it is forwarded."""
        one = event(
            context={"navigation": {"url": page}, "referrer": referrer}, **{"uid": self.uid, **fields}
        )
        cookie = "; ".join(f"{name}={value}" for name, value in self.jar.items())
        values = {"cookie": cookie, **(headers or {})}
        query = values.pop("query", QUERY)
        decision = self.ask(post([one] * batch if batch > 1 else one, query, **values), consent)
        self.answer = orjson.loads(decision.reply.body)
        return orjson.loads(decision.verdicts[-1].record.body)


def test_a_client_without_sessions_gets_one():
    """Its first event begins it; the event, the answer and the cookie say so."""
    browser = Browser()
    sent = browser.send()
    told = {"id": sent["sid"], "is_new": True, "number": 1, "landing_page": PAGE}
    assert (told, sent["sid"]) == (sent["context"]["session"], browser.answer["session_id"])
    assert {"_asm_visit", "_asm_touch"} <= set(browser.written)


def test_a_session_goes_on_and_its_cookie_is_left_alone_for_a_minute():
    """The next event has the same one, and is not its first."""
    browser = Browser()
    first = browser.send()["sid"]
    browser.at = 30
    sent = browser.send()
    assert (first, False, 1) == (sent["sid"], sent["context"]["session"]["is_new"], 1)
    assert [] == browser.written
    browser.at = 61
    assert (first, ["_asm_visit"]) == (browser.send()["sid"], browser.written)


def test_a_session_ends_after_thirty_minutes_without_an_event():
    """Never before, and a minute after at the latest."""
    browser = Browser()
    first = browser.send()["sid"]
    for at in (29 * MINUTE, 29 * MINUTE + 59, 59 * MINUTE + 58):
        browser.at = at
        assert first == browser.send()["sid"]
    browser.at += 31 * MINUTE
    sent = browser.send()
    assert sent["sid"] != first
    assert (True, 2) == (sent["context"]["session"]["is_new"], sent["context"]["session"]["number"])


def test_events_that_arrive_at_once_begin_one_session():
    """Two tabs, two workers: each makes the same id by itself, for the first session and for the next one."""
    tabs = [Browser(), Browser(shop())]
    assert 1 == len({tab.send()["sid"] for tab in tabs})
    for tab in tabs:
        tab.jar = dict(tabs[0].jar)
    for tab, at in zip(tabs, (3_600, 3_601), strict=True):
        tab.at = at
    later = [tab.send() for tab in tabs]
    assert 1 == len({sent["sid"] for sent in later})
    assert [2, 2] == [sent["context"]["session"]["number"] for sent in later]


def test_events_of_one_batch_are_one_session():
    """Only the first of them begins it."""
    browser = Browser()
    one = event(uid=UID)
    decision = browser.ask(post([one, one, one]))
    sent = [orjson.loads(each.record.body) for each in decision.verdicts]
    assert 1 == len({each["sid"] for each in sent})
    assert [True, False, False] == [each["context"]["session"]["is_new"] for each in sent]


def test_another_campaign_begins_a_session():
    """As Universal Analytics had it; the same link again does not, and neither does a page without one."""
    browser = Browser()
    first = browser.send(f"{PAGE}?utm_source=zalo")["sid"]
    assert first == browser.send(f"{PAGE}?utm_source=zalo")["sid"] == browser.send(PAGE)["sid"]
    assert first != browser.send(f"{PAGE}?gclid=1")["sid"]
    stays = Browser(shop(session={"new_on_campaign": False}))
    assert stays.send(f"{PAGE}?utm_source=zalo")["sid"] == stays.send(f"{PAGE}?gclid=1")["sid"]


def test_midnight_begins_a_session_where_the_shop_is():
    """By the property's time zone, when the settings ask for it."""
    # The stamp is 2026-09-21 14:13:20 UTC: 21:13:20 in Hanoi.
    midnight = {"new_at_midnight": True}
    local = shop(session=midnight, properties=({**SHOP, "timezone": "Asia/Ho_Chi_Minh"},))
    here, there = Browser(local), Browser(shop(session=midnight))
    ids = []
    for browser in (here, there):
        seen = []
        for at in range(0, 11_200, 1_500):
            browser.at = at
            seen.append(browser.send()["sid"])
        ids.append(len(set(seen)))
    assert [2, 1] == ids


def test_a_clients_own_session_stays():
    """Our script, the vendor's and apps make their own: nothing is added and no cookie is written for it."""
    browser = Browser()
    sent = browser.send(sid="77")
    assert ("77", False, "77") == (sent["sid"], "session" in sent["context"], browser.answer["session_id"])
    assert "_asm_visit" not in browser.written


def test_an_event_beside_the_script_joins_the_scripts_session():
    """A ready-made query has no `sid`; the script's cookie has, while it lasts."""
    browser = Browser()
    browser.jar = {
        "_asm_uid": UID,
        "_asm_ss_view": f"%7B%22sid%22%3A%2288%22%2C%22utime%22%3A{STAMP.now_ms - 1_000}%7D",
    }
    assert "88" == browser.send()["sid"]
    assert "_asm_visit" not in browser.written
    browser.at = 3_600
    assert "88" != browser.send()["sid"]


@pytest.mark.parametrize(
    "text", ["", "x", "%7B", "[]", "%7B%22utime%22%3A1%7D", "9" * 2_000, "%7B%22sid%22%3A%5B%5D%7D"]
)
def test_a_strange_cookie_of_the_script_says_nothing(text):
    """Any script of the site may have written it."""
    browser = Browser()
    browser.jar = {"_asm_uid": UID, "_asm_ss_view": text}
    assert browser.send()["context"]["session"]["is_new"]


def test_another_uid_is_another_session_with_no_way_back():
    """After a logout the cookies of the first person mean nothing for the next."""
    browser = Browser()
    first = browser.send(f"{PAGE}?utm_source=zalo")
    browser.send(ec="user", ea="reset_anonymous_id", extra={"reset_uid": UID, "generate_uid": "999999999999"})
    browser.uid = "999999999999"
    assert "999999999999" == browser.jar["_asm_uid"]
    second = browser.send(PAGE, PAGE)
    assert first["sid"] != second["sid"]
    assert 1 == second["context"]["session"]["number"]
    assert "first_touch" not in second["context"]


def test_a_late_event_of_another_uid_changes_nothing():
    """It gets no session, and the browser keeps its own."""
    browser = Browser()
    first = browser.send()["sid"]
    assert "sid" not in browser.send(uid="888888888888")
    assert first == browser.send()["sid"]


@pytest.mark.parametrize("name", ["_asm_visit", "_asm_touch"])
def test_a_forged_cookie_is_as_none(name):
    """Only what the gateway signed for this UID counts."""
    browser = Browser()
    browser.send(f"{PAGE}?utm_source=zalo")
    true = browser.jar[name]
    for forged in (
        true[:-1] + ("A" if true[-1] != "A" else "B"),
        true[:40],
        "1.t1.e30.x",
        "é",
        "=",
        "1" * 5_000,
    ):
        browser.jar[name] = forged
        sent = browser.send(PAGE, "https://blog.example/")
        if name == "_asm_visit":
            assert 1 == sent["context"]["session"]["number"]
        else:
            assert "referral" == sent["context"]["first_touch"]["channel"]


def test_the_first_touch_stays_and_the_last_is_the_last_that_led_here():
    """A direct visit, and pages of the visit, leave both as they are."""
    browser = Browser()
    first = browser.send(f"{PAGE}?utm_source=zalo&utm_medium=cpc&token=1", "https://zalo.me/")["context"]
    assert "paid_social" == first["first_touch"]["channel"] == first["last_touch"]["channel"]
    assert f"{PAGE}?utm_source=zalo&utm_medium=cpc" == first["first_touch"]["landing_page"]
    for at, page, referrer, last in (
        (10, PAGE, PAGE, "paid_social"),
        (86_400, PAGE, "", "paid_social"),
        (90_000, PAGE, "https://www.google.com/", "organic_search"),
        (90_010, PAGE, PAGE, "organic_search"),
        (180_000, PAGE, "", "organic_search"),
    ):
        browser.at = at
        context = browser.send(page, referrer)["context"]
        assert first["first_touch"] == context["first_touch"]
        assert last == context["last_touch"]["channel"]
    assert "_asm_touch" not in browser.written


def test_a_first_visit_without_any_referrer_is_a_direct_touch():
    """Until something leads here, which becomes the last."""
    browser = Browser()
    assert "direct" == browser.send()["context"]["last_touch"]["channel"]
    context = browser.send(PAGE, "https://chatgpt.com/")["context"]
    assert ("direct", "ai_assistant") == (context["first_touch"]["channel"], context["last_touch"]["channel"])


def test_several_events_of_a_landing_are_one_touch():
    """The cookie is written once."""
    browser = Browser()
    page = f"{PAGE}?gclid=g-1"
    at = browser.send(page)["context"]["last_touch"]["at"]
    browser.at = 5
    sent = browser.send(page)
    assert (at, {"gclid": "g-1"}) == (
        sent["context"]["last_touch"]["at"],
        sent["context"]["last_touch"]["click_ids"],
    )
    assert [] == browser.written


def test_a_touch_cookie_is_bounded_whatever_the_url():
    """Browsers take 4,096 characters; of more than fits, what matters least is left out."""
    browser = Browser()
    browser.send(
        f"{PAGE}?utm_source=zalo&"
        + "&".join(f"utm_{name}={'é' * 500}" for name in ("term", "content", "campaign"))
    )
    browser.at = 3_600
    context = browser.send(f"{PAGE}{'x' * 1_500}?gclid={'g' * 510}&fbclid={'f' * 510}&utm_medium=cpc")[
        "context"
    ]
    assert ("zalo", "cpc") == (context["first_touch"]["source"], context["last_touch"]["medium"])
    assert len(browser.jar["_asm_touch"]) < 3_600
    assert len(orjson.dumps(context["last_touch"])) <= 900


@pytest.mark.parametrize(
    "head",
    [
        {"query": f"{QUERY}&is_s2s=true"},
        {"origin": "https://evil.example"},
        {"query": QUERY.replace("resp_type=json", "resp_type=pixel")},
    ],
    ids=["server", "foreign_page", "pixel"],
)
def test_servers_and_strangers_get_nothing(head):
    """No session, no touch, no cookie; the campaign of the URL is told all the same."""
    browser = Browser()
    sent = None
    decision = None
    one = event(uid=UID, context={"navigation": {"url": f"{PAGE}?utm_source=zalo"}, "referrer": ""})
    values = dict(head)
    decision = browser.ask(post(one, values.pop("query", QUERY), **values))
    sent = orjson.loads(decision.verdicts[0].record.body)
    assert "sid" not in sent
    assert {"session", "first_touch", "last_touch"}.isdisjoint(sent["context"])
    assert {"source": "zalo"} == sent["context"]["campaign"]
    assert {"_asm_visit", "_asm_touch"}.isdisjoint(browser.written)


def test_a_link_that_was_passed_on_begins_no_session():
    """Who follows it is not known to be whom it names; the page that it leads to tells of the visit."""
    query = f"{QUERY.replace('resp_type=json', 'resp_type=redirect')}&redirect_url=https://www.shop.example/&uid={UID}&ec=a&ea=click"
    browser = Browser()
    decision = browser.ask(get(query, referer="https://zalo.me/"))
    assert "sid" not in orjson.loads(decision.verdicts[0].record.body)
    assert [] == browser.written


def test_without_consent_nothing_is_kept_and_nothing_is_told_of_before():
    """`may_store` is the word of the consent part; the cookies of before are not read either."""
    browser = Browser()
    browser.send(f"{PAGE}?utm_source=zalo")
    sent = browser.send(consent=Consent("denied", "gpc", may_store=False))
    assert "sid" not in sent
    assert {"session", "first_touch", "last_touch"}.isdisjoint(sent["context"])
    assert {"_asm_visit", "_asm_touch"}.isdisjoint(browser.written)


def test_a_client_that_keeps_no_cookies_is_in_no_session():
    """An app without a cookie jar: half hours by the clock would be no sessions."""
    browser = Browser()
    sent = browser.send(headers={"origin": ""})
    assert "sid" not in sent
    assert "" == browser.answer["session_id"]


def test_without_a_key_nothing_is_kept():
    """What can't be signed can't be believed."""
    browser = Browser(shop(cookies={"keys": ()}))
    sent = browser.send()
    assert "sid" not in sent
    assert ["_asm_uid"] == browser.written


def test_meta_ids_are_made_where_the_browser_has_none():
    """In Meta's forms, under its names, readable for its pixel; off by default."""
    assert "fbp" not in Browser().send()["extra"]
    browser = Browser(shop(campaign={"meta_ids": True}))
    extra = browser.send(f"{PAGE}?fbclid=IwAR-1_x")["extra"]
    assert f"fb.1.{STAMP.now_ms}.IwAR-1_x" == extra["fbc"] == browser.jar["_fbc"]
    assert extra["fbp"].startswith(f"fb.1.{STAMP.now_ms}.")
    assert extra["fbp"] == browser.jar["_fbp"]
    browser.at = 10
    later = browser.send()["extra"]
    assert [extra["fbp"], extra["fbc"]] == [later["fbp"], later["fbc"]]
    assert [] == browser.written


def test_what_metas_pixel_has_written_is_never_written_over():
    """A newer click goes out with its event all the same."""
    browser = Browser(shop(campaign={"meta_ids": True}))
    browser.jar = {"_asm_uid": UID, "_fbp": "fb.1.1700000000000.42", "_fbc": "fb.1.1700000000000.old"}
    extra = browser.send(f"{PAGE}?fbclid=new")["extra"]
    assert ("fb.1.1700000000000.42", f"fb.1.{STAMP.now_ms}.new") == (extra["fbp"], extra["fbc"])
    assert {"_fbp", "_fbc"}.isdisjoint(browser.written)
    assert "fb.1.1700000000000.old" == browser.send()["extra"]["fbc"]


def test_the_time_of_sending_is_the_requests_and_goes_nowhere():
    """It is read and taken out."""
    sent = Browser().send(sent_at=STAMP.now_ms + 7_200_000, et="2026-09-21 16:13:20")
    assert "sent_at" not in sent
    assert {"skew_seconds": -7_200} == sent["context"]["clock"]


def test_no_two_cookies_have_one_name():
    """The settings refuse it."""
    for one, other in itertools.permutations([("session", "cookie"), ("campaign", "touch_cookie")]):
        with pytest.raises(ValueError, match="a name of its own"):
            make_settings(**{one[0]: {one[1]: "_asm_uid"}, other[0]: {}})
    with pytest.raises(ValueError, match="a name of its own"):
        make_settings(session={"cookie": "x"}, campaign={"touch_cookie": "x"})


def test_metas_ids_of_an_erased_visitor_lead_to_nobody():
    """They would be under her old UID and under the one that comes after it."""
    pipeline = shop(campaign={"meta_ids": True})
    cookie = f"_asm_uid={UID}; _fbp=fb.1.1700000000000.42; _fbc=fb.1.1700000000000.old"
    prepared = pipeline.prepare(post(event(uid=UID), cookie=cookie), STAMP)
    assert pipeline.resolve(prepared, [Binding(is_erased=True)])
    decision = pipeline.decide(prepared, [Binding()])
    sent = orjson.loads(decision.verdicts[0].record.body)
    written = [value for name, value in decision.reply.headers if name == "Set-Cookie"]
    assert UID != sent["uid"]
    assert "fb.1.1700000000000" not in orjson.dumps(sent).decode()
    assert any(each.startswith(f"_fbp={sent['extra']['fbp']};") for each in written)
    assert any(each.startswith("_fbc=; Path=/; Max-Age=0") for each in written)
