"""Whether a page gets the tracking script that is expected: one that is pinned or that was seen before, and of the gateway's own name what the gateway serves.

What always holds: a version is its content's SHA-256, unpacked, as `gateway.assets` has it; the record of versions in `data_dir` is read and never written.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from gateway.assets.pinning import Index, State
from gateway.assets.versions import AssetsUnavailable, VersionStore
from gateway.events.coding import expand
from gateway.qa.session import Looks, found
from gateway.vendor_scripts import FOLDER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.qa.findings import Finding
    from gateway.qa.session import Examined
    from gateway.settings import Settings

_MOST = 1_024
_STATES = {
    State.HELD: "it waits for approval (`tracking-gateway script list`)",
    State.REJECTED: "it was rejected (`tracking-gateway script list`)",
}


class ScriptVersions(Looks):
    """Looks at the scripts that pages get: each content of an address once."""

    def __init__(self, settings: Settings) -> None:
        self._is_own = settings.script.source == "own"
        self._most = settings.script.max_bytes
        self._pins = settings.script.pins
        self._index = Index()
        with contextlib.suppress(AssetsUnavailable):
            # Where it can't be read, `doctor` says so; here it is as if nothing had been recorded.
            self._index = VersionStore(settings.data_dir / FOLDER).load()
        self._seen: dict[tuple[str, str], tuple[str, int]] = {}

    def heard(self, examined: Examined) -> Iterator[Finding]:
        """Look at a call's answer."""
        heard, call = examined.heard, examined.call
        if heard is None or heard.status != 200 or not heard.body or not call.path.endswith(".js"):
            return
        sha256 = hashlib.sha256(heard.body).hexdigest()
        before = self._seen.get((call.host, call.path))
        if before is not None and before[0] == sha256:
            return
        if before is not None or len(self._seen) < _MOST:
            self._seen[call.host, call.path] = sha256, call.number
        detail = self._wrong(examined, sha256)
        if not detail and before is not None:
            detail = "the same address gave another one before"
        if detail:
            yield found(
                "script-changed",
                call.number,
                "answer",
                f"SHA-256 {sha256[:12]}…: {detail}",
                other=before[1] if before is not None else 0,
            )

    def _wrong(self, examined: Examined, sha256: str) -> str:
        path = examined.known.path
        if not examined.known.is_vendors:
            served = self._served(examined)
            return "it is not what this gateway serves" if served and served != sha256 else ""
        pins = self._pins.get(path, ())
        if pins:
            return "" if sha256 in pins else "script.pins has other versions"
        tracked = self._index.assets.get(path)
        if tracked is None:
            return ""
        version = tracked.version(sha256)
        return "the gateway has never seen it" if version is None else _STATES.get(version.state, "")

    def _served(self, examined: Examined) -> str:
        """Give the version that the gateway serves at this address; empty where it gave none, or a vendor's, of which it has its own record."""
        reply = examined.taken.reply
        if not self._is_own or reply.status != 200:
            return ""
        coding = next((value for name, value in reply.headers if name.lower() == "content-encoding"), "")
        content = expand(reply.body, coding, self._most) if coding else reply.body
        return hashlib.sha256(content).hexdigest() if isinstance(content, bytes) else ""
