"""Bodies: every kind that a client sends is the same event, and what can't be read is refused with its field."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from gateway.events.outcome import Reason
from tests.builders import PORTAL_ID, PROP_ID, QUERY, decide, event, forwarded, get, post
from tests.encodings import BOUNDARY, CODINGS, FORM, MULTIPART, clothes, multipart
from tests.unit.ingest_fakes import SPOOL_DOWN, Bench

SHOPPER = event(
    "product",
    "add_to_cart",
    sid="17",
    items=[
        {"type": "product", "id": "SKU-1", "name": "Áo dài + nón 🙂", "price": 250000, "url": "/a?b=c&d=e%20"}
    ],
    dims={"customers": {"customer_id": "C1", "name": "Nguyễn Thị Ánh"}},
    extra={"note": 'NFD: Việt \u200b "quoted" \\ &=+%41', "deep": {"list": [1, 2.5, None, True, {"a": []}]}},
    context={"app": {"name": "shop"}, "zz": 1, "aa": 2},
)
EXPECTED = forwarded(decide(post(SHOPPER))[1])


@pytest.mark.parametrize("kind", clothes(SHOPPER))
def test_every_kind_of_body_is_the_same_event(kind):
    """Whatever a client calls its body, what goes to the collector is the same, with its keys in the same order."""
    content_type, body = clothes(SHOPPER)[kind]
    sent = forwarded(decide(post(body, content_type=content_type))[1])
    assert EXPECTED == sent
    assert list(EXPECTED["context"]) == list(sent["context"])


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("kind", ["json", "json, utf-16", "form", "multipart", "form that is escaped JSON"])
def test_every_kind_of_body_may_be_compressed(kind, coding):
    """The coding is undone before anything else is looked at."""
    content_type, body = clothes(SHOPPER)[kind]
    request = post(CODINGS[coding](body), content_type=content_type, content_encoding=coding)
    assert EXPECTED == forwarded(decide(request)[1])


@pytest.mark.parametrize(
    ("body", "head", "reason", "field", "word"),
    [
        (b"x", {"content_encoding": "gzip"}, Reason.BAD_BODY, "(body)", "Content-Encoding"),
        (b"x", {"content_encoding": "lzma"}, Reason.UNKNOWN_CODING, "Content-Encoding", "gzip, deflate, br, zstd"),
        (b'{"ec":"\xe9"}', {}, Reason.BAD_JSON, "(body)", "charset"),
        (b'{"ec":"\xe9"}', {"content_type": "application/json; charset=koi8-r"}, Reason.BAD_BODY, "(body)", "send UTF-8"),
        (b"\xff\xfe{", {}, Reason.BAD_BODY, "(body)", "UTF-16"),
        (b"x=1", {"content_type": "multipart/form-data"}, Reason.BAD_BODY, "(body)", "FormData"),
        (b"x=1", {"content_type": MULTIPART}, Reason.BAD_BODY, "(body)", "not whole"),
        (b"", {"content_type": MULTIPART}, Reason.BAD_BODY, "(body)", "not whole"),
        (multipart({"ec": "a"})[:-6], {"content_type": MULTIPART}, Reason.BAD_BODY, "(body)", "not whole"),
        (multipart({"photo": "x"}, as_file=True), {"content_type": MULTIPART}, Reason.BAD_FIELD, "photo", "file"),
        (multipart({"ec": "\udcff"}.copy() | {"ec": "x"}).replace(b"\nx\r", b"\n\xff\r"), {"content_type": MULTIPART}, Reason.BAD_BODY, "ec", "UTF-8"),
        (multipart({f"p{n}": "1" for n in range(2_001)}), {"content_type": MULTIPART}, Reason.TOO_LARGE, "(body)", "2000 parts"),
        (multipart({"x" * 5_000: "1"}), {"content_type": MULTIPART}, Reason.TOO_LARGE, "(body)", "4096 bytes"),
        (b"ec=a&ea=b&extra=%7B", {"content_type": FORM}, Reason.BAD_JSON, "extra", "not valid JSON"),
        (b"data=%7B%22ec%22", {"content_type": FORM}, Reason.BAD_JSON, "(body)", "not valid JSON"),
    ],
)  # fmt: skip
def test_what_can_t_be_read_is_refused_with_its_field_and_what_to_send(body, head, reason, field, word):
    """The answer is for whoever wrote the client."""
    _, decision = decide(post(body, **head))
    found = decision.verdicts[0].rejection
    assert (reason, field) == (found.reason, found.field)
    assert word in found.detail
    assert {"bad_body": 400, "bad_json": 400, "bad_field": 400, "unknown_coding": 415, "too_large": 413}[
        reason
    ] == decision.reply.status


def test_an_unknown_coding_is_answered_with_those_that_are_known():
    """RFC 9110, section 15.5.16; also to an image."""
    for query in (QUERY, QUERY.replace("json", "pixel", 1)):
        reply = decide(post(b"x", query, content_encoding="lzma"))[1].reply
        assert (415, "gzip, deflate, br, zstd") == (reply.status, dict(reply.headers)["Accept-Encoding"])


def test_latin_1_and_the_till_s_windows_1258_are_read_as_such_only_when_they_are():
    """A body that is UTF-8 is UTF-8, whatever it is called."""
    for charset, text in (("iso-8859-1", "café €"), ("windows-1258", "Nguyê\u0303n Đa\u0300o")):
        encoded = (
            orjson.dumps(event("user", text)).decode().encode("cp1252" if charset[0] == "i" else "cp1258")
        )
        sent = forwarded(decide(post(encoded, content_type=f"application/json; charset={charset}"))[1])
        assert text == sent["ea"]


def test_objects_may_come_in_parts():
    """As jQuery and PHP write nested objects into a form; numbered parts are a list."""
    body = (
        "uid=123456789&ec=a&ea=b&extra[order_id]=o1&extra[deep][a]=1&dims[customers][customer_id]=C1"
        "&items[1][id]=second&items[0][id]=first&items[0][type]=product&other[x]=kept"
    )
    _, decision = decide(post(body.encode(), content_type=FORM))
    sent = forwarded(decision)
    assert ("o1", {"a": "1"}) == (sent["extra"]["order_id"], sent["extra"]["deep"])
    assert [{"id": "first", "type": "product"}, {"id": "second"}] == sent["items"]
    assert "C1" == sent["cid"] or "C1" == sent["dims"]["customers"]["customer_id"]
    assert "other%5Bx%5D=kept" in decision.verdicts[0].record.query


def test_the_body_wins_over_the_query_field_by_field():
    """A field in both is the body's, whole; one that only the query has counts."""
    query = f"{QUERY}&ec=query&en=query&extra=%7B%22a%22%3A1%2C%22b%22%3A2%7D&context=%7B%22q%22%3A1%7D"
    fields = event("body", "view", extra={"a": "body"})
    for kind, (content_type, body) in clothes(fields).items():
        sent = forwarded(decide(post(body, query, content_type=content_type))[1])
        assert ("body", "query", "body", 1) == (
            sent["ec"],
            sent["en"],
            sent["extra"]["a"],
            sent["context"]["q"],
        ), kind
        assert "b" not in sent["extra"], kind


