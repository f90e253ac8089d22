"""What each step of an event costs by itself, in this process, with the traffic of the comparison.

Steps that are counted add up to what an event costs; the others are parts of the one above them, or special cases, and
explain it. The edges (HTTP, ledger, spool, forwarder) are the product's own, on a real disk and on loopback.
"""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from benchmarks.stopwatch import Stopwatch
from benchmarks.traffic import COOKIE_KEY, ORIGIN, PORTAL_ID, PROP_ID, SITE, make_hits
from gateway import settings
from gateway.events.enrichment import Enricher
from gateway.events.identity import Identities
from gateway.events.model import Binding, Stamp
from gateway.events.occasion import Occasion
from gateway.events.pipeline import Pipeline
from gateway.events.shapes import Shapes, field_problem
from gateway.events.world import NO_WORLD

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.traffic import Hit
    from gateway.events.decisions import Decision, Prepared
    from gateway.events.model import JsonObject, Record, Request

EVENTS = 1_000
"""How many events one timing runs over."""

Arguments = list[tuple[Any, ...]]


class Step(msgspec.Struct, frozen=True):
    """One row: its name, CPU microseconds an event, whether it is part of the sum, a remark, and its name in `in_place`."""

    name: str
    us: float
    is_counted: bool = True
    note: str = ""
    place: str = ""


class Bench:
    """What the steps share: the settings of one shop, the pipeline, and events in any state of their way."""

    def __init__(self, repeats: int, uids: int) -> None:
        self.watch = Stopwatch(repeats)
        property_ = settings.Property(portal_id=PORTAL_ID, prop_id=PROP_ID, site=SITE, origins=(ORIGIN,))
        # The environment is not asked: it may hold the settings of this machine's own gateway.
        self.settings = settings.Settings.model_construct(
            properties=(property_,), cookies=settings.Cookies(keys=(COOKIE_KEY,))
        )
        self.pipeline = Pipeline(self.settings)
        hits = make_hits(uids)
        self.mix = hits[:EVENTS]
        self.pages = [hit for hit in hits if not hit.is_sign_in][:EVENTS]
        self.sign_ins = [hit for hit in hits if hit.is_sign_in][:EVENTS]
        self._numbers = itertools.count()

    def requests(self) -> list[Request]:
        """Give fresh requests of the usual mix."""
        return [hit.request(f"{next(self._numbers):032x}") for hit in self.mix]

    def prepared(self) -> list[Prepared]:
        """Give fresh events up to the claim."""
        return [self.pipeline.prepare(request, fresh_stamp()) for request in self.requests()]

    def decided(self) -> list[tuple[Prepared, Decision]]:
        """Give fresh events with their fate, all accepted."""
        return [(each, self.pipeline.decide(each, unbound(each))) for each in self.prepared()]

    def records(self) -> list[Record]:
        """Give fresh events as the spool keeps them."""
        return [each.record for _, decision in self.decided() for each in decision.verdicts if each.record]


def fresh_stamp() -> Stamp:
    """Give a moment and randomness for one request."""
    return Stamp(time.time_ns() // 1_000_000, int.from_bytes(os.urandom(20), "big"))


def unbound(prepared: Prepared) -> list[Binding]:
    """Answer claims like a ledger that knows nobody yet."""
    return [Binding(claim.cid, claim.cid is not None) for claim in prepared.claims]


def pure_steps(bench: Bench) -> list[Step]:
    """Time the pipeline, which does no I/O: from the request to the bytes that will be kept, and the reply."""
    each, pipeline = bench.watch.each, bench.pipeline
    pack = msgspec.msgpack.Encoder().encode
    return [
        Step(
            "prepare: decode, screen, claim",
            each(pipeline.prepare, lambda: [(request, fresh_stamp()) for request in bench.requests()]),
            place="prepare",
        ),
        *_parts_of_prepare(bench),
        Step(
            "decide: enrich, encode, reply",
            each(pipeline.decide, lambda: [(prepared, unbound(prepared)) for prepared in bench.prepared()]),
            place="decide",
        ),
        *_parts_of_decide(bench),
        Step("pack the record", each(pack, lambda: [(record,) for record in bench.records()])),
    ]


def part(name: str, us: float, note: str = "", place: str = "") -> Step:
    """Give a row that explains the one above it and is not added up."""
    return Step(name, us, is_counted=False, note=note, place=place)


def _parts_of_prepare(bench: Bench) -> list[Step]:
    each, server, identity = bench.watch.each, bench.settings.server, bench.settings.identity
    shapes = Shapes(max_keys=server.max_keys, max_depth=server.max_depth, max_batch=server.max_batch)
    identities = Identities(identity)

    def identify(fields: JsonObject, body: bytes) -> None:
        identities.identify(fields, may_hold_fields=identities.mentions_fields(body))

    def decoded(hits: Sequence[Hit]) -> Callable[[], Arguments]:
        return lambda: [(orjson.loads(hit.body), hit.body) for hit in hits]

    new_address = bench.watch.each(
        # One that has seen no address yet does the same work as for an address that was never seen.
        lambda fields, fresh: fresh.identify(fields, may_hold_fields=True),
        lambda: [(orjson.loads(hit.body), Identities(identity)) for hit in bench.sign_ins[:200]],
    )
    return [
        part("JSON", each(orjson.loads, lambda: [(hit.body,) for hit in bench.mix])),
        part("JSON within its bounds", each(shapes.parse, lambda: [(hit.body, "") for hit in bench.mix])),
        part(
            "types of the fields",
            each(field_problem, lambda: [(orjson.loads(hit.body),) for hit in bench.mix]),
        ),
        part(
            "may it hold an address?",
            each(identities.mentions_fields, lambda: [(hit.body,) for hit in bench.mix]),
        ),
        part("identify, a page or product view", each(identify, decoded(bench.pages))),
        part("identify, a sign-in, address seen before", each(identify, decoded(bench.sign_ins))),
        part("identify, a sign-in, new address", new_address, "libphonenumber, once for each address"),
    ]


def _parts_of_decide(bench: Bench) -> list[Step]:
    each, enricher, stamp = bench.watch.each, Enricher(NO_WORLD), fresh_stamp()
    numbers = itertools.count()

    def enrich(fields: JsonObject, request: Request) -> None:
        occasion = Occasion(request.head, "127.0.0.1", stamp.now_ms, stamp.received_at)
        enricher.enrich(fields, occasion, "0" * 36)

    return [
        part("enrich", each(enrich, lambda: [(orjson.loads(r.body), r) for r in bench.requests()])),
        part(
            "device of a new user agent",
            each(
                enricher.devices.device,
                lambda: [(f"{hit.user_agent} n/{next(numbers)}",) for hit in bench.mix],
            ),
            "ua-parser, once for each user agent",
        ),
        part(
            "JSON of the record",
            each(orjson.dumps, lambda: [(orjson.loads(r.body),) for r in bench.records()]),
        ),
    ]
