"""Events that come again: which are known, which are not, and what whoever sent them hears."""

from __future__ import annotations

import asyncio
import mmap

import orjson
import pytest

from gateway.duplicates.table import Table, table_bytes
from gateway.events.pipeline import Pipeline
from gateway.events.world import World
from tests.builders import QUERY, event, get, make_settings, post
from tests.unit.ingest_fakes import QUARANTINE_DOWN, SPOOL_DOWN, Bench

UID = "1234567890123"


def make_table(max_entries=1_000):
    """Give a table in this process's memory, and the ages of what it forgot before its time."""
    forgotten = []
    return Table(mmap.mmap(-1, table_bytes(max_entries)), 7, forgotten.append), forgotten


def make_bench(table=None, **sections):
    """Give an ingest that knows what came before."""
    seen = table or make_table()[0]
    return Bench(Pipeline(make_settings(**sections), World(seen=seen)))


def query(request_id, resp_type="json"):
    return QUERY.replace("resp_type=json", f"resp_type={resp_type}") + f"&request_id={request_id}"


def page_view(request_id="r-1", **fields):
    return post(event(uid=UID, **fields), query(request_id))


async def taken(bench, *requests):
    """Send requests one after the other, and give what became of each, as its answer says it."""
    return [orjson.loads((await bench.ingest.take(each)).body) for each in requests]


async def test_an_event_that_comes_again_is_dropped_and_answered_as_a_success():
    """The same id and content: forwarded once, counted as a duplicate, and the client hears all that it would have heard at first."""
    bench = make_bench()
    first, second = await taken(bench, page_view(), page_view())
    assert ("accepted", "ok") == (first["outcome"], first["reason"])
    assert ("dropped", "duplicate") == (second["outcome"], second["reason"])
    assert ("event", "r-1", UID, UID) == tuple(
        second[name] for name in ("type", "request_id", "au_id", "aid")
    )
    assert len(await bench.spooled()) == 1
    assert {"accepted/ok": 1, "dropped/duplicate": 1} == bench.counts()
    line = bench.log("event")[1]
    assert ("duplicate", "request_id", "r-1", UID, "info") == tuple(
        line[name] for name in ("reason", "duplicate_by", "request_id", "uid", "level")
    )


@pytest.mark.parametrize(
    ("resp_type", "content_type"),
    [
        ("json", "application/json"),
        ("javascript", "application/javascript; charset=utf-8"),
        ("pixel", "image/gif"),
    ],
)
async def test_a_duplicate_gets_a_success_of_the_type_that_was_asked_for(resp_type, content_type):
    """A script calls its callback, an image shows; the header says what it was."""
    bench = make_bench()
    request = post(event(uid=UID), query("r-1", resp_type))
    first, second = await bench.ingest.take(request), await bench.ingest.take(request)
    assert (200, content_type) == (second.status, dict(second.headers)["Content-Type"])
    assert "dropped; reason=duplicate; field=request_id" == dict(second.headers)["X-Tracking-Outcome"]
    if resp_type == "javascript":
        assert second.body[:22] == first.body[:22]
    assert len(await bench.spooled()) == 1


@pytest.mark.parametrize(
    "other",
    [
        page_view(page=2),
        page_view("r-2"),
        post(event(uid="9876543210987"), query("r-1")),
        post(event("product", "view", uid=UID), query("r-1")),
    ],
    ids=["another page", "another id", "another visitor", "another event"],
)
async def test_what_differs_is_no_duplicate(other):
    """A counter that begins again with each page, or an id that stands in the page, costs no event."""
    bench = make_bench()
    await taken(bench, page_view(), other)
    assert len(await bench.spooled()) == 2


@pytest.mark.parametrize("form", ["{%s,%s}", "{%s, %s}", "[{%s,%s}]", '{%s,%s ,"sent_at":1790000000777}'])
async def test_the_moment_of_sending_is_no_part_of_an_event(form):
    """Our script writes it anew with each attempt, first in the text: one attempt is as the other, also in an array; another event is not."""
    content = orjson.dumps(event(uid=UID))[1:-1]

    def sent(at_ms, content, form="{%s,%s}"):
        return post(form.encode() % (b'"sent_at":%d' % at_ms, content), query("r-1"))

    form = form.replace("%", "%%").replace("%%s", "%s")
    bench = make_bench()
    found = await taken(bench, sent(1_790_000_000_000, content, form), sent(1_790_000_000_999, content, form))
    assert ["ok", "duplicate"] == [each.get("results", [each])[0]["reason"] for each in found]
    if form in {"{%s,%s}", "[{%s,%s}]"}:
        (again,) = await taken(bench, sent(1_790_000_000_555, content))
        assert "duplicate" == again["reason"]
    (other,) = await taken(bench, sent(1_790_000_000_000, content.replace(b"pageview", b"page_view")))
    assert "ok" == other["reason"]


