"""UIDs that change without a reset: `gateway.qa.browsers` tells whose they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.qa.browsers import Browsers
from gateway.qa.session import Looks, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.qa.calls import Call
    from gateway.qa.findings import Finding
    from gateway.qa.session import Examined, Sight
    from gateway.settings import Settings

_PATIENCE_MS = 2_000
_SAYS = {
    "changed": "the same browser had another UID before, and nothing has reset it",
    "back": "a reset has ended this UID, and the page has gone back to it",
}


class UidChanges(Looks):
    """Looks for changes of UIDs. What a page sends while it is left may overtake its reset: so each change is held for two seconds."""

    def __init__(self, settings: Settings) -> None:
        self._browsers = Browsers(settings)
        self._held: list[tuple[int, str, str, Finding]] = []

    def event(self, sight: Sight) -> Iterator[Finding]:
        """Look at one event."""
        yield from self._due(sight.call.started_ms)
        seen = self._browsers.see(sight)
        if seen is None:
            return
        if seen.reset is not None:
            ended = {seen.reset.old, seen.was}
            self._held = [
                each
                for each in self._held
                if not (each[1] in ended and each[2] in {seen.reset.new, seen.uid})
            ]
        elif seen.how in _SAYS:
            finding = found(
                "uid-changed",
                sight.call.number,
                "uid",
                _SAYS[seen.how],
                event=sight.index,
                other=seen.before if seen.before != sight.call.number else 0,
            )
            self._held.append((sight.call.started_ms, seen.was, seen.uid, finding))

    def heard(self, examined: Examined) -> Iterator[Finding]:
        """Hear an answer."""
        self._browsers.heard(examined)
        return iter(())

    def passed(self, call: Call) -> Iterator[Finding]:
        """Hear of a call that is not tracking."""
        self._browsers.passed(call)
        yield from self._due(call.started_ms)

    def end(self) -> Iterator[Finding]:
        """Say what is still held."""
        held, self._held = self._held, []
        for each in held:
            yield each[3]

    def _due(self, now_ms: int) -> Iterator[Finding]:
        while self._held and self._held[0][0] + _PATIENCE_MS < now_ms:
            yield self._held.pop(0)[3]
