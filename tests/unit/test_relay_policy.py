"""What is asked of the collector for a client, and what of its answer the client hears."""

from __future__ import annotations

import functools

import msgspec
import orjson
import pytest

from gateway.events.model import Answer, Binding
from gateway.events.pipeline import Pipeline
from gateway.events.relay import Relayed
from tests.builders import (
    ORIGIN,
    PORTAL_ID,
    PROP_ID,
    QUERY,
    STAMP,
    decide,
    event,
    get,
    make_settings,
    post,
    shop_pipeline,
)

BARE = f"portal_id={PORTAL_ID}&prop_id={PROP_ID}"
CAMPAIGN = b'{"au_id":"1","price":1e400,"campaigns":[{"html":"<b>5%</b>"}]}'
JSON = (("content-type", "application/json; charset=utf-8"),)
SCRIPT = (("content-type", "text/javascript"),)
JPEG = (("content-type", "image/jpeg"),)
COOKIES = ("seg", "__Host-c", "_asm_uid", "_asm_uid_s", "")


@functools.cache
def relaying(on_conflict="quarantine"):
    made = make_settings(collector={"mode": "relay"}, identity={"on_conflict": on_conflict})
    # Past the settings' own check: the policy holds by itself.
    collector = made.collector.model_copy(update={"relay_cookies": COOKIES})
    return Pipeline(made.model_copy(update={"collector": collector}))


def relayed(request, answer):
    """Play a request and its answer: what the client gets, how, and what was made up."""
    line = relaying()
    prepared, decision = decide(request, pipeline=line)
    assert line.relay.awaited(prepared, decision) == decision.verdicts[0].event_id != ""
    return *line.relay.reply(prepared, decision, answer), decision.reply


def awaited(request):
    line = relaying()
    return line.relay.awaited(*decide(request, pipeline=line))


def asked(decision):
    """Give what the collector is asked for: type and format."""
    parts = dict(pair.split("=") for pair in decision.verdicts[0].record.query.split("&"))
    return parts["resp_type"], parts["format"]


def set_cookies(reply):
    return [value for name, value in reply.headers if name == "Set-Cookie"]


def cookies_of(reply, name="seg"):
    return [value for value in set_cookies(reply) if value.startswith(f"{name}=")]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (QUERY, ("json", "json")),
        (BARE, ("javascript", "json")),
        (f"{BARE}&resp_type=javascript&format=jsonp", ("javascript", "jsonp")),
        (f"{BARE}&resp_type=pixel", ("pixel", "json")),
        (f"{BARE}&resp_type=json&format=0901234567", ("json", "json")),
        (f"{BARE}&resp_type=json&format=a%26b", ("json", "json")),
        (f"{BARE}&resp_type=redirect&redirect_url=https://shop.example/", ("json", "json")),
    ],
)
def test_the_collector_is_asked_for_what_the_client_asked_for(query, expected):
    """But for a redirect, which is the gateway's own; and `format` is a plain word or `json`."""
    assert expected == asked(decide(post(event(), query), pipeline=relaying())[1])


def test_without_relay_the_collector_is_asked_for_json_and_gets_no_cookies():
    """The default mode is as it was."""
    assert shop_pipeline().relay is None
    _, decision = decide(post(event(), BARE, cookie="seg=1"))
    assert ("json", "json") == asked(decision)
    assert decision.verdicts[0].record.cookie == ""


def test_a_json_answer_goes_out_byte_for_byte_under_our_own_headers():
    """The body is the collector's; type, cross-origin headers and the cookie of the UID are the gateway's."""
    noise = (("access-control-allow-origin", "*"), ("connection", "close"), ("x-a", "b"), ("etag", "1"))
    reply, how, made_up = relayed(post(event()), Answer(201, "", (*JSON, *noise), CAMPAIGN))
    assert (reply.status, reply.body, how) == (200, CAMPAIGN, Relayed.RELAYED)
    assert reply.headers == (*made_up.headers, ("X-Tracking-Answer", "collector"))
    assert [value.partition("=")[0] for value in set_cookies(reply)] == ["_asm_uid", "_asm_uid_s"]


