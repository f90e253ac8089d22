"""The steps of an event together: fates, what is forwarded, and what is answered."""

from __future__ import annotations

import hashlib
from urllib.parse import quote

import orjson
import pytest

from gateway.events.outcome import FATES, Outcome, Reason, Rejection
from gateway.events.pipeline import Pipeline
from tests.builders import (
    CHROME,
    ORIGIN,
    QUERY,
    STAMP,
    decide,
    event,
    forwarded,
    get,
    make_settings,
    post,
    shop_pipeline,
)

CID = hashlib.md5(b"lan@example.com").hexdigest()
OTHER = hashlib.md5(b"binh@example.com").hexdigest()
SIGN_IN = event("user", "sign_in", dims={"customers": {"email": "Lan@example.com", "phone": "0912345678"}})


def header(reply, name):
    return next((value for key, value in reply.headers if key == name), None)


def as_type(kind):
    return QUERY.replace("resp_type=json", f"resp_type={kind}")


def test_a_sign_in_goes_out_under_its_derived_cid_without_the_raw_address():
    """The CID stands where the CDP looks, the address only as its hash."""
    _, decision = decide(post(SIGN_IN))
    sent = forwarded(decision)
    assert (sent["cid"], sent["dims"]["customers"]["customer_id"]) == (CID, CID)
    assert sent["dims"]["customers"]["email"] == hashlib.sha256(b"lan@example.com").hexdigest()
    assert sent["dims"]["customers"]["phone"] == hashlib.sha256(b"+84912345678").hexdigest()
    assert b"lan@example.com" not in decision.verdicts[0].record.body.lower()


def test_another_customer_on_a_bound_uid_is_held_and_not_forwarded():
    """Neither identity gets the event; the entry says who was claimed and who is bound."""
    _, decision = decide(post(SIGN_IN), bound=OTHER)
    verdict = decision.verdicts[0]
    assert (verdict.outcome, verdict.reason, verdict.record) == (
        Outcome.QUARANTINED,
        Reason.CID_CONFLICT,
        None,
    )
    assert (verdict.entry.claimed_cid, verdict.entry.bound_cid) == (CID, OTHER)
    assert b"lan@example.com" not in verdict.entry.record.body.lower()
    answer = orjson.loads(decision.reply.body)
    assert (decision.reply.status, answer["outcome"], answer["reason"]) == (
        200,
        "quarantined",
        "cid_conflict",
    )


def test_a_contradiction_binds_nobody_and_is_held():
    """The claim of an event that names two customers asks for nothing."""
    prepared, decision = decide(post(event(cid=CID, extra={"customer_id": OTHER})))
    assert [claim.cid for claim in prepared.claims] == [None]
    assert decision.verdicts[0].reason is Reason.CID_CONTRADICTION


def test_a_bound_uids_later_events_carry_its_cid():
    """An event without a customer belongs to the one that its UID is bound to."""
    sent = forwarded(decide(post(event()), bound=CID)[1])
    assert (sent["cid"], sent["dims"]["customers"]["customer_id"]) == (CID, CID)
    without = forwarded(decide(post(event()), bound=CID, identity={"attach_known_cid": False})[1])
    assert "cid" not in without


def test_a_placeholder_gives_way_to_the_known_cid():
    """`undefined` in the CID's place does not keep the right one out."""
    sent = forwarded(
        decide(post(event(cid="", dims={"customers": {"customer_id": "undefined"}})), bound=CID)[1]
    )
    assert (sent["cid"], sent["dims"]["customers"]["customer_id"]) == (CID, CID)


def test_the_uid_comes_from_the_event_then_the_cookie_then_is_fresh():
    """And it is said which."""
    for request, uid, source in (
        (post(event(uid="111111111"), cookie="_asm_uid=222222222"), "111111111", "event"),
        (post(event(uid=""), cookie="a=b; _asm_uid=222222222; c=d"), "222222222", "cookie"),
        (post(event(uid="undefined"), cookie="my_asm_uid=9; _asm_uid=bad uid"), STAMP.fresh_uid(), "fresh"),
    ):
        prepared, decision = decide(request)
        assert (forwarded(decision)["uid"], prepared.uid_source) == (uid, source)


def test_a_raw_address_as_uid_is_replaced_by_its_hash():
    """A server that uses the phone as its user's id does not put it into the log, the ledger or the spool."""
    sent = forwarded(
        decide(post(event(uid="Lan@example.com", aid="Lan@example.com"), QUERY + "&is_s2s=true"))[1]
    )
    assert (sent["uid"], sent["aid"]) == (CID, CID)


@pytest.mark.parametrize(
    ("kind", "content_type", "start"),
    [
        ("json", "application/json", b'{"type":"event"'),
        ("javascript", "application/javascript; charset=utf-8", b'_event_callback_data({"type":"event"'),
        ("pixel", "image/gif", b"GIF89a"),
    ],
)
def test_each_answer_type_is_what_was_asked_for(kind, content_type, start):
    """Object, script or pixel; never cached, never sniffed."""
    _, decision = decide(post(event(), as_type(kind)))
    assert (decision.reply.status, header(decision.reply, "Content-Type")) == (200, content_type)
    assert decision.reply.body.startswith(start)
    assert (header(decision.reply, "Cache-Control"), header(decision.reply, "X-Content-Type-Options")) == (
        "no-store",
        "nosniff",
    )


