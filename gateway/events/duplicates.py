"""Which events have come before: clients send again what they saw no answer to, and one event is to be counted once.

What always holds:

- an event counts as having come only when it is durable, in the spool or in the quarantine: what was refused may come again. While the first is
  on its way, the second is not answered; it shares the first's fate (`Mark`);
- a request id by itself proves nothing: pages hard-code one, and count from one with each page. A duplicate has the same id, of the same property and
  the same user, and the same content to the byte. An id that came with another content is no event's own, and nothing is dropped for it any more;
- a link is not an attempt: many may follow the one in a message, mail programs fetch images for their readers, and one reader may come
  twice. No event of a link is a duplicate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import orjson
from xxhash import xxh3_64_intdigest as fingerprint

from gateway.events.cookies import Visitor
from gateway.events.decisions import Mark, Pending, Scope
from gateway.events.model import Request, Stamp
from gateway.events.outcome import Reason, Rejection
from gateway.events.seen import Look

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.decisions import Decision, Prepared
    from gateway.events.model import JsonObject
    from gateway.events.seen import Seen
    from gateway.events.wire import Decoded, Envelope
    from gateway.settings_duplicates import Duplicates as Settings

BY_ID = "request_id"
BY_CONTENT = "content"
_NEW = Look.NEW
_64_BITS = (1 << 64) - 1
_SENT_AT = b'{"sent_at":'
_SENT_TEXT = slice(len(_SENT_AT), len(_SENT_AT) + 13)
_SENT_END = _SENT_TEXT.stop
WORDS = {
    BY_ID: Rejection(
        Reason.DUPLICATE,
        "request_id",
        "came before, with the same content, within duplicates.dedup_window_seconds",
    ),
    BY_CONTENT: Rejection(
        Reason.DUPLICATE, "(content)", "came before, within duplicates.content_window_seconds"
    ),
}


class Sending(msgspec.Struct):
    """What all events of one request share when they are compared. `marks` are those of the events before, by their id as it came and their content."""

    request: Request
    scope: Scope
    stamp: Stamp
    client_ip: str
    is_foreign: bool
    marks: dict[tuple[str, int], Mark] | None
    visitor: Visitor


class Duplicates:
    """Recognises events that came before; `seen` is the memory of it."""

    def __init__(self, settings: Settings, seen: Seen) -> None:
        self._seen = seen
        self._seed = seen.seed
        self._id_window = settings.dedup_window_seconds
        self._content_window = settings.content_window_seconds
        self._under_way: dict[int, Mark] = {}

    def mark(
        self,
        sending: Sending,
        decoded: Decoded,
        index: int,
        fields: JsonObject,
        uid: str,
        event_id: str,
        request_id: str,
        *,
        is_as_it_came: bool,
    ) -> Mark | None:
        """Give what an event is known by, and whether it came before; `None` where nothing is looked for.

        `uid` is its own, empty for none: then the visitor's counts, and where there is neither, address and program tell who sent it. `request_id` is `event_id` where the
        client gave none. `is_as_it_came`: of the request's text nothing was taken out that another attempt says otherwise; else it was `sent_at`.
        """
        has_id = request_id is not event_id
        window = self._id_window if has_id else self._content_window
        request, envelope, seed = sending.request, sending.scope.envelope, self._seed
        head = request.head
        if (
            not window
            or envelope.response_type == "redirect"
            or (sending.is_foreign and _is_link(envelope, head.method, head.fetch_mode))
        ):
            return None
        text = None
        if head.method == "POST" and not (decoded.is_batch or head.content_encoding or envelope.fields):
            text = memoryview(request.body)[1:] if is_as_it_came else _behind_sent_at(request.body)
        # Without the brace that each begins with, so that a text whose beginning is cut off needs no copy.
        content = fingerprint(text or memoryview(orjson.dumps(fields))[1:], seed)
        if sending.scope.behind_id:
            # What is handed on to the collector beside the event.
            content ^= fingerprint(sending.scope.behind_id.encode("utf-8", "replace"), seed)
        if not uid:
            # Its own stands in its content.
            whose = sending.visitor.uid or f"\0{sending.client_ip}\0{head.user_agent}"
            content ^= fingerprint(whose.encode("utf-8", "replace"), ~seed & _64_BITS)
        told = request_id if has_id else f"\0{content}"
        key = fingerprint(
            f"{told}\0{envelope.prop_id}\0{envelope.portal_id}".encode("utf-8", "replace"), seed
        )
        mark = Mark(key, content, BY_ID if has_id else BY_CONTENT, window)
        first = self._under_way.get(key)
        if decoded.is_batch:
            first = (
                _before(sending, mark, _as_it_came(decoded, index) or request_id if has_id else told) or first
            )
        if first is None:
            look = self._seen.look(key, content, sending.stamp.now_ms // 1000, window)
        else:
            look = Look.SAME if first.check == content else Look.OTHER
        if look is _NEW:
            return mark
        if look is Look.SAME:
            # What repeats a repeat waits for the same first attempt: a repeat itself is never settled.
            mark.is_repeat, mark.first = True, first.first if first is not None and first.is_repeat else first
        else:
            mark.is_shared = True
        return mark

    def begin(self, prepared: Prepared) -> None:
        """Know the events of a request as under way: `settle` must follow, whatever becomes of them."""
        for each in prepared.events:
            if isinstance(each, Pending) and (mark := each.mark) is not None and not mark.is_repeat:
                self._under_way.setdefault(mark.key, mark)

    def settle(self, prepared: Prepared, decision: Decision) -> Sequence[Mark]:
        """Remember those events of a request that are durable now, tell those that wait for them, and give the marks of the request's own duplicates."""
        repeats: tuple[Mark, ...] = ()
        for each, verdict in zip(prepared.events, decision.verdicts, strict=True):
            if each.__class__ is not Pending or (mark := each.mark) is None:
                continue
            if mark.is_repeat:
                repeats = (*repeats, mark)
                continue
            key = mark.key
            if self._under_way.get(key) is mark:
                del self._under_way[key]
            mark.fate = verdict.rejection
            mark.is_kept = verdict.is_kept
            if mark.is_kept:
                self._seen.remember(key, mark.check, prepared.stamp.now_ms // 1000, mark.window_s)
            if mark.waiting:
                waiting, mark.waiting = mark.waiting, ()
                for tell in waiting:
                    tell()
        return repeats


def _behind_sent_at(body: bytes) -> memoryview | None:
    """Give an event's text from behind the moment of its sending, where that stands first, as our script writes it; `None` where it does not.

    It is as the event would be written without it, so that it is known again when it comes in an array.
    """
    is_first = body.startswith(_SENT_AT) and body[_SENT_TEXT].isdigit() and body.startswith(b',"', _SENT_END)
    return memoryview(body)[_SENT_END + 1 :] if is_first else None


def opened(settings: Settings, seen: Seen | None) -> Duplicates | None:
    """Give what recognises duplicates, where the settings want it and there is a memory for it."""
    return Duplicates(settings, seen) if settings.is_on and seen is not None else None


def remark(pending: Pending, mark: Mark) -> bool:
    """Say in an event's line of the log by which rule it is a duplicate, or that its id is not its own, so that an engineer sees why none is dropped.

    Gives whether it is a duplicate.
    """
    if mark.is_repeat:
        pending.remarks["duplicate_by"] = mark.rule
        pending.tallies.append(("duplicates", mark.rule))
    elif mark.is_shared:
        pending.remarks["request_id_shared"] = True
        pending.tallies.append(("duplicates", "shared_id"))
    return mark.is_repeat


def failed(pending: Pending) -> Rejection | None:
    """Say of a duplicate why its first attempt was not kept, where that is so; of all others nothing."""
    mark = pending.mark
    first = mark.first if mark is not None and mark.is_repeat else None
    return first.fate if first is not None and not first.is_kept else None


def _before(sending: Sending, mark: Mark, told: str) -> Mark | None:
    """Give the first of two of one array with one id and content: they were told apart by their place in it."""
    if sending.marks is None:
        sending.marks = {}
    before = sending.marks.setdefault((told, mark.check), mark)
    return None if before is mark or before.is_shared else before


def _is_link(envelope: Envelope, method: str, fetch_mode: str) -> bool:
    """Tell of a request that no page of the property has made whether a person followed a link, or opened a message with an image.

    What a program asks for by name, without a browser (`Sec-Fetch-…`), is an app's or a server's own.
    """
    if method != "GET":
        return False
    return envelope.response_type == "pixel" or not envelope.explicit_type or bool(fetch_mode)


def _as_it_came(decoded: Decoded, index: int) -> str:
    """Give the id that an event of an array has for itself, without the number that tells it from others with the same."""
    own = decoded.own_ids[index] if decoded.own_ids else ""
    bare = own.removesuffix(f".{index}")
    return bare if bare != own and bare in decoded.own_ids[:index] else own