def test_a_script_and_an_image_keep_their_kind():
    """A script leaves as a script in UTF-8; an image as the image that it is."""
    reply, _, _ = relayed(
        post(event(), BARE), Answer(200, "", SCRIPT, b"_event_callback_data({});show('\xc3\xa1')")
    )
    assert dict(reply.headers)["Content-Type"] == "application/javascript; charset=utf-8"
    assert reply.body == b"_event_callback_data({});show('\xc3\xa1')"
    reply, _, _ = relayed(post(event(), f"{BARE}&resp_type=pixel"), Answer(200, "", JPEG, b"\xff\xd8"))
    assert (dict(reply.headers)["Content-Type"], reply.body) == ("image/jpeg", b"\xff\xd8")


@pytest.mark.parametrize(
    ("answer", "how"),
    [
        (None, Relayed.FAILED),
        (Answer(503, "", JSON, CAMPAIGN), Relayed.FAILED),
        (Answer(429, "7", JSON, CAMPAIGN), Relayed.FAILED),
        (Answer(302, "", (*JSON, ("location", "https://evil.example")), CAMPAIGN), Relayed.FAILED),
        (Answer(403, "", JSON, CAMPAIGN), Relayed.REFUSED),
        (Answer(200, "", JSON, b""), Relayed.UNUSABLE),
        (Answer(204), Relayed.UNUSABLE),
        (Answer(200, "", (), CAMPAIGN), Relayed.UNUSABLE),
        (Answer(200, "", (("content-type", "text/html"),), CAMPAIGN), Relayed.UNUSABLE),
        (Answer(200, "", (*JSON, ("content-encoding", "gzip")), CAMPAIGN), Relayed.UNUSABLE),
        (Answer(200, "", JSON, b"[1]"), Relayed.UNUSABLE),
        (Answer(200, "", JSON, b'{"a":1} x'), Relayed.UNUSABLE),
        (Answer(200, "", JSON, b'{"a":"\xff"}'), Relayed.UNUSABLE),
        (Answer(200, "", JSON, b'{"a":' + b"[" * 200_000), Relayed.UNUSABLE),
        (Answer(200, "", SCRIPT, CAMPAIGN), Relayed.UNUSABLE),
    ],
)  # fmt: skip
def test_what_cant_be_passed_on_becomes_the_made_up_answer(answer, how):
    """Failure, refusal, redirect and rubbish: the page sees a success of its own kind."""
    reply, said, made_up = relayed(post(event()), answer)
    assert (reply, said) == (made_up, how)
    assert reply.status == 200


@pytest.mark.parametrize(
    ("kind", "headers", "body"),
    [
        ("pixel", (("content-type", "image/svg+xml"),), b"<svg/>"),
        ("pixel", JSON, CAMPAIGN),
        ("javascript", JSON, CAMPAIGN),
        ("javascript", SCRIPT, b"show('\xe1')"),
        ("javascript", SCRIPT, b""),
    ],
)
def test_an_answer_of_another_kind_is_not_passed_on(kind, headers, body):
    """An image that may hold a script is none, and text is UTF-8."""
    reply, how, made_up = relayed(post(event(), f"{BARE}&resp_type={kind}"), Answer(200, "", headers, body))
    assert (reply, how) == (made_up, Relayed.UNUSABLE)


def test_a_replaced_uid_is_told_also_with_the_collectors_answer():
    """The page's script takes the new UID over by `au_id` and `uid_replaced`; all else stays as the collector wrote it."""
    line = relaying("new_uid")
    prepared = line.prepare(
        post(event("user", "sign_in", dims={"customers": {"customer_id": "b" * 32}})), STAMP
    )
    bound = [Binding("a" * 32)]
    while line.resolve(prepared, bound):
        bound = [Binding("b" * 32)]
    decision = line.decide(prepared, bound)
    verdict = decision.verdicts[0]
    assert line.relay.awaited(prepared, decision) == verdict.event_id
    reply, how = line.relay.reply(prepared, decision, Answer(200, "", JSON, CAMPAIGN))
    assert how is Relayed.RELAYED
    assert b'"price":1e400' in reply.body
    said = orjson.loads(reply.body.replace(b"1e400", b"1"))
    assert (said["au_id"], said["uid_replaced"]) == (verdict.uid, "1234567890123")
    assert said["campaigns"] == [{"html": "<b>5%</b>"}]
    # Nothing leads from the first person to the second.
    assert verdict.record.cookie == ""


