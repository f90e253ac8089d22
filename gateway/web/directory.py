"""Where each endpoint is found: the table of all paths of the moment, made of the usual ones and the names of `[paths]`.

What always holds: the table is complete at each moment, and the same dictionary all the time, so that who looks paths up asks
nobody else; a request under one name is answered like one under another.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from gateway.names import Names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gateway.events.model import Reply, Request
    from gateway.settings_paths import Paths
    from gateway.web.endpoints import Endpoint

_LOOK_SECONDS = 30.0


class Directory:
    """`table` leads from each path of the moment to what stands there.

    `parts` are the endpoints by usual path; `counter` gives what counts a request of a part, by its usual path, under a name. Only
    parts with several names are counted. `plain` are endpoints that stand at one path alone, unless a part does.
    """

    def __init__(
        self,
        parts: Mapping[str, Endpoint],
        names: Names,
        counter: Callable[[str, str], Callable[[], None]],
        plain: Mapping[str, Endpoint] | None = None,
    ) -> None:
        self.table: dict[str, Endpoint] = {}
        self._parts = parts
        self._names = names
        self._counter = counter
        self._plain = plain or {}
        self._fill()

    def turn(self, names: Names) -> None:
        """Go by the names of another time; those that are too old by then lead nowhere any more."""
        self._names = names
        self._fill()

    def usual(self, path: str) -> str:
        """Give the usual name of what a path leads to; empty for one that leads nowhere."""
        return self._usual.get(path, "")

    def told(self, usual: str) -> str:
        """Give the path that pages are told, of what has this usual name."""
        return self._names.told(usual)

    async def keep(self, paths: Paths, *prepare: Callable[[Names], None]) -> None:
        """Go with the time, for ever; returns at once where no name changes by itself. `prepare` run in a thread, before the names hold."""
        while self._names.rotates:
            await asyncio.sleep(_LOOK_SECONDS)
            now_ms = time.time_ns() // 1_000_000
            if not self._names.hold_at(now_ms):
                names = Names(paths, now_ms)
                for each in prepare:
                    await asyncio.to_thread(each, names)
                self.turn(names)

    def _fill(self) -> None:
        table: dict[str, Endpoint] = dict(self._plain)
        self._usual = {path: path for path in table}
        for usual, endpoint in self._parts.items():
            names = self._names.of(usual)
            for name in names:
                self._usual[name.path] = usual
                table[name.path] = (
                    _Counted(endpoint, self._counter(usual, name.counted_as)) if len(names) > 1 else endpoint
                )
        self.table.update(table)
        for path in self.table.keys() - table.keys():
            del self.table[path]


class _Counted:
    """An endpoint under one of its names."""

    def __init__(self, endpoint: Endpoint, count: Callable[[], None]) -> None:
        self.methods = endpoint.methods
        self.max_body_bytes = endpoint.max_body_bytes
        self._answer = endpoint.answer
        self._count = count

    def answer(self, request: Request, answer: Callable[[Reply], None]) -> None:
        """Count it, and let the endpoint answer."""
        self._count()
        self._answer(request, answer)
