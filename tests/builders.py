"""Small builders for tests: settings, requests and stamps with the few values that a test cares about."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import orjson

from gateway import settings
from gateway.events.model import Binding, Head, Request, Stamp
from gateway.events.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.decisions import Decision, Prepared

PORTAL_ID = "33167"
PROP_ID = "556300706"
QUERY = f"portal_id={PORTAL_ID}&prop_id={PROP_ID}&resp_type=json&format=json"
ORIGIN = "https://www.shop.example"
STAMP = Stamp(now_ms=1_790_000_000_123, entropy=0xA5A5_1234_5678_9ABC_DEF0_1122_3344_5566_7788_99AA)
COOKIE_KEY = "t1:0123456789abcdef0123456789abcdef"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"


def make_settings(**sections: Any) -> settings.Settings:
    """Give settings for one shop; sections may be given as dictionaries."""
    values: dict[str, Any] = {
        "properties": (
            {
                "portal_id": PORTAL_ID,
                "prop_id": PROP_ID,
                "site": "shop.example",
                "origins": (ORIGIN, "https://shop.example"),
                "redirect_hosts": ("shop.example", "*.shop.example"),
                # Most tests send bare events, and look at cookies that are not a session's.
                "makes_sessions": False,
            },
        ),
        "cookies": {"keys": (COOKIE_KEY,)},
        # Time stands still in most tests, and a bucket does not fill then.
        "limits": {"uid_events_per_second": 0},
        **sections,
    }
    return settings.Settings.model_validate(values)


@functools.cache
def shop_pipeline() -> Pipeline:
    """Give the pipeline of the default settings; compiling its rules takes a moment, so tests share it."""
    return Pipeline(make_settings())


def event(category: str = "pageview", action: str = "view", /, **fields: Any) -> dict[str, Any]:
    """Give an event's fields as a page sends them."""
    return {"uid": "1234567890123", "ec": category, "ea": action, **fields}


def post(fields: Any, query: str = QUERY, **head: str) -> Request:
    """Give the POST of an event; bytes go as they are."""
    body = fields if isinstance(fields, bytes) else orjson.dumps(fields)
    values = {"path": "/event", "peer": "203.0.113.9", "host": "track.shop.example", "origin": ORIGIN, **head}
    return Request(Head(method="POST", query=query, **values), body)


def get(query: str, **head: str) -> Request:
    """Give the GET of an event."""
    values = {"path": "/event", "peer": "203.0.113.9", "host": "track.shop.example", **head}
    return Request(Head(method="GET", query=query, **values))


def decide(
    request: Request, bound: str | None = None, *, pipeline: Pipeline | None = None, **sections: Any
) -> tuple[Prepared, Decision]:
    """Play a request through the pipeline; `bound` is the CID that its UID has already."""
    line = pipeline or (Pipeline(make_settings(**sections)) if sections else shop_pipeline())
    prepared = line.prepare(request, STAMP)
    return prepared, line.decide(prepared, bindings(prepared, bound))


def bindings(prepared: Prepared, bound: str | None) -> Sequence[Binding]:
    """Answer a request's claims like a ledger in which every UID is bound to `bound`, or to nobody yet."""
    return [
        Binding(bound) if bound else Binding(claim.cid, claim.cid is not None) for claim in prepared.claims
    ]


def forwarded(decision: Decision) -> dict[str, Any]:
    """Give the event as the collector will read it: accepted, or held with what a release would send."""
    verdict = decision.verdicts[0]
    record = verdict.record or (verdict.entry.record if verdict.entry else None)
    assert record is not None, verdict.rejection
    fields: dict[str, Any] = orjson.loads(record.body)
    return fields
