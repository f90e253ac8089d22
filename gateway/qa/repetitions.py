"""The same event again: by the gateway's own word, and under another request id a moment later, which is how two snippets in a page send it.

What always holds: an attempt whose first one had no answer, or a server's fault as one, is no repetition: the page may not know that it has arrived. Nor does one
that was left while its event was under way: what comes again under its own request id on the next page is an attempt too. What a page
sends after it was loaded anew, and what is of a server or of a link, is none either.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

import orjson

from gateway.events.outcome import Reason
from gateway.qa.pages import Loads, Page, page_of
from gateway.qa.session import Looks, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.events.model import JsonObject
    from gateway.qa.calls import Call
    from gateway.qa.findings import Finding
    from gateway.qa.session import Examined, Sight

_SOON_MS = 2_000
# The next page is asked for before the one that is left sends its last.
_LEAVING_MS = 5_000
_MOST = 4_096
# What two scripts say differently of one event.
_OF_THE_SENDING = frozenset({"et", "sent_at", "sid", "aid", "context", "request_id"})


class _First(NamedTuple):
    call: int
    at_ms: int


class Repetitions(Looks):
    """Looks for events that came before."""

    def __init__(self) -> None:
        self._loads = Loads()
        self._by_id: OrderedDict[tuple[str, ...], _First] = OrderedDict()
        self._by_content: OrderedDict[tuple[str, ...], _First] = OrderedDict()
        self._failed: set[int] = set()
        self._loaded_ms: dict[str, int] = {}

    def event(self, sight: Sight) -> Iterator[Finding]:
        """Look at one event."""
        if not isinstance(sight.original, dict) or sight.pending is None:
            return
        call, envelope = sight.call, sight.prepared.envelope
        whose = (envelope.portal_id, envelope.prop_id)
        now = _First(call.number, call.started_ms)
        by_id = _put(self._by_id, (*whose, sight.verdict.request_id), now)
        # Of what has no id of its own, the gateway compares the content.
        content = (*whose, sight.verdict.uid, *_content(call, sight.original))
        before = self._by_content.get(content)
        _put(self._by_content, content, now)
        if sight.verdict.reason is Reason.DUPLICATE:
            first = by_id or before
            page = page_of(call, sight.original)
            was_left = by_id is not None and self._loaded_ms.get(page.host, 0) >= by_id.at_ms - _LEAVING_MS
            if first is None or not (was_left or first.call in self._failed):
                rejection = sight.verdict.rejection
                place = rejection.field.strip("()")
                other = first.call if first is not None and first.call != call.number else 0
                yield found(
                    "duplicate-event", call.number, place, rejection.detail, event=sight.index, other=other
                )
            return
        if before is None or envelope.is_s2s or envelope.response_type == "redirect":
            return
        page = page_of(call, sight.original)
        if (
            before.call not in self._failed
            and call.started_ms - before.at_ms <= _SOON_MS
            and not self._loads.since(page, before.call)
        ):
            yield found(
                "duplicate-event",
                call.number,
                "request_id",
                "the same event came a moment before under another request id, as two snippets or two listeners send it",
                event=sight.index,
                other=before.call if before.call != call.number else 0,
            )

    def heard(self, examined: Examined) -> Iterator[Finding]:
        """Hear an answer: after a failure a page sends again, and is right to."""
        heard = examined.heard
        if heard is not None and (heard.failure or heard.status >= 500 or heard.status in {408, 429}):
            self._failed.add(examined.call.number)
        return iter(())

    def passed(self, call: Call) -> Iterator[Finding]:
        """Hear of a call that is not tracking."""
        self._loads.passed(call)
        if self._loads.since(Page(call.host), call.number - 1):
            self._loaded_ms.pop(call.host, None)
            self._loaded_ms[call.host] = call.started_ms
            if len(self._loaded_ms) > _MOST:
                del self._loaded_ms[next(iter(self._loaded_ms))]
        return iter(())


def _put(known: OrderedDict[tuple[str, ...], _First], key: tuple[str, ...], now: _First) -> _First | None:
    """Remember the last one of a kind, and give the one before."""
    before = known.pop(key, None)
    known[key] = now
    if len(known) > _MOST:
        known.popitem(last=False)
    return before


def _content(call: Call, fields: JsonObject) -> tuple[str, str]:
    """Give what makes an event the same: all that it says, and its page, but not when and how it was sent."""
    told = {name: value for name, value in fields.items() if name not in _OF_THE_SENDING}
    return orjson.dumps(told, option=orjson.OPT_SORT_KEYS).decode(), page_of(call, fields).url
