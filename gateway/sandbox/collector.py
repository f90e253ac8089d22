"""A stand-in for the CDP's collector: takes what a gateway forwards, shows it, and fails when it is told to.

It exists so that the whole path can be tried and tested without an account at the vendor. What always holds: an event it
answered with 200 is in the log (until the log's bounds push it out) and counted in `total`; a refused one is in neither;
an event whose request id came before is kept, flagged and counted, and enters no profile twice. Profiles are folded
from the log when somebody asks, in slices, so that taking events never waits for them.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from gateway.events.model import Stamp
from gateway.sandbox.answers import success
from gateway.sandbox.behaviour import BadBehaviour, Behaviour, parse_behaviour
from gateway.sandbox.event_log import EventLog, ReceivedEvent, parse_query
from gateway.sandbox.pages import asset_routes, read_asset, text_handler
from gateway.sandbox.profiles import ProfileBook, event_fields, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

_READABLE_ANYWHERE = {
    # The demo shop is another origin. Only answers to GET carry this: a stranger's page may look, not steer.
    "Access-Control-Allow-Origin": "*",
    "Cache-Control": "no-store",
}
_FOLD_SLICE = 500
_MAX_FOLDED = 1_000_000


def build_collector(
    *,
    max_events: int = 200_000,
    max_bytes: int = 512 * 1024 * 1024,
    clock: Callable[[], int] | None = None,
) -> web.Application:
    """Build the collector's application.

    It holds at most `max_events` events and `max_bytes` of their text; `clock` gives Unix time in milliseconds.

    ======================== ==========================================================================================
    `GET|POST /event`,       take an event; the answer is the wire's object, as JSON, or as `resp_type` says a script or
    `/stream_event`          an image
    `GET /events`            the held events, newest last; `since` (an index), `limit` (alone: the newest N), `uid`
    `GET /profiles`          `{profiles, violations, customer_count, anonymous_count, unattributed, unprofiled}`;
                             `uid`, `cid`, `limit`, and `events`: how many of each, the newest
    `GET /totals`            `{total, held, first_index, duplicates, refused, malformed}`
    `GET|POST /behave`       see `Behaviour`
    `POST /reset`            forget everything, and be healthy
    `GET /`                  all of it for people
    ======================== ==========================================================================================
    """
    collector = _Collector(max_events, max_bytes, clock or (lambda: time.time_ns() // 1_000_000))
    app = web.Application(client_max_size=4 * 1024 * 1024)
    for path in ("/event", "/stream_event"):
        app.router.add_get(path, collector.take, allow_head=False)
        app.router.add_post(path, collector.take)
    app.add_routes(
        [
            web.get("/events", collector.show_events),
            web.get("/profiles", collector.show_profiles),
            web.get("/totals", collector.show_totals),
            web.get("/behave", collector.show_behaviour),
            web.post("/behave", collector.change_behaviour),
            web.post("/reset", collector.reset),
            web.get("/", text_handler("collector.html", read_asset("collector.html"))),
            *asset_routes(("theme.css", "collector.css", "collector.js", "values.js")),
        ]
    )
    return app


class _State:
    """Everything that a reset replaces."""

    def __init__(self, max_events: int, max_bytes: int) -> None:
        self.log = EventLog(max_events, max_bytes, max_request_ids=1_000_000)
        self.book = ProfileBook()
        self.folding = asyncio.Lock()
        self.folded_to = 0
        self.folded = 0
        self.unprofiled = 0
        self.refused = 0
        self.malformed = 0
        self.behaviour = Behaviour()

    async def fold(self) -> None:
        """Bring the profiles up to the log, giving way to arriving events after every slice."""
        async with self.folding:
            goal = self.log.total
            while self.folded_to < goal:
                start = max(self.folded_to, self.log.first_index)
                self.unprofiled += start - self.folded_to
                events = self.log.since(start, _FOLD_SLICE)
                for event in events:
                    self._fold_one(event)
                self.folded_to = start + len(events)
                await asyncio.sleep(0)

    def _fold_one(self, event: ReceivedEvent) -> None:
        if event.is_duplicate:
            return
        if self.folded >= _MAX_FOLDED:
            self.unprofiled += 1
            return
        self.folded += 1
        body = orjson.loads(event.body) if event.body else None
        fields = event_fields(parse_query(event.query), body)
        self.book.add(event.event_id, Stamp(event.received_ms, 0).received_at, fields)


class _Collector:
    """The handlers, around one state."""

    def __init__(self, max_events: int, max_bytes: int, clock: Callable[[], int]) -> None:
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._clock = clock
        self._state = _State(max_events, max_bytes)

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Take one event, or refuse it as the behaviour says."""
        body = await request.read()
        if latency_ms := self._state.behaviour.latency_ms:
            await asyncio.sleep(latency_ms / 1000)
        # Read after the wait: a reset or a new behaviour in the meantime counts.
        state = self._state
        behaviour = state.behaviour
        if behaviour.down:
            state.refused += 1
            _cut(request)
            return web.Response(status=503)
        if (status := behaviour.refusal) is not None:
            state.refused += 1
            state.behaviour = behaviour.after_refusal()
            headers = {} if behaviour.retry_after is None else {"Retry-After": str(behaviour.retry_after)}
            return _json({"error": "refused, as /behave says"}, status=status, headers=headers)
        query_text = request.rel_url.raw_query_string
        query = parse_query(query_text)
        try:
            fields: Any = orjson.loads(body) if body else query
        except orjson.JSONDecodeError as error:
            state.malformed += 1
            return _json({"error": f"the body is not JSON: {error}"}, status=400)
        if not isinstance(fields, dict):
            state.malformed += 1
            return _json({"error": "the body must be a JSON object"}, status=400)
        uid = text_of(fields.get("uid")) or query.get("uid", "")
        request_id = query.get("request_id") or text_of(fields.get("request_id"))
        state.log.append(
            received_ms=self._clock(),
            query=query_text,
            body=body,
            uid=uid,
            request_id=request_id,
            user_agent=request.headers.get("User-Agent", ""),
            forwarded_for=request.headers.get("X-Forwarded-For", ""),
            cookie=request.headers.get("Cookie", ""),
        )
        answer = {
            "type": "event",
            "au_id": uid,
            "aid": text_of(fields.get("aid")) or uid,
            "session_id": text_of(fields.get("sid")),
            "client_id": query.get("portal_id") or text_of(fields.get("portal_id")),
            "request_id": request_id,
        }
        if behaviour.reset_body:
            return await _answer_halfway(request, answer)
        return success(query.get("resp_type", ""), answer, behaviour)

    async def show_events(self, request: web.Request) -> web.Response:
        """List the held events, newest last."""
        log = self._state.log
        since, limit = _count_in(request, "since"), _count_in(request, "limit")
        uid = request.query.get("uid")
        if since is None and uid is None and limit is not None:
            events = log.newest(limit)
        else:
            events = log.since(since or 0, limit if uid is None else None)
        if uid is not None:
            events = [event for event in events if event.uid == uid][:limit]
        return _json(
            [_event_as_json(event) for event in events],
            headers={
                **_READABLE_ANYWHERE,
                "X-Total-Count": str(log.total),
                "Access-Control-Expose-Headers": "X-Total-Count",
            },
        )

    async def show_profiles(self, request: web.Request) -> web.Response:
        """List the profiles, the one seen last first, and the violations, newest last."""
        limit, max_events = _count_in(request, "limit"), _count_in(request, "events")
        state = self._state
        await state.fold()
        profiles = state.book.profiles(
            uid=request.query.get("uid"), cid=request.query.get("cid"), limit=limit, max_events=max_events
        )
        return _json(
            {
                "profiles": profiles,
                "violations": [violation._asdict() for violation in state.book.violations],
                **state.book.counts(),
                "unattributed": state.book.unattributed,
                "unprofiled": state.unprofiled,
            },
            headers=_READABLE_ANYWHERE,
        )

    async def show_totals(self, _request: web.Request) -> web.Response:
        """Say how much came in since the last reset."""
        state = self._state
        totals = {
            "total": state.log.total,
            "held": state.log.total - state.log.first_index,
            "first_index": state.log.first_index,
            "duplicates": state.log.duplicates,
            "refused": state.refused,
            "malformed": state.malformed,
        }
        return _json(totals, headers=_READABLE_ANYWHERE)

    async def show_behaviour(self, _request: web.Request) -> web.Response:
        """Say how events are treated now."""
        return _json(_as_object(self._state.behaviour), headers=_READABLE_ANYWHERE)

    async def change_behaviour(self, request: web.Request) -> web.Response:
        """Replace the behaviour."""
        parsed = parse_behaviour(await request.read())
        if isinstance(parsed, BadBehaviour):
            return _json({"error": parsed.message, "field": parsed.field}, status=400)
        self._state.behaviour = parsed
        return _json(_as_object(parsed))

    async def reset(self, _request: web.Request) -> web.Response:
        """Forget everything."""
        self._state = _State(self._max_events, self._max_bytes)
        return _json({"reset": True})


