"""Calls to the vendor's own hosts, which a site with a tracking name of its own does not need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.qa.pages import page_of
from gateway.qa.quoting import quoted
from gateway.qa.session import Looks, found
from gateway.telemetry.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.qa.findings import Finding
    from gateway.qa.reading import Reader
    from gateway.qa.session import Examined

_MOST = 4_096


class VendorCalls(Looks):
    """Names each of the vendor's hosts once for each host of the site: the first call says it, and hundreds would say no more."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._told: set[tuple[str, str]] = set()

    def request(self, examined: Examined) -> Iterator[Finding]:
        """Look at a tracking call as a whole."""
        call = examined.call
        if not examined.known.is_vendors or call.method == "OPTIONS":
            return
        original = examined.events[0].original if examined.events else None
        page = page_of(call, original if isinstance(original, dict) else {})
        key = (call.host, page.host)
        if key in self._told or len(self._told) >= _MOST:
            return
        self._told.add(key)
        whose = f"a page of {quoted(self._reader, redact(page.host))}" if page.host else "a page"
        yield found("third-party-host", call.number, "url", f"{whose} calls {call.host}")
