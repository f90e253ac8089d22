"""How the collector answers events: too slowly, or not as it should."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gateway.events.outcome import FATES
from gateway.qa.quoting import quoted
from gateway.qa.session import Looks, found

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.qa.findings import Finding
    from gateway.qa.reading import Reader
    from gateway.qa.session import Examined
    from gateway.settings import Settings

# The page has not waited: mitmproxy's word, Chromium's, Firefox's.
_LEFT = re.compile("client disconnect|ERR_ABORTED|NS_BINDING_ABORTED", re.IGNORECASE)


class Answering(Looks):
    """Looks at the answers of calls that bring events. A refusal for what another rule finds is none of the collector's doing."""

    def __init__(self, settings: Settings, reader: Reader) -> None:
        self._slow_ms = settings.qa.slow_ms
        self._reader = reader

    def heard(self, examined: Examined) -> Iterator[Finding]:
        """Look at a call's answer."""
        heard, call = examined.heard, examined.call
        if heard is None or examined.known.kind != "event" or call.method == "OPTIONS":
            return
        if heard.failure:
            if not _LEFT.search(heard.failure):
                detail = f"there was no answer: {quoted(self._reader, heard.failure)}"
                yield found("collector-failing", call.number, "answer", detail)
            return
        if heard.status >= 400 and not _is_refused_here(examined, heard.status):
            yield found("collector-failing", call.number, "answer", f"it was answered with {heard.status}")
        if heard.took_ms > self._slow_ms:
            detail = f"it took {heard.took_ms:.0f} ms; {self._slow_ms} are what qa.slow_ms lets pass"
            yield found("collector-slow", call.number, "answer", detail)


def _is_refused_here(examined: Examined, status: int) -> bool:
    """Tell whether the gateway refuses the call too: at its own name with the same answer, at the vendor's all of its events."""
    if not examined.known.is_vendors:
        return examined.taken.reply.status == status
    if not examined.events:
        return status < 500 and examined.taken.reply.status >= 400
    return status < 500 and all(FATES[each.verdict.reason].status >= 400 for each in examined.events)