async def test_an_id_that_many_events_have_drops_nothing_any_more():
    """Once it came with another content it tells nothing; the log says so."""
    bench = make_bench()
    await taken(bench, page_view(page=1), page_view(page=2), page_view(page=2), page_view(page=1))
    assert len(await bench.spooled()) == 4
    assert [None, True, True, True] == [line.get("request_id_shared") for line in bench.log("event")]


@pytest.mark.parametrize(
    "request_",
    [
        get(f"{query('m-1', 'redirect')}&redirect_url=https://shop.example/&ec=message&ea=click&uid={UID}"),
        get(f"{query('m-1', 'pixel')}&ec=message&ea=open&uid={UID}"),
        get(f"portal_id=33167&prop_id=556300706&request_id=m-1&ec=message&ea=open&uid={UID}"),
        get(f"{query('m-1')}&ec=message&ea=open&uid={UID}", fetch_mode="navigate", fetch_site="none"),
    ],
    ids=["a link", "an image in a mail", "an image without a type", "a link to an answer"],
)
async def test_a_link_that_many_follow_counts_each_time(request_):
    """Its request id is the message's; a mail program that fetches it first takes nobody's click away."""
    bench = make_bench(duplicates={"content_window_seconds": 60})
    for _ in range(3):
        assert (await bench.ingest.take(request_)).status in {200, 302}
    assert len(await bench.spooled()) == 3


async def test_an_app_that_asks_again_by_get_is_recognised():
    """What no browser sends and asks for JSON is a program's attempt."""
    bench = make_bench()
    request = get(f"{query('a-1')}&ec=pageview&ea=view&uid={UID}")
    _, second = await taken(bench, request, request)
    assert "duplicate" == second["reason"]


async def test_a_visitor_without_an_id_is_told_by_address_and_program():
    """Two first-time visitors of a page that hard-codes its request id are two."""
    bench = make_bench()
    bodies = {"ec": "pageview", "ea": "view"}
    await taken(
        bench,
        post(bodies, query("r-1"), peer="203.0.113.9"),
        post(bodies, query("r-1"), peer="203.0.113.9"),
    )
    assert len(await bench.spooled()) == 1
    await taken(bench, post(bodies, query("r-1"), peer="203.0.113.10"))
    assert len(await bench.spooled()) == 1


async def test_a_server_that_gives_one_id_to_its_whole_import_loses_nothing():
    """The rows of an import differ, so its id is nobody's."""
    bench = make_bench()
    rows = [
        post(event("store", "visit", uid=f"{10**12 + n}"), f"{QUERY}&is_s2s=true&request_id=import")
        for n in range(5)
    ]
    await taken(bench, *rows, *rows)
    assert len(await bench.spooled()) == 10


async def test_an_array_that_comes_again_is_known_event_by_event():
    """Only what is new in it is taken; the status is a success also when nothing is."""
    bench = make_bench()
    events = [event(uid=UID, n=n, request_id=f"b-{n}") for n in range(3)]
    await taken(bench, post(events[:2]))
    reply = await bench.ingest.take(post(events))
    assert ["duplicate", "duplicate", "ok"] == [
        each["reason"] for each in orjson.loads(reply.body)["results"]
    ]
    again = await bench.ingest.take(post(events))
    assert (200, {"duplicate"}) == (
        again.status,
        {each["reason"] for each in orjson.loads(again.body)["results"]},
    )
    assert len(await bench.spooled()) == 3


async def test_two_of_one_array_with_one_id_are_one_when_they_are_the_same():
    """What differs in it, or has no id of its own, is taken."""
    bench = make_bench()
    twin = event(uid=UID, request_id="b-1")
    reply = await bench.ingest.take(post([twin, twin, {**twin, "n": 2}]))
    assert ["ok", "duplicate", "ok"] == [each["reason"] for each in orjson.loads(reply.body)["results"]]
    without = post([event(uid=UID), event(uid=UID)], query("q-1"))
    reply = await bench.ingest.take(without)
    assert ["ok", "ok"] == [each["reason"] for each in orjson.loads(reply.body)["results"]]


async def test_an_array_with_one_event_twice_is_answered_when_it_comes_again():
    """All of it came before; nothing in it waits for another repeat."""
    bench = make_bench()
    twin = event(uid=UID, request_id="b-1")
    await taken(bench, post([twin, twin]))
    reply = await asyncio.wait_for(bench.ingest.take(post([twin, twin, twin])), 5)
    assert ["duplicate"] * 3 == [each["reason"] for each in orjson.loads(reply.body)["results"]]
    bench.spool.is_held = True
    first = await started(bench, post([event(uid=UID, n=2, request_id="b-2")]))
    second = await started(bench, post([event(uid=UID, n=2, request_id="b-2")] * 2))
    assert not second.done()
    bench.spool.futures[0].set_result(None)
    results = orjson.loads((await asyncio.wait_for(second, 5)).body)["results"]
    assert ["duplicate"] * 2 == [each["reason"] for each in results]
    await first