def test_a_script_is_the_answer_when_no_type_is_asked_for():
    """`javascript` is the wire format's default."""
    _, decision = decide(get(QUERY.replace("&resp_type=json", "") + "&uid=123456789&ec=a&ea=b"))
    assert decision.reply.body.startswith(b"_event_callback_data(")


def test_no_client_text_can_break_out_of_the_script_answer():
    """What a client sent stands in it escaped."""
    _, decision = decide(post(event(sid="</script><script>alert(1)"), as_type("javascript")))
    assert b"<" not in decision.reply.body


@pytest.mark.parametrize(
    "url", ["https://shop.example/thanks?a=1", "http://www.shop.example/", "https://a.b.shop.example:8443/x"]
)
def test_a_redirect_goes_to_a_listed_host(url):
    """302 with the very URL."""
    _, decision = decide(
        get(f"{as_type('redirect')}&uid=123456789&ec=a&ea=click&redirect_url={url.replace('&', '%26')}")
    )
    assert (decision.reply.status, header(decision.reply, "Location")) == (302, url)
    assert decision.verdicts[0].outcome is Outcome.ACCEPTED


@pytest.mark.parametrize(
    ("url", "written"),
    [
        ("https://shop.example/áo mới?q=tết", "https://shop.example/%C3%A1o%20m%E1%BB%9Bi?q=t%E1%BA%BFt"),
        ("https://shop.example?q=🎉#đây", "https://shop.example?q=%F0%9F%8E%89#%C4%91%C3%A2y"),
        ("https://shop.example/%C3%A1o/100%", "https://shop.example/%C3%A1o/100%"),
    ],
)
def test_a_visitor_follows_a_link_with_letters_in_it(url, written):
    """They are percent-encoded behind the host; the shop's Vietnamese pages are where most messages lead."""
    _, decision = decide(
        get(f"{as_type('redirect')}&uid=123456789&ec=a&ea=click&redirect_url={quote(url, safe='')}")
    )
    assert (decision.reply.status, header(decision.reply, "Location")) == (302, written)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://shop.example\u3002evil.example/á",
        "https://evil.example/á",
        "https://shöp.example/",
        "https://evil.example\uff0f.shop.example/",
        " https://shop.example/",
        "https://shop .example/á",
        "https://evil.example/",
        "//evil.example/",
        "/local",
        "javascript:alert(1)",
        "https://shop.example.evil.example/",
        "https://shop.example@evil.example/",
        "https://evil.example%5C@shop.example/",
        "https:%5C%5Cevil.example",
        "https://evilshop.example/",
        "https://shop.example%0d%0aX: y/",
        "ftp://shop.example/",
        "https://shop.example:99999/",
        "https://[::1/",
        "data:text/html,x",
        "https://shop.example%09.evil.example/",
        "http:shop.example",
        "https:///shop.example",
    ],
)
def test_a_redirect_anywhere_else_is_refused_without_a_location(url):
    """An open redirect would lend the shop's name to anybody."""
    _, decision = decide(get(f"{as_type('redirect')}&uid=123456789&ec=a&ea=click&redirect_url={url}"))
    assert (decision.reply.status, header(decision.reply, "Location")) == (400, None)
    assert decision.verdicts[0].reason is Reason.BAD_REDIRECT


def test_a_visitor_follows_an_allowed_link_even_when_its_event_is_malformed():
    """The event is counted as malformed; the person still arrives."""
    _, decision = decide(get(f"{as_type('redirect')}&redirect_url=https://shop.example/"))
    assert (decision.verdicts[0].outcome, decision.reply.status) == (Outcome.MALFORMED, 302)


@pytest.mark.parametrize(
    ("kind", "start"),
    [("pixel", b"GIF89a"), ("javascript", b"/* tracking-gateway: malformed, bad_field ec */")],
)
def test_a_bad_event_gets_a_harmless_answer_where_a_visitor_would_see_an_error(kind, start):
    """A pixel stays a pixel, a script stays a script; a header says what was wrong."""
    _, decision = decide(get(f"{as_type(kind)}&uid=123456789"))
    assert (decision.reply.status, decision.reply.body.startswith(start)) == (200, True)
    assert header(decision.reply, "X-Tracking-Outcome") == "malformed; reason=bad_field; field=ec"


def test_a_bad_post_without_a_type_gets_a_plain_error():
    """A POST can't come from a script tag: its sender is told."""
    _, decision = decide(post(b"{", QUERY.replace("&resp_type=json", "")))
    assert (decision.reply.status, orjson.loads(decision.reply.body)["reason"]) == (400, "bad_json")


