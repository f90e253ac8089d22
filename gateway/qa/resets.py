"""Sign-outs without a reset: what comes after them still counts as the customer's who has left.

What always holds: a reset counts that comes a few seconds before a sign-out or after it; a sign-out after which nothing came under the same UID says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from gateway.qa.browsers import Browsers
from gateway.qa.findings import Finding
from gateway.qa.session import Looks, found
from gateway.qa.sign_outs import SignOuts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.qa.calls import Call
    from gateway.qa.session import Examined, Sight
    from gateway.settings import Settings

_PATIENCE_MS = 5_000


class _Left(msgspec.Struct):
    """A sign-out that waits for its reset: the UID that it ends, its call, and what came under the UID since."""

    uid: str
    call: int
    at_ms: int
    after: Finding | None = None


class Resets(Looks):
    """Looks for the reset at each sign-out, by browser."""

    def __init__(self, settings: Settings) -> None:
        self._browsers, self._sign_outs = Browsers(settings), SignOuts(settings)
        self._left: dict[int, _Left] = {}
        self._reset_ms: dict[int, int] = {}

    def event(self, sight: Sight) -> Iterator[Finding]:
        """Look at one event."""
        now_ms = sight.call.started_ms
        seen = self._browsers.see(sight)
        yield from self._due(now_ms)
        if seen is None:
            return
        number = seen.browser.number
        if seen.how == "reset":
            self._reset_ms[number] = now_ms
            self._left.pop(number, None)
            return
        left = self._left.get(number)
        if self._sign_outs.tracks(sight):
            self._begin(number, seen.uid, sight.call)
        elif left is not None and left.uid == seen.uid and left.after is None:
            left.after = found(
                "reset-missing",
                sight.call.number,
                "uid",
                "this event comes after a sign-out, under the UID of the customer who has left",
                event=sight.index,
                other=left.call,
            )
            yield from self._due(now_ms)

    def heard(self, examined: Examined) -> Iterator[Finding]:
        """Hear an answer."""
        self._browsers.heard(examined)
        return iter(())

    def passed(self, call: Call) -> Iterator[Finding]:
        """Hear of a call that is not tracking."""
        self._browsers.passed(call)
        yield from self._due(call.started_ms)
        browser = self._browsers.at(call) if self._sign_outs.calls(call) else None
        if browser is not None and browser.uid:
            self._begin(browser.number, browser.uid, call)

    def end(self) -> Iterator[Finding]:
        """Say which sign-outs have waited in vain."""
        left, self._left = self._left, {}
        for each in left.values():
            if each.after is not None:
                yield each.after

    def _begin(self, number: int, uid: str, call: Call) -> None:
        reset_ms = self._reset_ms.get(number)
        if reset_ms is not None and call.started_ms - reset_ms <= _PATIENCE_MS:
            return
        # A page that calls and tracks it signs out once.
        self._left.setdefault(number, _Left(uid, call.number, call.started_ms))

    def _due(self, now_ms: int) -> Iterator[Finding]:
        """Give what can't be mended any more."""
        for number, left in list(self._left.items()):
            if left.after is not None and now_ms - left.at_ms > _PATIENCE_MS:
                del self._left[number]
                yield left.after