def test_a_collector_cant_change_a_uid():
    """`uid_replaced` is the ledger's word: the page's script would take the UID over."""
    body = b'{"au_id":"99","uid_replaced":"1234567890123","campaigns":[]}'
    reply, how, _ = relayed(post(event()), Answer(200, "", JSON, body))
    assert (how, reply.body) == (Relayed.RELAYED, b'{"au_id":"99","campaigns":[]}')


def test_who_asks_for_a_script_after_a_change_of_uid_gets_the_made_up_one():
    """It tells of the change, and nothing can be added to another's script; so the collector is asked for json."""
    line = relaying("new_uid")
    prepared = line.prepare(
        post(event("user", "sign_in", dims={"customers": {"customer_id": "b" * 32}}), BARE), STAMP
    )
    bound = [Binding("a" * 32)]
    while line.resolve(prepared, bound):
        bound = [Binding("b" * 32)]
    decision = line.decide(prepared, bound)
    assert line.relay.awaited(prepared, decision) == ""
    assert asked(decision)[0] == "json"


@pytest.mark.parametrize(
    "request_",
    [
        post([event()]),
        post([event(), event()]),
        post({"uid": "1"}),
        post(event(), "portal_id=1&prop_id=2&resp_type=json"),
        post(event(), f"{BARE}&resp_type=redirect&redirect_url=https://shop.example/"),
        post(event(), origin="https://evil.example"),
        get(f"{BARE}&ec=a&ea=b", fetch_site="cross-site", fetch_dest="script", fetch_mode="no-cors"),
    ],
    ids=["array of one", "array", "malformed", "unknown", "redirect", "stranger's page", "stranger's script"],
)
def test_who_does_not_wait_for_the_collector(request_):
    """Arrays, what was not accepted, redirects, and pages that must not read the answer."""
    assert awaited(request_) == ""


def test_what_is_held_or_goes_out_under_nobodys_id_waits_for_nothing():
    """A quarantined event keeps no cookie and asks for json; a stripped one is nobody's."""
    contradiction = event("user", "sign_in", cid="a" * 32, dims={"customers": {"customer_id": "b" * 32}})
    held = decide(post(contradiction, BARE, cookie="seg=1"), pipeline=relaying())[1].verdicts[0].entry.record
    assert "resp_type=json" in held.query
    assert held.cookie == ""
    line = relaying("strip")
    prepared, decision = decide(
        post(event("user", "sign_in", cid="b" * 32), cookie="seg=1"), bound="a" * 32, pipeline=line
    )
    assert decision.verdicts[0].record is not None
    assert line.relay.awaited(prepared, decision) == ""
    assert decision.verdicts[0].record.cookie == ""


def test_a_servers_event_is_relayed_without_cookies():
    """It asked for json, and what it sends as cookies is no visitor's."""
    request = post(event(), f"{QUERY}&is_s2s=true", origin="", cookie="seg=1")
    reply, how, _ = relayed(request, Answer(200, "", (*JSON, ("set-cookie", "seg=2")), CAMPAIGN))
    assert how is Relayed.RELAYED
    assert set_cookies(reply) == []
    assert decide(request, pipeline=relaying())[1].verdicts[0].record.cookie == ""


