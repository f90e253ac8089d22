"""Ingest with a desk: who waits, who does not, and what is said of it."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from gateway.events.model import Answer
from gateway.web.relay import Desk
from tests.builders import event, post
from tests.unit.ingest_fakes import LEDGER_DOWN, SPOOL_DOWN, Bench
from tests.unit.test_relay_policy import JSON, relaying

CANARY = b"canary@example.com"
ANSWER = Answer(200, "", (*JSON, ("set-cookie", "seg=s3cret")), b'{"campaign":"%s"}' % CANARY)


@pytest.fixture
def bench():
    """An ingest in relay mode, whose budget no test waits for."""
    return Bench(relaying(), Desk(60_000))


def waits_for(bench):
    """Give the one event whose answer is awaited."""
    [event_id] = bench.desk._waits
    return event_id


def relayed_counts(bench):
    return {
        sample.labels["result"]: sample.value
        for family in bench.metrics.registry.collect()
        for sample in family.samples
        if sample.name == "tracking_gateway_relayed_total" and sample.value
    }


def submitted(bench, request):
    """Submit a request; gives the list in which its reply will be."""
    replies = []
    bench.ingest.submit(request, replies.append)
    return replies


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


async def test_the_collectors_answer_goes_out_and_the_log_says_so(bench):
    """With the time it took; what the collector said, body or cookie, stands in no log."""
    replies = submitted(bench, post(event(), cookie="seg=mine"))
    await until(lambda: bench.spool.pending)
    [record] = await bench.spooled()
    assert (record.cookie, replies) == ("seg=mine", [])
    assert bench.desk.wants(record)
    bench.desk.answered(record, 1, ANSWER)
    await until(lambda: replies)
    [reply] = replies
    assert reply.body == ANSWER.body
    assert relayed_counts(bench) == {"relayed": 1}
    text = bench.close()
    [line] = [each for each in map(orjson.loads, text.splitlines()) if each["event"] == "event"]
    assert line["relayed"] == "relayed"
    assert 0.0 <= line["relay_ms"] <= line["duration_ms"]
    assert not [secret for secret in (CANARY.decode(), "s3cret", "mine") if secret in text]


async def test_a_sign_in_whose_binding_must_be_written_waits_too(bench):
    """The way through the ledger ends at the desk as well."""
    replies = submitted(bench, post(event("user", "sign_in", dims={"customers": {"customer_id": "c" * 32}})))
    await until(lambda: bench.spool.pending)
    await bench.ingest.drain()
    bench.desk.hear(waits_for(bench), ANSWER)
    assert replies[0].body == ANSWER.body


@pytest.mark.parametrize("answer", [None, Answer(503), Answer(403), Answer(200, "", JSON, b"<html>")])
async def test_whatever_is_wrong_with_the_collector_the_client_sees_a_success(bench, answer):
    """The made-up answer, as without relay."""
    replies = submitted(bench, post(event()))
    await until(lambda: bench.spool.pending)
    bench.desk.hear(waits_for(bench), answer)
    await until(lambda: replies)
    assert (replies[0].status, orjson.loads(replies[0].body)["outcome"]) == (200, "accepted")


async def test_a_spool_that_refuses_is_told_at_once(bench):
    """503 is the gateway's own fault, and nobody waits for an event that was not kept."""
    bench.spool.failure = SPOOL_DOWN
    reply = await bench.ingest.take(post(event()))
    assert reply.status == 503
    assert len(bench.desk) == 0
    assert relayed_counts(bench) == {}


async def test_a_ledger_that_refuses_is_told_at_once(bench):
    """Likewise."""
    bench.ledger.failure = LEDGER_DOWN
    reply = await bench.ingest.take(
        post(event("user", "sign_in", dims={"customers": {"customer_id": "c" * 32}}))
    )
    assert reply.status == 503
    assert len(bench.desk) == 0


@pytest.mark.parametrize(
    "request_",
    [post([event(), event()]), post({"ec": ""}), post(event(cid="a" * 32, extra={"customer_id": "b" * 32}))],
    ids=["array", "malformed", "quarantined"],
)
async def test_what_is_not_relayed_is_answered_at_once(bench, request_):
    """Its log lines say nothing of a relay."""
    await bench.ingest.take(request_)
    assert len(bench.desk) == 0
    assert not [line for line in bench.log("event") if "relayed" in line]


async def test_an_answer_may_be_there_before_the_append_has_returned(bench):
    """It is kept until then: success is never said of what is not durable."""
    bench.spool.is_held = True
    replies = submitted(bench, post(event()))
    bench.desk.hear(waits_for(bench), ANSWER)
    await asyncio.sleep(0)
    assert replies == []
    bench.spool.futures[0].set_result(None)
    await until(lambda: replies)
    assert replies[0].body == ANSWER.body


async def test_whoever_waits_leaves_when_the_gateway_stops(bench):
    """At once, with the made-up answer."""
    replies = submitted(bench, post(event()))
    await until(lambda: bench.spool.pending)
    await asyncio.sleep(0)
    bench.ingest.hurry()
    assert orjson.loads(replies[0].body)["outcome"] == "accepted"
    await bench.ingest.take(post(event()))
    assert relayed_counts(bench) == {"stopped": 2}


async def test_an_answer_that_breaks_the_policy_breaks_no_reply(bench, monkeypatch):
    """A fault of ours is logged without a word of the answer, and the client hears the made-up one."""

    def broken(*_):
        raise ValueError(CANARY.decode())

    monkeypatch.setattr(bench.ingest._relay._policy, "reply", broken)
    replies = submitted(bench, post(event()))
    await until(lambda: bench.spool.pending)
    bench.desk.hear(waits_for(bench), ANSWER)
    await until(lambda: replies)
    assert replies[0].status == 200
    text = bench.close()
    assert '"not_relayed"' in text
    assert CANARY.decode() not in text


async def test_without_a_desk_nobody_waits():
    """The policy alone holds nothing back."""
    bench = Bench(relaying())
    assert (await bench.ingest.take(post(event()))).status == 200
    bench.ingest.hung_up(print)
    bench.ingest.hurry()
