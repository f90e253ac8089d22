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
    """A sign-out that waits for its reset: its call, the UIDs that it may end, by browser, who else may be the one that left, and what came since.

    A call to the site does not say whose browser it is: of several behind one proxy, a reset by any of them will do.
    """

    call: int
    at_ms: int
    uids: dict[int, str]
    there: frozenset[int]
    after: dict[int, Finding] = {}


class Resets(Looks):
    """Looks for the reset at each sign-out, by browser."""

    def __init__(self, settings: Settings) -> None:
        self._browsers, self._sign_outs = Browsers(settings), SignOuts(settings)
        self._left: list[_Left] = []
        self._reset_ms: dict[int, int] = {}

    def event(self, sight: Sight) -> Iterator[Finding]:
        """Look at one event."""
        call = sight.call
        yield from self._due(call.started_ms)
        seen = self._browsers.see(sight)
        if seen is None:
            return
        number = seen.browser.number
        if seen.how == "reset":
            self._reset_ms[number] = call.started_ms
            self._left = [each for each in self._left if number not in each.there]
        elif self._sign_outs.tracks(sight):
            self._begin(call, {number: seen.uid}, frozenset({number}))
        else:
            for left in self._left:
                if left.uids.get(number) == seen.uid:
                    detail = "this event comes after a sign-out, under the UID of the customer who has left"
                    finding = found(
                        "reset-missing", call.number, "uid", detail, event=sight.index, other=left.call
                    )
                    left.after.setdefault(number, finding)
            yield from self._due(call.started_ms)

    def heard(self, examined: Examined) -> Iterator[Finding]:
        """Hear an answer."""
        self._browsers.heard(examined)
        return iter(())

    def passed(self, call: Call) -> Iterator[Finding]:
        """Hear of a call that is not tracking."""
        self._browsers.passed(call)
        yield from self._due(call.started_ms)
        there = self._browsers.at(call) if self._sign_outs.calls(call) else []
        if there:
            last = max(there, key=lambda each: each.last)
            uids = {each.number: each.uid for each in there[: there.index(last) + 1] if each.uid}
            self._begin(call, uids, frozenset(each.number for each in there))

    def end(self) -> Iterator[Finding]:
        """Say which sign-outs have waited in vain."""
        left, self._left = self._left, []
        for each in left:
            yield from _first(each)

    def _begin(self, call: Call, uids: dict[int, str], there: frozenset[int]) -> None:
        now_ms = call.started_ms
        if any(
            now_ms - self._reset_ms.get(each, now_ms - 2 * _PATIENCE_MS) <= _PATIENCE_MS for each in there
        ):
            return
        for left in self._left:
            if not left.there.isdisjoint(there):
                # A page that calls and tracks it signs out once; what it tracks says who it is.
                if there < left.there and not left.after:
                    left.uids, left.there = uids, there
                return
        self._left.append(_Left(call.number, now_ms, uids, there))

    def _due(self, now_ms: int) -> Iterator[Finding]:
        """Give what can't be mended any more."""
        for left in list(self._left):
            if left.after and now_ms - left.at_ms > _PATIENCE_MS:
                self._left.remove(left)
                yield from _first(left)


def _first(left: _Left) -> Iterator[Finding]:
    """Give the event of the likeliest browser, where one came."""
    for number in left.uids:
        if number in left.after:
            yield left.after[number]
            return