# ---- Cookies


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("seg=1; _asm_uid=5; other=2; __Host-c=a=b", "seg=1; __Host-c=a=b"),
        ("xseg=1; seg =2", ""),
        ("seg=\x01; seg=ok", "seg=ok"),
        ("seg=á", ""),
        ("seg=1\r\nEvil: x", ""),
        ('seg="1"; seg=2', "seg=1"),
        ("seg=lan@example.com; __Host-c=1", "__Host-c=1"),
        ("seg=a%7Clan%2540example.com", ""),
        ("seg=0912.345.678", ""),
        (f"seg={'x' * 5000}; __Host-c=1", "__Host-c=1"),
        ("", ""),
    ],
)
def test_only_listed_cookies_go_to_the_collector(header, expected):
    """And never the gateway's own, even when somebody lists them; none whose value is a raw address."""
    assert expected == decide(post(event(), cookie=header), pipeline=relaying())[1].verdicts[0].record.cookie


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("seg=1", "seg=1; Path=/; Domain=shop.example; Secure; SameSite=Lax"),
        ("seg=1; Domain=evil.example; Path=/x; SameSite=None; HttpOnly", "seg=1; Path=/; Domain=shop.example; Secure; SameSite=Lax; HttpOnly"),
        ("seg=1; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "seg=1; Path=/; Max-Age=60; Domain=shop.example; Secure; SameSite=Lax"),
        ("seg=; Max-Age=-1", "seg=; Path=/; Max-Age=0; Domain=shop.example; Secure; SameSite=Lax"),
        ("seg=1; expires=Thu, 01 Jan 1970 00:00:00 GMT", "seg=1; Path=/; Max-Age=0; Domain=shop.example; Secure; SameSite=Lax"),
        ("seg=1; Expires=Mon, 21 Sep 2026 14:14:20 GMT", "seg=1; Path=/; Max-Age=60; Domain=shop.example; Secure; SameSite=Lax"),
        ("seg=1; Max-Age=99999999999", "seg=1; Path=/; Max-Age=34560000; Domain=shop.example; Secure; SameSite=Lax"),
        ("seg=1; Max-Age=soon; Expires=whenever", "seg=1; Path=/; Domain=shop.example; Secure; SameSite=Lax"),
        ("__Host-c=1; Max-Age=5", "__Host-c=1; Path=/; Max-Age=5; Secure; SameSite=Lax"),
    ],
)  # fmt: skip
def test_a_listed_cookie_is_set_as_one_of_the_sites_own(said, expected):
    """Name, value, lifetime and HttpOnly are the collector's; where it holds is the gateway's to say."""
    reply, _, _ = relayed(post(event()), Answer(200, "", (*JSON, ("set-cookie", said)), CAMPAIGN))
    assert [expected] == set_cookies(reply)[2:]


def test_the_cookies_of_the_uid_stay_the_gateways():
    """Whatever the collector calls its cookies; of two of one name the last counts, as in a browser."""
    said = ["_asm_uid=666", "_asm_uid_s=666", "other=1", "SEG=0", "seg=1", "seg=2", "seg", "=3", "seg=\x01"]
    headers = (*JSON, *(("set-cookie", each) for each in said))
    reply, _, made_up = relayed(post(event()), Answer(200, "", headers, CAMPAIGN))
    assert set_cookies(reply)[:2] == set_cookies(made_up)
    assert [value.partition(";")[0] for value in set_cookies(reply)[2:]] == ["seg=2"]


def test_what_somebody_else_may_have_made_the_browser_send_exchanges_no_cookies():
    """An image or link that names its own visitor; one that leaves that to the cookie does."""
    answer = Answer(200, "", (*JPEG, ("set-cookie", "seg=2")), b"\xff\xd8")
    pixel = f"{BARE}&resp_type=pixel&ec=a&ea=b"
    foreign, own = (
        get(f"{pixel}&uid=99", cookie="seg=1; _asm_uid=77"),
        get(pixel, cookie="seg=1; _asm_uid=77"),
    )
    assert cookies_of(relayed(foreign, answer)[0]) == []
    assert decide(foreign, pipeline=relaying())[1].verdicts[0].record.cookie == ""
    assert len(cookies_of(relayed(own, answer)[0])) == 1
    assert decide(own, pipeline=relaying())[1].verdicts[0].record.cookie == "seg=1"


def test_an_answer_can_be_packed():
    """It crosses to the process that took the event."""
    answer = Answer(200, "7", JSON, CAMPAIGN)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(answer), type=Answer) == answer


def test_a_page_of_an_allowed_origin_waits_wherever_it_is():
    """Its origin is listed, so it may read the answer; that the browser calls it another site changes nothing."""
    assert awaited(post(event(), fetch_site="cross-site", fetch_mode="cors"))


def test_a_page_of_the_site_may_embed_the_collectors_script():
    """`<script src=…>` from the shop's own page, in browsers that say where it came from and in those that don't."""
    query = f"{BARE}&ec=a&ea=b"
    says = {"fetch_site": "same-site", "fetch_dest": "script", "fetch_mode": "no-cors", "referer": ORIGIN}
    assert awaited(get(query, **says))
    assert awaited(get(query))