def test_what_a_body_says_of_the_request_wins_too():
    """Portal, property, answer type and request id, in every kind of body; none of it is left in the event."""
    fields = event(portal_id=PORTAL_ID, prop_id=PROP_ID, resp_type="pixel", request_id="mine", is_s2s="false")
    for kind, (content_type, body) in clothes(fields).items():
        query = "portal_id=1&prop_id=2&resp_type=json&request_id=other&is_s2s=true"
        _, decision = decide(post(body, query, content_type=content_type))
        verdict = decision.verdicts[0]
        assert ("mine", PORTAL_ID) == (verdict.request_id, verdict.record.portal_id), kind
        assert ("image/gif", False) == (
            dict(decision.reply.headers)["Content-Type"],
            "is_s2s=true" in verdict.record.query,
        )
        assert not {"portal_id", "prop_id", "resp_type", "request_id", "is_s2s"} & set(forwarded(decision)), (
            kind
        )


def test_a_beacon_without_a_body_is_the_event_of_its_query():
    """`sendBeacon(url)`: all that there is to say stands in the address."""
    for body in (b"", b"\r\n"):
        sent = forwarded(decide(post(body, f"{QUERY}&ec=a&ea=b&uid=123456789"))[1])
        assert ("a", "b", "123456789") == (sent["ec"], sent["ea"], sent["uid"])


def test_a_line_each_is_an_event_each():
    """`application/x-ndjson`: a broken line does not take the others with it."""
    body = b"\r\n".join(
        [orjson.dumps(event()), b"", b'{"ec":', b"5", orjson.dumps(event("user", "exit_intent"))]
    )
    for kind in ("application/x-ndjson", "application/jsonl; charset=utf-8"):
        _, decision = decide(post(body, f"{QUERY}&request_id=r", content_type=kind))
        assert ["ok", "bad_json", "bad_field", "ok"] == [each.reason for each in decision.verdicts]
        assert ["r", "r.3"] == [each.request_id for each in decision.verdicts if each.is_kept]
        assert 4 == len(orjson.loads(decision.reply.body)["results"])


