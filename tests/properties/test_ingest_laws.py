"""Laws of taking events, over requests as no page should send them: each event one fate, nothing raw, nothing raised."""

from __future__ import annotations

import asyncio
import functools
import json
import re
from collections import Counter
from urllib.parse import urlencode

import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.events.model import Head, Request
from gateway.events.pipeline import Pipeline
from tests.builders import ORIGIN, PORTAL_ID, PROP_ID, make_settings
from tests.unit.ingest_fakes import LEDGER_DOWN, QUARANTINE_DOWN, SPOOL_DOWN, Bench

# As people and pages type one address; none of it may be read in a log or an answer.
CANARIES = (
    "canary.nguyen@example.com", "  Canary.Nguyen@Example.COM ", "CANARY@bücher.example", "canary@localhost",
    "canary+tag@example.com", "<canary@example.com>", "canary@example.com,canary@example.org", "canary\uff20example.com",
)  # fmt: skip
canaries = st.sampled_from(CANARIES)
hashes = st.sampled_from(["d41d8cd98f00b204e9800998ecf8427e", "A" * 32, "b" * 64, "c" * 40])
texts = st.text(max_size=20) | st.sampled_from(
    ["", " ", "undefined", "\x00", "\u202e", "🙂", "ß", "I\u0307", "\ud800"]
)
numbers = st.integers() | st.sampled_from([0, -1, 2**63, 2**64, 10**40]) | st.floats(allow_nan=False)
scalars = st.none() | st.booleans() | numbers | texts
anything = st.recursive(
    scalars,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(texts, children, max_size=4),
    max_leaves=12,
)
# In a field that is for an address, also what is none.
identities = (
    st.sampled_from(CANARIES[:-1])
    | hashes
    | st.just("canary@")
    | st.sampled_from(["0912345678", "+84 912 345 678", "42"])
)

customer = st.fixed_dictionaries(
    {},
    optional={
        "customer_id": identities | anything,
        "id": identities | anything,
        "email": identities | st.lists(canaries) | anything,
        "phone": identities | anything,
        "Email": canaries,
        "name": texts,
        "nested": st.fixed_dictionaries({"email": canaries}),
    },
)
dims = st.fixed_dictionaries(
    {},
    optional={
        "customers": customer | anything,
        "purchase": st.fixed_dictionaries({"customer_id": identities}) | anything,
        "users": anything,
    },
)
item = (
    customer
    | st.fixed_dictionaries({"type": st.sampled_from(["customers", "lead", "product", 1])})
    | anything
)
extra = st.fixed_dictionaries(
    {},
    optional={
        "customer_id": identities | anything,
        "identify_id": identities | anything,
        "identify_type": st.sampled_from(["exact", "predict"]) | anything,
        "email": canaries | anything,
        "campaign": anything,
    },
)
known = {
    "uid": st.sampled_from(["1", "1000000000001", "1000000000002"]) | identities | anything,
    "aid": identities | anything,
    "cid": identities | anything,
    "sid": canaries | anything,
    "en": canaries | anything,
    "et": anything,
    "items": st.lists(item, max_size=3) | anything,
    "dims": dims | st.lists(dims | customer, max_size=3) | anything,
    "extra": extra | anything,
    "context": anything,
    "email": canaries | anything,
    "phone": identities | anything,
    "portal_id": st.sampled_from([PORTAL_ID, 33167]) | canaries | anything,
    "prop_id": st.sampled_from([PROP_ID]) | anything,
    "request_id": identities | anything,
    "is_s2s": anything,
    "redirect_url": anything,
}
events = st.fixed_dictionaries(
    {
        "ec": st.sampled_from(["user", "user", "product", "pageview"]) | canaries | anything,
        "ea": st.sampled_from(["sign_in", "view", "reset_anonymous_id"]) | canaries | anything,
    },
    optional=known,
)
# Most are sound but for one thing: those come furthest.
nearly_sound = st.builds(
    lambda fields: {"ec": "user", "ea": "sign_in", "uid": "1000000000001", **fields},
    st.sampled_from(sorted(known)).flatmap(lambda name: st.fixed_dictionaries({name: known[name]})),
)
payloads = st.one_of(nearly_sound, events, st.lists(nearly_sound | events | anything, max_size=6), anything)
# A planted address, whole or in part, up to its sign; what a mutation left of one without a sign is no address any more.
ADDRESS = re.compile(r"(?i)canary[^\s\"',;:<>]{0,30}?(?:@|\uff20|%(?:25)*40)")


