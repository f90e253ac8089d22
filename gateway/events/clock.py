"""The client's clock: what it says, how far it is off, and what follows for when an event happened.

An event's time (`et`) is the visitor's local time, without a zone; `context.timezone` may tell the zone, and our script says when it sends (`sent_at`, Unix time in
milliseconds by the same clock). What always holds: the client's time stays as it is; nothing is refused for it; and nothing is claimed that does not follow:
- with `sent_at`, the clock is off by (arrival - `sent_at`), however long the event waited to be sent; the time on the way counts as skew, so only more than
  `max_clock_skew_seconds` is said.
- without it, an old time may be a late event as well as a slow clock: only one from the future proves the clock wrong.
- without a zone, local time is between 12 hours behind and 14 hours ahead of UTC: only what none of these explains is said.
Source of the rule: Segment, Spec: Common fields, clock skew: `timestamp = originalTimestamp + (receivedAt - sentAt)`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.events.remembering import remembered_together

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import tzinfo

    from gateway import settings_visits
    from gateway.events.decisions import Pending
    from gateway.events.model import JsonObject

_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d\d))?\Z", re.IGNORECASE)
_UTC_NAMES = frozenset({"utc", "gmt", "z", "etc/utc", "etc/gmt"})
# Local time is UTC + 14 h at most (Line Islands) and UTC - 12 h at least (Baker Island).
_EAST_MS = 14 * 3_600_000
_WEST_MS = 12 * 3_600_000
_DAY_MS = 86_400_000
_CACHED = 8_192
_LONGEST_TIME = 40
_LONGEST_ZONE = 64
# From 2001 to 2286: thirteen digits.
_LEAST_MS, _MOST_MS = 10**12, 10**13 - 1


class Moment(NamedTuple):
    """When an event happened by its client's clock, in Unix milliseconds: between the two; the same twice when the zone is known.

    `later_ms` differs from `earlier_ms` in the hour that a clock that is put back shows twice, or where no zone is known (`is_exact` is false).
    """

    earlier_ms: int
    later_ms: int
    is_exact: bool


class Clock:
    """Compares clocks; `zone` gives a time zone by its name, or `None`."""

    def __init__(self, policy: settings_visits.Clock, zone: Callable[[str], tzinfo | None]) -> None:
        self._bound_ms = policy.max_clock_skew_seconds * 1_000
        self._age_ms = policy.max_event_age_days * _DAY_MS
        self._zone = zone
        self._read = remembered_together(_CACHED, self._read_moment)

    def add(self, pending: Pending, extra: JsonObject, context: JsonObject, now_ms: int) -> None:
        """Add `context.clock` and `extra.corrected_time`, where there is something to say and they are absent."""
        text, zone = pending.fields.get("et", ""), context.get("timezone")
        moment = self._read(text, zone if isinstance(zone, str) else "")
        sent_ms = pending.sent_ms
        skew_ms = now_ms - sent_ms if sent_ms else 0
        is_skewed = abs(skew_ms) > self._bound_ms
        if not is_skewed and (
            moment is None
            or (moment.earlier_ms <= now_ms + self._bound_ms and moment.later_ms >= now_ms - self._age_ms)
        ):
            return
        self._say(pending, extra, context, now_ms, moment, skew_ms if is_skewed else 0)

    def _say(
        self,
        pending: Pending,
        extra: JsonObject,
        context: JsonObject,
        now_ms: int,
        moment: Moment | None,
        skew_ms: int,
    ) -> None:
        told: dict[str, Any] = {}
        if skew_ms:
            told["skew_seconds"] = round(skew_ms / 1_000)
        if moment is not None:
            earlier, later = moment.earlier_ms + skew_ms, moment.later_ms + skew_ms
            corrected = _nearest(earlier, later, now_ms + self._bound_ms) if moment.is_exact else None
            if earlier > now_ms + self._bound_ms:
                told["mark"] = "future"
                corrected = now_ms
            elif later < now_ms - self._age_ms:
                told["mark"] = "too_old"
            if corrected is not None and corrected > 0 and (skew_ms or told.get("mark") == "future"):
                extra.setdefault("corrected_time", _text(min(corrected, now_ms)))
        if not told:
            return
        context.setdefault("clock", told)
        word = told.get("mark", "skewed")
        pending.remarks["clock"] = word
        pending.tallies.append(("clock", word))

    def _read_moment(self, text: str, zone: str) -> Moment | None:
        if not text or len(text) > _LONGEST_TIME:
            return None
        try:
            read = datetime.fromisoformat(text.strip())
            if read.tzinfo is None:
                where = self._zone_of(zone)
                if where is None:
                    local = _milliseconds(read.replace(tzinfo=UTC))
                    return Moment(local - _EAST_MS, local + _WEST_MS, is_exact=False)
                read = read.replace(tzinfo=where)
            both = sorted(_milliseconds(read.replace(fold=fold)) for fold in (0, 1))
        except (ValueError, OverflowError):
            return None
        return Moment(both[0], both[1], is_exact=True)

    def _zone_of(self, name: str) -> tzinfo | None:
        if not name or len(name) > _LONGEST_ZONE:
            return None
        if name.lower() in _UTC_NAMES:
            return UTC
        found = _OFFSET.match(name)
        if found is None:
            return self._zone(name)
        minutes = int(found[2]) * 60 + int(found[3] or 0)
        if minutes * 60_000 > _EAST_MS:
            return None
        return timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes))


def sent_ms(value: Any) -> int:
    """Give when a client says that it sent, in Unix milliseconds; 0 for what is no such time."""
    if value is None:
        return 0
    if isinstance(value, str) and len(value) == 13 and value.isascii() and value.isdigit():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return 0
    return value if _LEAST_MS <= value <= _MOST_MS else 0


def _nearest(earlier: int, later: int, bound_ms: int) -> int:
    """Give the later of two moments that one local time may be, unless it has not come yet."""
    return later if later <= bound_ms else earlier


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1_000)


def _text(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1_000, UTC)
    return f"{moment.isoformat(timespec='milliseconds')[:23]}Z"