@pytest.mark.parametrize("content_type", ["application/json", "application/x-ndjson"])
def test_a_batch_is_bounded_by_count_and_as_a_whole(content_type):
    """A hundred events of eighty keys fit; more events or twenty thousand keys do not, nor two thousand in one of them."""

    def answer(events):
        separator = b"\n" if "nd" in content_type else b","
        body = separator.join(map(orjson.dumps, events))
        found = decide(post(body if "nd" in content_type else b"[%b]" % body, content_type=content_type))[1]
        return found.reply.status, {each.reason for each in found.verdicts}

    def wide(keys):
        return event(extra={f"k{number}": number for number in range(keys)})

    assert (200, {Reason.OK}) == answer([wide(80)] * 100)
    assert (413, {Reason.TOO_LARGE}) == answer([event()] * 101)
    assert (400, {Reason.BAD_FIELD}) == answer([wide(300)] * 100)
    assert (200, {Reason.OK, Reason.BAD_FIELD}) == answer([wide(2_100), event()])


@pytest.mark.parametrize("rest", [b"&%a", b"&x=1"])
def test_a_form_of_a_million_parameters_is_refused_before_they_are_read(rest):
    """Also when they are all the same one: compressed they are a few hundred bytes, and reading them takes half a second."""
    body = CODINGS["br"](b"ec=a&ea=b" + rest * 200_000)
    prepared, decision = decide(post(body, content_type=FORM, content_encoding="br"))
    [rejection] = prepared.events
    assert (Reason.TOO_LARGE, "(body)") == (rejection.reason, rejection.field)
    assert 413 == decision.reply.status


def test_events_of_an_array_keep_their_own_request_ids():
    """One that is sent again, alone, is recognised; an id that two have is told apart."""
    body = [event(request_id=each) for each in ("a", "e-7", "", "a")] + [event()]
    _, decision = decide(post(body, f"{QUERY}&request_id=r"))
    assert ["a", "e-7", "r.2", "a.3", "r.4"] == [each.request_id for each in decision.verdicts]
    _, again = decide(post([event(request_id="a")], f"{QUERY}&request_id=r2"))
    assert "a" == again.verdicts[0].request_id


def test_a_boundary_like_a_browser_s_is_no_part_of_the_content():
    """A value may look like one, and a preamble and what follows the end are not read."""
    value = f"--{BOUNDARY}x"
    body = b"preamble\r\n" + multipart({"ec": value, "ea": "b", "uid": "123456789"}) + b"epilogue"
    assert value == forwarded(decide(post(body, content_type=MULTIPART))[1])["ec"]


async def test_what_is_to_be_sent_again_says_under_which_id():
    """When the disk is full for a whole array, each result has the id by which its resend is recognised."""
    bench = Bench()
    bench.spool.failure = SPOOL_DOWN
    reply = await bench.ingest.take(post([event(request_id="e-1"), {"ec": 1}, event(request_id="e-2")]))
    results = orjson.loads(reply.body)["results"]
    assert (503, ["e-1", None, "e-2"]) == (reply.status, [each.get("request_id") for each in results])
    assert ["unavailable", "bad_field", "unavailable"] == [each["reason"] for each in results]
    assert "Retry-After" in dict(reply.headers)


async def test_a_batch_is_bound_and_kept_as_one():
    """A hundred customers need one transaction of the ledger and one append to the spool."""
    bench = Bench()
    binds, appends = [], []
    bind, append = bench.ledger.bind, bench.spool.append
    bench.ledger.bind = lambda claims, now_ms: binds.append(len(claims)) or bind(claims, now_ms)
    bench.spool.append = lambda payloads: appends.append(len(payloads)) or append(payloads)
    people = [event("user", "sign_in", uid=f"uid-{number}", cid=f"c-{number}") for number in range(100)]
    reply = await bench.ingest.take(post(people, f"{QUERY}&is_s2s=true"))
    assert (200, [100], [100]) == (reply.status, binds, appends)


async def test_a_click_is_durable_before_the_visitor_is_sent_on():
    """Nobody is sent on while the spool writes; then once, with one event."""
    bench = Bench()
    bench.spool.is_held = True
    query = "resp_type=redirect&redirect_url=https%3A%2F%2Fshop.example%2Fsale"
    link = f"portal_id={PORTAL_ID}&prop_id={PROP_ID}&{query}&uid=123456789&ec=message&ea=click"
    answers = []
    bench.ingest.submit(get(link), answers.append)
    await asyncio.sleep(0)
    [future] = bench.spool.futures
    assert [] == answers
    future.set_result(None)
    await bench.ingest.drain()
    await asyncio.sleep(0)
    assert [(302, "https://shop.example/sale")] == [
        (each.status, dict(each.headers)["Location"]) for each in answers
    ]
    assert {"accepted/ok": 1} == bench.counts()
