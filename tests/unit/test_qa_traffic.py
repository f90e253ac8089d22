"""A session finds what is wrong with calls themselves: unreadable, repeated, to the wrong place, before consent, slowly or badly answered."""

from __future__ import annotations

import hashlib

import pytest

from gateway.assets.pinning import Policy, Seen, State, decided, seen
from gateway.assets.versions import VersionStore
from gateway.qa.calls import Heard
from tests.builders import PORTAL_ID, PROP_ID
from tests.qa_traffic import OWN_HOST, traffic_of, view

VENDORS = "a.cdp.asia"
SCRIPT = b"!function(){var insight=1}();"
OTHER_SHOP = {"portal_id": PORTAL_ID, "prop_id": "999", "site": "other.example"}
SHOP = {"portal_id": PORTAL_ID, "prop_id": PROP_ID, "site": "shop.example"}


def query(number="x", portal_id=PORTAL_ID, prop_id=PROP_ID, more=""):
    return f"portal_id={portal_id}&prop_id={prop_id}&request_id={number}{more}"


@pytest.fixture
async def traffic(tmp_path):
    async with traffic_of(tmp_path) as opened:
        yield opened


async def test_good_traffic_has_nothing_wrong_with_it(traffic):
    """Page views of pages that are loaded, a preflight, the gateway's own script, a batch."""
    reply = (await traffic.see(path="/insight.js")).taken.reply
    await traffic.see(path="/insight.js", heard=Heard(status=200, body=reply.body, took_ms=3))
    await traffic.see(method="OPTIONS")
    for _ in range(3):
        traffic.passed("/")
        await traffic.view()
    await traffic.see(
        [
            view(extra={"page_type": "a", "page_category": "b"}),
            view(extra={"page_type": "c", "page_category": "d"}),
        ]
    )
    traffic.session.finish()
    assert [] == traffic.found


@pytest.mark.parametrize(
    ("body", "more", "place", "event"),
    [
        (b"{broken", {}, "(body)", 0),
        ({"uid": "111111111111", "ea": "view"}, {}, "ec", 0),
        ([view(), 7], {}, "(body)", 1),
        ([view(), view()], {"query": f"portal_id={PORTAL_ID}"}, "prop_id", -1),
        (view(), {"method": "PUT"}, "method", -1),
    ],
)
async def test_what_cannot_be_read_is_found_where_it_is(traffic, body, more, place, event):
    """What is wrong with the request as a whole, once."""
    await traffic.see(body, **more)
    assert [("malformed-event", 1, place, event)] == [
        (each.rule, each.call, each.place, each.event) for each in traffic.findings
    ]


async def test_the_same_id_and_content_again_is_a_duplicate(traffic):
    """It names the first call."""
    await traffic.view(query=query())
    traffic.session.next_number()
    traffic.session.next_number()
    await traffic.view(query=query())
    assert [("duplicate-event", 4, "request_id")] == traffic.found
    assert 1 == traffic.findings[0].other


@pytest.mark.parametrize("heard", [Heard(failure="net::ERR_FAILED"), Heard(status=503)])
async def test_a_second_attempt_behind_a_failure_is_none(traffic, heard):
    """The page is right to send again what it heard no answer to."""
    await traffic.view(query=query(), heard=heard)
    await traffic.view(query=query())
    assert [("collector-failing", 1, "answer")] == traffic.found


async def test_what_a_page_has_sent_while_it_was_left_may_come_again_on_the_next(traffic):
    """It has not heard the answer, and its store sends it under the same id: whether the next page was asked for before its last call or behind it."""
    other = view(extra={"page_type": "cart", "page_category": "cart"})
    await traffic.view(query=query("behind"))
    traffic.passed("/shoe")
    await traffic.see(other, query=query("before"))
    await traffic.view(query=query("behind"))
    await traffic.see(other, query=query("before"))
    assert [] == traffic.found


async def test_the_same_id_again_on_a_page_that_stays_is_a_duplicate(traffic):
    """No page was loaded since, nor just before."""
    traffic.passed("/")
    for _ in range(5):
        traffic.session.next_number()
    await traffic.view(query=query())
    await traffic.view(query=query())
    assert [("duplicate-event", 8, "request_id")] == traffic.found


async def test_two_snippets_send_the_same_under_two_ids(traffic):
    """One of them to the vendor's host."""
    await traffic.view()
    await traffic.view(host=VENDORS)
    assert [("third-party-host", 2, "url"), ("duplicate-event", 2, "request_id")] == sorted(
        traffic.found, reverse=True
    )


async def test_the_same_a_while_later_or_on_another_page_is_no_duplicate(traffic):
    """Nor is what a page sends that was loaded anew."""
    await traffic.view()
    await traffic.see(view(context={"navigation": {"url": "https://www.shop.example/cart"}}))
    for _ in range(3):
        traffic.session.next_number()
    await traffic.view()
    traffic.passed("/")
    await traffic.view()
    assert [] == traffic.found