@pytest.mark.parametrize("name", ["spool", "quarantine"])
async def test_an_event_that_could_not_be_kept_may_come_again(name):
    """After a 503 the next attempt is the first."""
    bench = make_bench()
    store, failure = getattr(bench, name), {"spool": SPOOL_DOWN, "quarantine": QUARANTINE_DOWN}[name]
    dims = {"customers": {"customer_id": "a"}}
    request = page_view(dims=dims, cid="b") if name == "quarantine" else page_view()
    store.failure = failure
    assert (await bench.ingest.take(request)).status == 503
    store.failure = None
    (again,) = await taken(bench, request)
    assert "duplicate" != again["reason"]
    (third,) = await taken(bench, request)
    assert "duplicate" == third["reason"]


async def test_what_is_malformed_is_remembered_by_nobody():
    """It is told what is wrong each time."""
    bench = make_bench()
    request = post(event(uid=UID, items="none"), query("r-1"))
    first, second = await taken(bench, request, request)
    assert first == second
    assert "bad_field" == first["reason"]


async def started(bench, request):
    """Send a request, and let it come as far as it can."""
    task = asyncio.create_task(bench.ingest.take(request))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return task


@pytest.mark.parametrize("fails", [False, True])
async def test_the_second_attempt_waits_for_the_first_and_shares_its_fate(fails):
    """It is not answered before the first is durable; where the first fails, both are told to come again."""
    bench = make_bench()
    bench.spool.is_held = True
    first, second = await started(bench, page_view()), await started(bench, page_view())
    assert not first.done()
    assert not second.done()
    assert 1 == len(bench.spool.futures)
    if fails:
        bench.spool.futures[0].set_exception(SPOOL_DOWN)
    else:
        bench.spool.futures[0].set_result(None)
    replies = [await asyncio.wait_for(each, 5) for each in (first, second)]
    assert ([503, 503] if fails else [200, 200]) == [each.status for each in replies]
    reasons = [orjson.loads(each.body)["reason"] for each in replies]
    assert (["unavailable"] * 2 if fails else ["ok", "duplicate"]) == reasons


async def test_two_arrays_that_wait_for_each_others_events_both_get_their_answers():
    """Each brings first what the other has second: their own events are settled before either waits."""
    bench = make_bench()
    bench.spool.is_held = True
    a, b = event(uid=UID, request_id="a"), event(uid=UID, n=2, request_id="b")
    c, d = event(uid=UID, n=3, request_id="c"), event(uid=UID, n=4, request_id="d")
    first, second, third = [await started(bench, post(each)) for each in ([a, b, b], [c, a, d], [d, b])]
    assert 2 == len(bench.spool.futures)
    bench.spool.futures[1].set_result(None)
    await asyncio.sleep(0)
    assert not second.done()
    bench.spool.futures[0].set_result(None)
    reasons = [
        [each["reason"] for each in orjson.loads((await asyncio.wait_for(task, 5)).body)["results"]]
        for task in (first, second, third)
    ]
    assert [["ok", "ok", "duplicate"], ["ok", "duplicate", "ok"], ["duplicate", "duplicate"]] == reasons


async def test_a_fault_of_ours_leaves_nobody_waiting(monkeypatch):
    """An exception in the middle of an event is its 503, and the next attempt is taken."""
    bench = make_bench()
    monkeypatch.setattr(bench.ingest._pipeline, "decide", lambda *_: 1 / 0)
    assert (await bench.ingest.take(page_view())).status == 503
    monkeypatch.undo()
    (again,) = await taken(bench, page_view())
    assert "ok" == again["reason"]


async def test_a_held_event_counts_as_having_come():
    """Its quarantine entry is there already; a second one would be another event to a person."""
    bench = make_bench()
    request = page_view(cid="b", dims={"customers": {"customer_id": "a"}})
    first, second = await taken(bench, request, request)
    assert ["quarantined", "dropped"] == [first["outcome"], second["outcome"]]
    assert 1 == len(bench.held())


async def test_an_event_without_an_id_is_told_by_its_content_where_that_is_asked_for():
    """Off by default: two clicks may be two."""
    click = post(event("product", "click", uid=UID))
    off, on = make_bench(), make_bench(duplicates={"content_window_seconds": 5})
    for bench in (off, on):
        await taken(bench, click, click, post(event("product", "click", uid="222222222")))
    assert 3 == len(await off.spooled())
    assert 2 == len(await on.spooled())
    assert "content" == on.log("event")[1]["duplicate_by"]


async def test_a_window_of_zero_looks_for_nothing():
    """Then each attempt is an event."""
    bench = make_bench(duplicates={"dedup_window_seconds": 0})
    await taken(bench, page_view(), page_view())
    assert 2 == len(await bench.spooled())


async def test_what_is_handed_on_beside_an_event_is_a_part_of_its_content():
    """A page that hard-codes its request id, and says in the query string what it tells, loses nothing."""
    bench = make_bench()
    ways = [f"{query('r-1')}&delivery_src={way}" for way in ("mail", "push", "push")]
    answers = await taken(bench, *(post(event(uid=UID), way) for way in ways))
    assert ["accepted", "accepted"] == [each["outcome"] for each in answers[:2]]
    assert 2 <= len(await bench.spooled())
