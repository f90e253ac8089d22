"""Calls the plugins, and contains what goes wrong in them.

What always holds, whatever a plugin does: each event goes on, as the last plugin that did its work has left it; its UID and its ids are those that it came
with; what goes on is JSON within the bounds that hold for every client, and an object of the gateway's own that no plugin keeps a hand on. A plugin
that fails too often in a minute (it raises, gives back what is no event, or takes too long) is switched off until the next start, with one line.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from gateway.events.outcome import Rejection
from gateway.events.shapes import Shapes, field_problem
from gateway.events.world import Hooked
from gateway.plugins.contract import Context
from gateway.plugins.watchdog import BrokenOff, Watchdog
from gateway.telemetry.logging import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.events.model import JsonObject
    from gateway.settings import Settings
    from gateway.telemetry.journal import Journal

    Plugin = Callable[[dict[str, Any], Context], Any]

_MINUTE_SECONDS = 60.0
_KEPT = ("uid", "aid")
_MISSING = object()


class _Refused(Exception):
    """A plugin's answer that is no event; `why` has nothing of the event in it."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class _State:
    """A plugin, and how it has behaved in this minute."""

    def __init__(self, name: str, call: Plugin) -> None:
        self.name = name
        self.call = call
        self.is_on = True
        self.failures = 0
        self.since = float("-inf")


class _Failure(NamedTuple):
    result: str
    told: dict[str, Any]


class PluginRunner:
    """The plugins of one process, in order. Made in the thread that calls it."""

    def __init__(
        self,
        plugins: Sequence[tuple[str, Plugin]],
        settings: Settings,
        journal: Journal,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._plugins = [_State(name, call) for name, call in plugins]
        self._budget_seconds = settings.plugins.budget_ms / 1_000
        self._most = settings.plugins.max_failures_per_minute
        self._watchdog = Watchdog(settings.plugins.limit_ms / 1_000)
        server = settings.server
        self._shapes = Shapes(max_keys=server.max_keys, max_depth=server.max_depth, max_batch=1)
        self._max_bytes = server.max_body_bytes
        self._journal = journal
        self._clock = clock
        self.close = self._watchdog.close

    def trouble(self) -> str:
        """Say which of them are switched off; empty when none is."""
        off = ", ".join(each.name for each in self._plugins if not each.is_on)
        return f"{off}: switched off until the next start, for it failed too often" if off else ""

    def hook(
        self, portal_id: str, prop_id: str, fields: JsonObject, now_ms: int, *, is_server: bool
    ) -> Hooked:
        """Give the event as the plugins have made it, `None` where it stays as it came, and what became of each call."""
        context = Context(portal_id, prop_id, now_ms, is_server)
        text = orjson.dumps(fields)
        current, results = text, []
        for plugin in self._plugins:
            if plugin.is_on:
                current, result = self._called(plugin, current, context)
                results.append(result)
        return Hooked(orjson.loads(current) if current != text else None, tuple(results))

    def _called(self, plugin: _State, text: bytes, context: Context) -> tuple[bytes, str]:
        given = orjson.loads(text)
        begun = self._clock()
        try:
            answer = self._watchdog.run(plugin.call, given, context)
            seconds = self._clock() - begun
            made = text if answer is None else self._checked(answer, orjson.loads(text))
        except BrokenOff:
            failure = _Failure("broken_off", {"cause": "took longer than plugins.limit_ms"})
        except _Refused as refused:
            failure = _Failure("refused", {"cause": refused.why})
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 -- whatever a stranger's code does, `sys.exit` too
            failure = _Failure("raised", dict(describe(error)))
        else:
            if seconds > self._budget_seconds:
                # Its work is done and is used; it is too slow all the same.
                self._failed(plugin, _Failure("slow", {"cause": "took longer than plugins.budget_ms", "ms": round(seconds * 1_000, 1)}))  # fmt: skip
                return made, "slow"
            return made, "changed" if made != text else "unchanged"
        self._failed(plugin, failure)
        return text, failure.result

    def _checked(self, answer: Any, came: JsonObject) -> bytes:
        """Give the answer as text when it is an event that may go on."""
        if not isinstance(answer, dict):
            raise _Refused(f"gave back {type(answer).__name__}, not a dict or None")
        for name in _KEPT:
            if answer.get(name, _MISSING) != came.get(name, _MISSING):
                raise _Refused(f"changed {name}: whose an event is, is not for a plugin to change")
        try:
            text = orjson.dumps(answer)
        except (orjson.JSONEncodeError, RecursionError) as error:
            raise _Refused(
                "gave back what is no JSON (texts, numbers, lists and dicts with text keys)"
            ) from error
        if len(text) > self._max_bytes:
            raise _Refused("gave back more than server.max_body_bytes")
        read = self._shapes.parse(text, "")
        problem = read if isinstance(read, Rejection) else field_problem(read)
        if problem is not None:
            raise _Refused(f"gave back an event whose {problem.field} {problem.detail}")
        return orjson.dumps(read)

    def _failed(self, plugin: _State, failure: _Failure) -> None:
        now = self._clock()
        if now - plugin.since > _MINUTE_SECONDS:
            plugin.since, plugin.failures = now, 0
        plugin.failures += 1
        if plugin.failures >= self._most:
            plugin.is_on = False
            self._journal.trouble(
                "plugin_off",
                plugin=plugin.name,
                failures=plugin.failures,
                last=failure.result,
                **failure.told,
                hint="it failed too often in a minute (plugins.max_failures_per_minute): events go on without it until the next start",
            )
        elif plugin.failures == 1:
            self._journal.warned("plugin_failed", plugin=plugin.name, result=failure.result, **failure.told, hint="the event went on")  # fmt: skip