def _event_as_json(event: ReceivedEvent) -> dict[str, Any]:
    cookies = {"Cookie": event.cookie} if event.cookie else {}
    return {
        "index": event.index,
        "received_at": Stamp(event.received_ms, 0).received_at,
        "query": parse_query(event.query),
        "body": orjson.Fragment(event.body) if event.body else {},
        "headers": {"User-Agent": event.user_agent, "X-Forwarded-For": event.forwarded_for, **cookies},
        "duplicate": event.is_duplicate,
    }


def _as_object(behaviour: Behaviour) -> dict[str, Any]:
    return {field: getattr(behaviour, field) for field in behaviour.__struct_fields__}


def _count_in(request: web.Request, name: str) -> int | None:
    """Read a query parameter that counts something, or raise the 400 that names it."""
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        error = orjson.dumps({"error": f"{name} must be a whole number, zero or more", "field": name})
        raise web.HTTPBadRequest(
            text=error.decode(), content_type="application/json", headers=_READABLE_ANYWHERE
        )
    return int(text)


def _json(payload: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        body=orjson.dumps(payload), status=status, content_type="application/json", headers=headers
    )


def _cut(request: web.Request) -> None:
    """Close the connection at once, without a word."""
    if request.transport is not None:
        request.transport.abort()


async def _answer_halfway(request: web.Request, answer: dict[str, Any]) -> web.StreamResponse:
    """Begin an answer and break the connection in its middle."""
    body = orjson.dumps(answer)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    _cut(request)
    return response