@st.composite
def bodies(draw):
    """JSON as Python writes it (lone surrogates and huge numbers too), whole or with a few bytes changed."""
    body = json.dumps(draw(payloads)).encode()
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 3]))):
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=3)) + body[at + draw(st.integers(0, 3)) :]
    return body


def as_parameter(value):
    """Give a value as a page puts it into a query string."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text.encode("utf-8", "replace").decode()


@st.composite
def queries(draw, *, holds_event):
    """A query string: mostly a known property's, with the event itself for a GET, sometimes with bytes changed."""
    values = {"portal_id": PORTAL_ID, "prop_id": PROP_ID}
    values["resp_type"] = draw(st.sampled_from(["json", "json", "pixel", "javascript", "redirect", "", "?"]))
    if holds_event:
        values |= {name: as_parameter(value) for name, value in draw(nearly_sound | events).items()}
    else:
        values |= draw(
            st.dictionaries(st.sampled_from(["email", "phone", "delivery_src", "is_s2s"]), canaries)
        )
    text = urlencode(values)
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.text("%&=+#[]a0\u00e9", max_size=4)) + text[at:]
    return text


@st.composite
def requests(draw):
    """Any request that a transport may hand over: its head is valid Unicode, all else is the client's."""
    method = draw(st.sampled_from(["POST", "POST", "GET"]))
    words = st.text(max_size=30) | canaries
    head = Head(
        method=method,
        path=draw(st.sampled_from(["/event", "/stream_event"])),
        query=draw(queries(holds_event=method == "GET")),
        peer=draw(st.sampled_from(["203.0.113.9", "::1", "", "fe80::1%eth0"])),
        origin=draw(st.sampled_from([ORIGIN, "null", "https://evil.example"]) | words),
        referer=draw(st.just("https://www.shop.example/?utm_source=x&email=canary@example.com") | words),
        user_agent=draw(words),
        accept_language=draw(words),
        content_type=draw(
            st.sampled_from(["application/json", "text/plain", "application/x-www-form-urlencoded"])
        ),
        cookie=draw(st.sampled_from(["_asm_uid=555", "_asm_uid=canary@example.com", "a=b; ;;=", ""]) | words),
        forwarded_for=draw(st.just("198.51.100.7, 10.0.0.1") | words),
    )
    return Request(head, draw(bodies()) if method == "POST" else b"")


def fate_count(reply):
    """Give how many events a request was, as its answer says: an array's answer has one result for each."""
    if dict(reply.headers).get("Content-Type") == "application/json":
        return len(orjson.loads(reply.body).get("results", [None]))
    return 1


@functools.cache
def pipeline(policy):
    """Give the pipeline under one way to treat conflicts; each has a few other settings that differ too."""
    identity = {
        "quarantine": {},
        "new_uid": {
            "on_alias": "quarantine",
            "derive_cid_from": ["name", "phone", "email"],
            "cid_hash": "sha256",
        },
        "strip": {
            "hash_keys": ["b:0123456789abcdef", "a:0123456789abcdeg"],
            "cid_hash": "hmac-sha256",
            "field_hash": "hmac-sha256",
            "norms": {"email": ["meta", "google"], "phone": ["tiktok"], "name": ["meta"]},
            "fields": {"name": "drop"},
        },
    }[policy]
    return Pipeline(make_settings(identity={"on_conflict": policy, **identity}))


def play(given_requests, policy, failing=()):
    """Take the requests in turn, with the stores failing as told; give the bench, the replies and the records.

    After the third request the ledger's first customer is erased: later events come with a UID that has a tombstone.
    """

    async def run():
        bench = Bench(pipeline(policy))
        replies = []
        for number, request in enumerate(given_requests):
            if number == 3:
                bench.ledger.failure = None
                for row in list(bench.ledger.export())[:1]:
                    await bench.ledger.erase(row.portal_id, uid=row.uid, reason="asked", now_ms=1)
            parts = failing[number % len(failing)] if failing else ()
            bench.ledger.failure = LEDGER_DOWN if "ledger" in parts else None
            bench.spool.failure = SPOOL_DOWN if "spool" in parts else None
            bench.quarantine.failure = QUARANTINE_DOWN if "quarantine" in parts else None
            replies.append(await bench.ingest.take(request))
        return bench, replies, await bench.spooled()

    return asyncio.run(run())