async def test_a_property_that_is_not_configured_is_found_once_for_each_page(traffic):
    """And the page's own is named."""
    await traffic.view(query=query("1", prop_id="777"))
    await traffic.view(query=query("2", prop_id="777"))
    await traffic.view(query=query("3", portal_id="1"))
    assert [("wrong-property", 1, "query prop_id"), ("wrong-property", 3, "query portal_id")] == traffic.found
    assert traffic.findings[0].detail.endswith(f"this page is of portal_id {PORTAL_ID}, prop_id {PROP_ID}")


async def test_another_sites_property_is_found_by_the_page(tmp_path):
    """A server and a link have no page of the site's."""
    async with traffic_of(tmp_path, properties=(SHOP, OTHER_SHOP)) as traffic:
        await traffic.view(query=query("1", prop_id="999"))
        await traffic.see(view(uid="222222222222"), query=query("2", prop_id="999", more="&is_s2s=true"))
        assert [("wrong-property", 1, "query prop_id")] == traffic.found
        assert "the property is that of other.example" in traffic.findings[0].detail


async def test_each_of_the_vendors_hosts_is_named_once(traffic):
    """For each host of the site; preflights say nothing."""
    await traffic.see(host=VENDORS, method="OPTIONS")
    await traffic.see(host="st-a.cdp.asia", path="/insight.js")
    for number in range(3):
        await traffic.see(view(en=str(number)), host=VENDORS)
    assert [("third-party-host", 2, "url"), ("third-party-host", 3, "url")] == traffic.found


async def test_a_slow_answer_and_none_are_the_collectors(traffic):
    """A page that does not wait for the answer is not; nor is a refusal for what the event is."""
    await traffic.see(view(en="1"), heard=Heard(status=200, took_ms=1_001))
    await traffic.see(view(en="2"), heard=Heard(status=404))
    await traffic.see(view(en="3"), heard=Heard(failure="timed out for lan@example.com"))
    await traffic.see(view(en="4"), heard=Heard(failure="net::ERR_ABORTED"))
    await traffic.see(b"{", heard=Heard(status=400))
    assert [
        ("collector-slow", 1, "answer"),
        ("collector-failing", 2, "answer"),
        ("collector-failing", 3, "answer"),
        ("malformed-event", 5, "(body)"),
    ] == traffic.found
    assert "lan@example.com" not in str(traffic.findings)


def of(content):
    return Heard(status=200, body=content, took_ms=1)


async def scripts(traffic, *contents, host="st-a.cdp.asia"):
    for content in contents:
        await traffic.see(host=host, path="/insight.js", heard=of(content))
    return [
        (each.call, each.detail.partition(": ")[2], each.other)
        for each in traffic.findings
        if each.rule == "script-changed"
    ]


async def test_a_script_that_changes_within_a_session_is_found(traffic):
    """Each time that it is another one."""
    found = await scripts(traffic, SCRIPT, SCRIPT, b"other()", b"other()")
    assert [(3, "the same address gave another one before", 1)] == found


async def test_our_own_script_is_what_the_gateway_serves(traffic):
    """Of its own name nothing else is expected, however it is packed."""
    served = await traffic.see(host=OWN_HOST, path="/insight.js", headers=(("accept-encoding", "gzip"),))
    assert "gzip" in dict(served.taken.reply.headers).values()
    assert [(2, "it is not what this gateway serves", 0)] == await scripts(traffic, SCRIPT, host=OWN_HOST)


async def test_pins_say_which_script_is_expected(tmp_path):
    """Whatever came first."""
    pins = {"/insight.js": (hashlib.sha256(SCRIPT).hexdigest(),)}
    async with traffic_of(tmp_path, script={"pins": pins}) as traffic:
        assert [(2, "script.pins has other versions", 1)] == await scripts(traffic, SCRIPT, b"other()")


async def test_a_gateways_record_says_which_scripts_were_seen(tmp_path):
    """One that was rejected is named as such; the record is left as it is."""
    (tmp_path / "data").mkdir()
    store, rejected = VersionStore(tmp_path / "data" / "assets"), b"rejected()"
    for content in (SCRIPT, rejected):
        version = Seen(hashlib.sha256(content).hexdigest(), len(content))
        store.change(
            lambda index, version=version: seen(
                index, "/insight.js", "https://st-a.cdp.asia/insight.js", version, Policy(), 1
            )
        )
    store.change(lambda index: decided(index, hashlib.sha256(rejected).hexdigest(), State.REJECTED, 2))
    before = store.load()
    async with traffic_of(tmp_path) as traffic:
        assert [
            (2, "it was rejected (`tracking-gateway script list`)", 1),
            (3, "the gateway has never seen it", 2),
        ] == await scripts(traffic, SCRIPT, rejected, b"other()")
    assert before == store.load()
