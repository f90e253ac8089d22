"""A collector's bad hours, for tests in simulated time: moods that follow one another, and what they make of a send.

Each mood says how long a send takes, what the client would report of it, and whether the event arrived all the same: an answer that breaks
off comes from a collector that has the event.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, NamedTuple

from gateway.delivery.contract import Delivered, Retry, Undeliverable, Verdict
from tests.unit.delivery_fakes import FakeSink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.events.model import Record

TIMEOUT_SECONDS = 5.0
OUTAGES = (
    "hanging",
    "errors",
    "storm",
    "storm_until",
    "resets",
    "torn",
    "wrong_tls",
    "no_dns",
    "refused_connection",
)
FITS = ("slow", "flapping", "a_tenth_fails", "half_fails", "most_fail", *OUTAGES)


class Reaction(NamedTuple):
    """What becomes of one send: so many seconds, what the client reports, and whether the collector has the event."""

    seconds: float
    verdict: Verdict
    has_arrived: bool


class Spell(NamedTuple):
    """A mood that lasts from one second of the simulation to another."""

    start: float
    end: float
    mood: str


def _well(dice: random.Random) -> Reaction:
    seconds = dice.uniform(0.005, 0.1)
    return Reaction(seconds, Delivered(200, seconds * 1000), has_arrived=True)


def _failed(seconds: float, cause: str, after: float | None = None, *, has_arrived: bool = False) -> Reaction:
    return Reaction(seconds, Retry(cause, after), has_arrived)


def react(mood: str, dice: random.Random, now: float) -> Reaction:
    """Give what a collector in this mood does with a send."""
    share = {"a_tenth_fails": 0.1, "half_fails": 0.5, "most_fail": 0.9}.get(mood)
    if share is not None:
        return _failed(0.05, "status 500") if dice.random() < share else _well(dice)
    if mood == "slow":
        seconds = dice.uniform(1.0, TIMEOUT_SECONDS)
        return Reaction(seconds, Delivered(200, seconds * 1000), has_arrived=True)
    if mood == "flapping":
        return _failed(0.01, "status 502") if now % 47.0 < 20.0 else _well(dice)
    bad: dict[str, Callable[[], Reaction]] = {
        "hanging": lambda: _failed(TIMEOUT_SECONDS, "timeout: no answer in time", has_arrived=dice.random() < 0.5),
        "errors": lambda: _failed(0.02, dice.choice(["status 500", "status 503", "status 408", "status 425"])),
        "storm": lambda: _failed(0.01, "status 429"),
        "storm_until": lambda: _failed(0.01, "status 429", dice.choice([1.0, 20.0, 120.0, 10_000.0])),
        "resets": lambda: _failed(0.01, "connection lost: ConnectionResetError"),
        "torn": lambda: _failed(0.05, "connection closed inside the answer", has_arrived=True),
        "wrong_tls": lambda: _failed(0.03, "TLS: CERTIFICATE_VERIFY_FAILED"),
        "no_dns": lambda: _failed(dice.uniform(0.01, TIMEOUT_SECONDS), "not connected: gaierror"),
        "refused_connection": lambda: _failed(0.001, "not connected: ConnectionRefusedError"),
    }  # fmt: skip
    return bad[mood]() if mood in bad else _well(dice)


class Weather:
    """A collector that is well, but for its spells; `poisoned` users and events always get a 500 from it, `refused` events a 422."""

    def __init__(
        self,
        seed: int,
        spells: Sequence[Spell] = (),
        poisoned: frozenset[str] = frozenset(),
        refused: frozenset[str] = frozenset(),
    ) -> None:
        self._dice = random.Random(seed)
        self._spells = spells
        self._poisoned = poisoned
        self._refused = refused

    def mood(self, now: float) -> str:
        return next((spell.mood for spell in self._spells if spell.start <= now < spell.end), "well")

    def __call__(self, record: Record) -> Reaction:
        now = asyncio.get_running_loop().time()
        reaction = react(self.mood(now), self._dice, now)
        if isinstance(reaction.verdict, Delivered):
            if record.uid in self._poisoned or record.event_id in self._poisoned:
                return _failed(0.02, "status 500")
            if record.event_id in self._refused:
                return Reaction(0.02, Undeliverable(422, "status 422"), has_arrived=False)
        return reaction


class WeatherSink(FakeSink):
    """A sink under a sky: notes what arrived, in order, and that a record goes out the same at each attempt."""

    def __init__(self, weather: Weather) -> None:
        super().__init__(self._react)
        self._weather = weather
        self._seen: dict[str, Record] = {}
        self.arrived: list[Record] = []

    def _react(self, record: Record, _attempt: int) -> tuple[float, Verdict]:
        assert record == self._seen.setdefault(record.event_id, record), (
            "a record changed between two attempts"
        )
        reaction = self._weather(record)
        if reaction.has_arrived:
            self.arrived.append(record)
        return reaction.seconds, reaction.verdict

    @property
    def first_arrivals(self) -> list[str]:
        """The ids of all events that it has, each at its first arrival."""
        return list(dict.fromkeys(item.event_id for item in self.arrived))

    def tries(self, start: float, end: float) -> int:
        """How many sends began between two seconds of the simulation."""
        return sum(start <= moment < end for moment, _ in self.sent)