policies = st.sampled_from(["quarantine", "new_uid", "strip"])
LAW = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@LAW
@given(st.lists(requests(), min_size=1, max_size=6), policies)
def test_every_event_has_one_fate_and_what_was_kept_is_what_was_promised(given_requests, policy):
    """Law: in = accepted + quarantined + dropped + malformed, in counts, lines and answers; the stores hold just the kept."""
    bench, replies, spooled = play(given_requests, policy)
    text = bench.close()
    lines = [orjson.loads(line) for line in text.splitlines()]
    assert {"event"} == {line["event"] for line in lines}
    counts = bench.counts()
    assert sum(map(fate_count, replies)) == sum(counts.values()) == len(lines)
    assert Counter(f"{line['outcome']}/{line['reason']}" for line in lines) == counts
    ids = {
        outcome: sorted(line["event_id"] for line in lines if line["outcome"] == outcome)
        for outcome in ("accepted", "quarantined")
    }
    assert ids == {
        "accepted": sorted(each.event_id for each in spooled),
        "quarantined": sorted(each.event_id for each in bench.held()),
    }
    assert [] == [reply.status for reply in replies if reply.status >= 500]
    assert not ADDRESS.search(text)
    for reply in replies:
        headers = [
            value for name, value in reply.headers if name not in {"Location", "Access-Control-Allow-Origin"}
        ]
        assert not ADDRESS.search(f"{headers}{reply.body!r}")


@LAW
@given(st.lists(requests(), min_size=1, max_size=8), policies)
def test_no_record_goes_out_under_another_customer_than_its_uid_is_bound_to(given_requests, policy):
    """Law: under each policy, in whatever order, a UID's records name one CID, the ledger's; one without a UID names nobody."""
    bench, _, spooled = play(given_requests, policy)
    bench.close()
    erased = {row.uid for row in bench.ledger.export() if row.erased_ms is not None}
    for record in spooled:
        fields = orjson.loads(record.body)
        if not record.uid:
            assert not {"uid", "aid", "cid", "sid"} & set(fields)
            continue
        if record.uid not in erased:
            bound = bench.ledger.lookup(record.portal_id, record.uid).cid
            assert fields.get("cid") in (None, "", bound)
        assert not ADDRESS.search(f"{fields['uid']} {fields.get('cid')}")


@LAW
@given(st.lists(requests(), min_size=1, max_size=8), policies)
def test_the_audit_log_tells_of_every_binding_and_of_no_address(given_requests, policy):
    """Law: its bind entries are the ledger's bindings, one each, and what it says is made of ids and hashes."""
    bench, _, _ = play(given_requests, policy)
    bench.close()
    entries = list(bench.ledger.audit())
    bound = [(each.uid, each.cid) for each in entries if each.kind == "bind" and not each.is_erased]
    rows = [(row.uid, row.cid) for row in bench.ledger.export() if row.erased_ms is None]
    assert sorted(bound) == sorted(rows)
    assert not ADDRESS.search(str(entries))


STORES = st.frozensets(st.sampled_from(["ledger", "spool", "quarantine"]))


@LAW
@given(st.lists(requests(), min_size=1, max_size=6), policies, st.lists(STORES, min_size=1, max_size=6))
def test_whatever_fails_no_fate_is_missing_and_no_success_is_a_lie(given_requests, policy, failing):
    """Law: with stores that come and go the counts still add up, and everything that was said to be kept is kept."""
    bench, replies, spooled = play(given_requests, policy, failing)
    lines = [line for line in map(orjson.loads, bench.close().splitlines()) if line["event"] == "event"]
    assert sum(map(fate_count, replies)) == sum(bench.counts().values()) == len(lines)
    kept = {
        outcome: {line["event_id"] for line in lines if line["outcome"] == outcome}
        for outcome in ("accepted", "quarantined")
    }
    assert kept["accepted"] == {each.event_id for each in spooled}
    assert kept["quarantined"] == {each.event_id for each in bench.held()}
