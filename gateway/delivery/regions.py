"""Which collector an event goes to, where there is one for some countries.

What always holds: the country is the one in `context.geo` as the event leaves (`gateway.events.network`), so what is in the spool already is routed by the settings of
now. A UID has one home: where its first event went that this process remembers. So a traveller's events stay together and in order; the
memory is bounded and ends with the process, and a UID that comes back after that may get another home. An event that goes out under nobody's id has
no home, only a country.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gateway.delivery.contract import Sink, Verdict
    from gateway.events.model import Answer, Record

_HOMES = 200_000


class _Geo(msgspec.Struct, frozen=True):
    country: str = ""


class _Context(msgspec.Struct, frozen=True):
    geo: _Geo = _Geo()


class _Body(msgspec.Struct, frozen=True):
    context: _Context = _Context()


class Regions:
    """The collectors: `urls` has each once, the usual one first. `most` is how many UIDs' homes are remembered."""

    def __init__(self, usual: str, regions: Mapping[str, str], most: int = _HOMES) -> None:
        self.urls = tuple(dict.fromkeys((usual, *regions.values())))
        self._of_country = {country: self.urls.index(url) for country, url in regions.items()}
        self._homes: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._most = most
        self._body = msgspec.json.Decoder(_Body).decode

    def of(self, record: Record) -> int:
        """Give the index of the collector that a record goes to, and let its UID be at home there."""
        if not record.uid:
            return self._by_country(record)
        key = (record.portal_id, record.uid)
        home = self._homes.get(key)
        if home is None:
            home = self._homes[key] = self._by_country(record)
            if len(self._homes) > self._most:
                self._homes.popitem(last=False)
        else:
            self._homes.move_to_end(key)
        return home

    def _by_country(self, record: Record) -> int:
        try:
            country = self._body(record.body).context.geo.country
        except (msgspec.MsgspecError, UnicodeDecodeError):
            # What a page calls `geo` may have any shape.
            return 0
        return self._of_country.get(country, 0)


class RegionalSink:
    """A `Sink` over one sink for each collector."""

    def __init__(self, regions: Regions, sinks: Sequence[Sink]) -> None:
        self._of = regions.of
        self._sinks = sinks

    def post(
        self,
        record: Record,
        done: Callable[[Verdict], None],
        heard: Callable[[Answer | None], None] | None = None,
    ) -> None:
        """Post it to its collector."""
        self._sinks[self._of(record)].post(record, done, heard)

    def abandon(self) -> None:
        """Break off what is under way."""
        for sink in self._sinks:
            sink.abandon()

    async def close(self) -> None:
        """Let go of every connection."""
        for sink in self._sinks:
            await sink.close()
