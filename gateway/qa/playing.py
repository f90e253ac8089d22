"""Plays recordings to a session: each call at the moment when it was made, each answer at the moment when it was there.

What always holds: calls come in the order of their start, whatever file they stand in; a call whose body nobody kept is not examined (it would be found
broken for what the recorder has left out), and counted.
"""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.qa.calls import Heard
    from gateway.qa.har import Place
    from gateway.qa.recordings import Recording
    from gateway.qa.session import Examined, Session

_CHROME = "WebInspector"


class Played(msgspec.Struct):
    """What was played, and what was not: `is_sanitised` tells that Chrome has left out the cookies, `without_body` tracking calls whose body the recorder has not kept, `unread` entries that can't be read (`first_unread`)."""

    calls: int = 0
    tracking: int = 0
    without_body: int = 0
    unread: int = 0
    first_unread: str = ""
    is_sanitised: bool = False

    def notices(self) -> list[str]:
        """Say, each in a sentence, what a reader of the findings has to know about the recording."""
        said = []
        if self.unread:
            said.append(
                f"{_entries(self.unread)} can't be read and {_are(self.unread)} left out, the first: {self.first_unread}"
            )
        if self.without_body:
            said.append(
                f"{_calls(self.without_body)} came without the body that was sent, or without all of it, and {_are(self.without_body)} not checked: "
                "browsers do not keep what sendBeacon sends as a Blob; mitmproxy does"
            )
        if self.is_sanitised:
            said.append(
                "no tracking call has a cookie, for Chrome exports none unless it is told to (Settings → Preferences → Network → "
                '"Allow to generate HAR with sensitive data"): whose UID stands in a cookie alone was not seen'
            )
        return said


async def play(
    session: Session, recordings: Sequence[Recording], at: Callable[[int], None] = lambda _: None
) -> Played:
    """Play recordings as one visit, to its end; `at` hears how many calls are done."""
    played = Played()
    has_cookies = False
    merged = heapq.merge(*(_with(each, order) for order, each in enumerate(recordings)))
    waiting: list[tuple[float, int, Examined, Heard]] = []
    for place, order in merged:
        _answer(session, waiting, place.started_ms)
        number = session.next_number()
        played.calls += 1
        at(played.calls)
        known = session.recogniser.known(place.host, place.path)
        if known is None:
            session.passed(place.bare(number))
            continue
        exchange = recordings[order].exchange(place, number)
        if exchange is None:
            continue
        played.tracking += 1
        has_cookies |= exchange.has_cookies
        if exchange.lacks_body:
            played.without_body += 1
            continue
        examined = await session.examine(exchange.call, known)
        heapq.heappush(waiting, (place.started_ms + exchange.heard.took_ms, number, examined, exchange.heard))
    _answer(session, waiting, float("inf"))
    session.finish()
    is_chromes = bool(recordings) and all(each.creator == _CHROME for each in recordings)
    played.is_sanitised = is_chromes and bool(played.tracking) and not has_cookies
    for each in recordings:
        played.unread += len(each.unread)
        if each.unread and not played.first_unread:
            first = each.unread[0]
            played.first_unread = f"{each.name}: {first.field}: {first.what}"
    return played


def _with(recording: Recording, order: int) -> list[tuple[Place, int]]:
    return [(place, order) for place in recording.places]


def _answer(session: Session, waiting: list[tuple[float, int, Examined, Heard]], until_ms: float) -> None:
    """Let the session hear what was answered before this moment."""
    while waiting and waiting[0][0] <= until_ms:
        _, _, examined, heard = heapq.heappop(waiting)
        session.heard(examined, heard)


def _entries(number: int) -> str:
    return f"{number:,} {'entry' if number == 1 else 'entries'}"


def _calls(number: int) -> str:
    return f"{number:,} tracking call{'' if number == 1 else 's'}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