def test_answers_are_readable_with_credentials_by_the_propertys_origins_only():
    """Any other origin gets no permission."""
    allowed = decide(post(event(), origin=ORIGIN))[1].reply
    assert (
        header(allowed, "Access-Control-Allow-Origin"),
        header(allowed, "Access-Control-Allow-Credentials"),
    ) == (ORIGIN, "true")
    for stranger in (
        "https://evil.example",
        "null",
        "http://www.shop.example",
        "https://www.shop.example.evil.example",
    ):
        reply = decide(post(event(), origin=stranger))[1].reply
        assert header(reply, "Access-Control-Allow-Origin") is None
        assert header(reply, "Vary") == "Origin"
        assert header(reply, "Set-Cookie") is None


def test_without_configured_origins_the_site_and_its_subdomains_may_read():
    """`origins` is needed only for pages elsewhere."""
    shop = {"portal_id": "33167", "prop_id": "556300706", "site": "shop.example"}
    for origin, allowed in (
        ("https://shop.example", True),
        ("https://m.shop.example", True),
        ("https://notshop.example", False),
    ):
        reply = decide(post(event(), origin=origin), properties=(shop,))[1].reply
        assert (header(reply, "Access-Control-Allow-Origin") is not None) == allowed


def test_a_preflight_is_answered_for_the_propertys_origins():
    """With or without the property in its query string."""
    pipeline = Pipeline(make_settings())
    for query in (QUERY, ""):
        reply = pipeline.preflight(post(b"", query, origin=ORIGIN))
        assert (reply.status, header(reply, "Access-Control-Allow-Origin")) == (204, ORIGIN)
        assert header(reply, "Access-Control-Allow-Headers") == "Content-Type"
        assert (
            header(
                pipeline.preflight(post(b"", query, origin="https://evil.example")),
                "Access-Control-Allow-Origin",
            )
            is None
        )


def test_a_body_that_was_too_large_is_one_malformed_event():
    """413, counted once."""
    _, decision = shop_pipeline().unread(post(b""), STAMP, Rejection(Reason.TOO_LARGE, "(body)"))
    assert (decision.reply.status, [each.reason for each in decision.verdicts]) == (413, [Reason.TOO_LARGE])


def test_what_could_not_be_kept_is_refused_with_a_time_to_come_again():
    """Every event that would have been kept is now `unavailable`, with 503; the others keep their verdict."""
    pipeline = Pipeline(make_settings())
    prepared, decision = decide(post([event(), {"ec": 1}]), pipeline=pipeline)
    refused = pipeline.refuse(prepared, decision.verdicts)
    assert [each.reason for each in refused.verdicts] == [Reason.UNAVAILABLE, Reason.BAD_FIELD]
    assert (refused.reply.status, header(refused.reply, "Retry-After")) == (503, "5")
    single, _ = decide(post(event()), pipeline=pipeline)
    before = pipeline.refuse(single, None)
    assert (before.reply.status, before.verdicts[0].reason) == (503, Reason.UNAVAILABLE)


def test_event_ids_are_version_7_uuids_that_rise_with_time():
    """RFC 9562: version and variant stand where they belong, and order follows the clock."""
    import uuid

    from gateway.events.model import Stamp

    ids = [
        Stamp(now_ms, entropy).event_id(index)
        for now_ms, entropy in ((1, 5), (2, 0), (3, (1 << 160) - 1))
        for index in (0, 1)
    ]
    assert all(uuid.UUID(each).version == 7 and uuid.UUID(each).variant == uuid.RFC_4122 for each in ids)
    assert ids[:4] == sorted(ids[:4])
    assert len(set(ids)) == len(ids)


def test_the_visitor_is_described_where_the_cdp_looks():
    """Address, agent, device, language, page and moment, none of which the page had to send."""
    request = post(
        event(),
        user_agent=CHROME,
        accept_language="vi-VN,vi;q=0.9",
        referer="https://shop.example/a?utm_source=zalo&gclid=g1",
    )
    sent = forwarded(decide(request)[1])
    context, extra = sent["context"], sent["extra"]
    assert (context["ip"], context["userAgent"], context["locale"]) == ("203.0.113.9", CHROME, "vi-VN")
    assert (context["os"]["name"], context["browser"]["name"], context["device"]["type"]) == (
        "Windows",
        "Chrome",
        "desktop",
    )
    assert (context["campaign"], extra["gclid"]) == ({"source": "zalo"}, "g1")
    assert (extra["event_id"], extra["receive_time"]) == (STAMP.event_id(0), "2026-09-21T14:13:20.123Z")


def test_nothing_that_the_client_sent_is_overwritten():
    """A device's own context wins over what its request tells."""
    context = {
        "ip": "10.9.8.7",
        "userAgent": "App/1",
        "locale": "th",
        "device": {"model": "X"},
        "campaign": {"source": "own"},
    }
    extra = {"event_id": "own", "receive_time": "own", "gclid": "own"}
    request = post(
        event(context=dict(context), extra=dict(extra)),
        user_agent=CHROME,
        accept_language="vi",
        referer="https://s.example/?utm_source=x&gclid=y",
    )
    sent = forwarded(decide(request)[1])
    assert sent["extra"] == extra
    assert {name: sent["context"][name] for name in context} == context


def test_every_reason_has_a_row_in_the_table_of_fates():
    """No reason is without an outcome, a status and a level."""
    assert set(Reason) == set(FATES)
