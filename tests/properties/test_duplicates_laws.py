"""Laws of duplicates, against a model: whatever comes in whatever order, whatever fails, nothing is lost, and nothing that was kept is taken twice."""

from __future__ import annotations

import functools
import mmap

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.duplicates.table import Table, table_bytes
from gateway.events.pipeline import Pipeline
from gateway.events.world import World
from tests.builders import QUERY, event, make_settings, post
from tests.unit.ingest_fakes import SPOOL_DOWN, Bench

MEMORY = mmap.mmap(-1, table_bytes(1_000))


@functools.cache
def pipeline():
    """Give one pipeline for all examples: compiling its rules takes a moment."""
    return Pipeline(make_settings(), World(seen=Table(MEMORY, 7, lambda _: None)))


def make_bench():
    """Give an ingest that knows of nothing yet."""
    MEMORY[:] = bytes(len(MEMORY))
    return Bench(pipeline())


# An id, a visitor, a content, whether the spool fails: few of each, so that they meet.
attempts = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from("12"), st.integers(0, 1), st.booleans()), max_size=25
)


@settings(deadline=None, max_examples=15)
@given(attempts)
async def test_each_event_is_kept_once_unless_its_id_is_shared(sent):
    """An id with one content counts once; one that came with two is nobody's, and nothing is dropped for it; what failed may come again."""
    bench = make_bench()
    known: dict[str, set[tuple[str, int]]] = {}
    for request_id, visitor, content, fails in sent:
        bench.spool.failure = SPOOL_DOWN if fails else None
        body = event(uid=f"{visitor}000000000", n=content)
        reply = await bench.ingest.take(post(body, f"{QUERY}&request_id=id-{request_id}"))
        before = known.setdefault(request_id, set())
        if before == {(visitor, content)}:
            assert "duplicate" == orjson.loads(reply.body)["reason"]
        elif fails:
            assert 503 == reply.status
        else:
            assert "ok" == orjson.loads(reply.body)["reason"]
            before.add((visitor, content))
    bench.close()


batches = st.lists(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 1)), min_size=1, max_size=6),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=15)
@given(batches)
async def test_of_an_array_nothing_is_lost(sent):
    """Every event that differs from all others, by id or content, is in the spool at least once, in whatever arrays it came."""
    bench = make_bench()
    for batch in sent:
        body = [event(uid="1000000000", n=content, request_id=f"id-{name}") for name, content in batch]
        assert 200 == (await bench.ingest.take(post(body))).status
    kept = {
        (each.query.split("request_id=id-")[1][0], orjson.loads(each.body)["n"])
        for each in await bench.spooled()
    }
    assert {each for batch in sent for each in batch} == kept
    bench.close()
