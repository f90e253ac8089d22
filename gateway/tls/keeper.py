"""Keeps the pair that new connections are made with: looks each second whether its files are others, and takes the new ones when they are usable.

Every connection is wrapped by the pair of the moment in which it begins (`wrap_bio`, which both asyncio and uvloop call), so that taking another
one is a change of one reference. Looking at the files each second, by what the file system says of them, sees a renewal by `certbot` (symbolic
links), `cert-manager` (a volume that is exchanged as a whole) and `cp` alike.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING

from gateway.tls.handshakes import Failures
from gateway.tls.pair import TlsUnusable, files_of, load_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.settings_tls import Tls
    from gateway.telemetry.journal import Journal
    from gateway.telemetry.metrics import Metrics
    from gateway.tls.pair import Pair

SOON_SECONDS = 14 * 86_400
"""A certificate that is valid for less than this is warned of: those who renew by themselves do it at 30 days."""

_LOOK_SECONDS = 1.0
_SAY_SECONDS = 86_400


class Front(ssl.SSLContext):
    """What the listening socket is given: it wraps each connection by the pair of the moment."""

    pair: Pair

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002 -- ssl's own signature
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """Begin the TLS of a new connection."""
        return self.pair.context.wrap_bio(incoming, outgoing, server_side, server_hostname, session)


class Keeper:
    """The pair of `[tls]`, now and later. Raises `TlsUnusable` when there is none to begin with."""

    def __init__(
        self, tls: Tls, journal: Journal, metrics: Metrics, clock: Callable[[], float] = time.time
    ) -> None:
        self._tls = tls
        self._journal = journal
        self._metrics = metrics
        self._clock = clock
        self._warned = 0.0
        self._refused = ""
        self._wanted = asyncio.Event()
        self.failures = Failures(metrics.tls_failure)
        self._seen = self._looked()
        self.context = Front(ssl.PROTOCOL_TLS_SERVER)
        self.context.pair = load_pair(tls, self.failures)
        self._tell_expiry()

    def trouble(self) -> str:
        """Say what is wrong with the pair that is there, or with the one that should take its place; empty when nothing is."""
        left = self._left()
        expiry = f"{self._tls.certificate_file} expires in {int(left / 86_400)} days" if left > 0 else (
            f"{self._tls.certificate_file} has expired")  # fmt: skip
        return "; ".join([*filter(None, [self._refused]), *([expiry] if left < SOON_SECONDS else [])])

    def look_now(self) -> None:
        """Read the files again at once, whether they are others or not: SIGHUP."""
        self._wanted.set()

    async def keep(self) -> None:
        """Go with the files, for ever."""
        while True:
            try:
                await asyncio.wait_for(self._wanted.wait(), _LOOK_SECONDS)
            except TimeoutError:
                await self.look()
            else:
                self._wanted.clear()
                await self.look(is_asked=True)

    async def look(self, *, is_asked: bool = False) -> None:
        """Take the pair that stands in the files if it is another one, and usable."""
        looked = await asyncio.to_thread(self._looked)
        if is_asked or looked != self._seen:
            self._seen = looked
            try:
                pair = await asyncio.to_thread(load_pair, self._tls, self.failures)
                self._check(pair)
            except TlsUnusable as error:
                self._refused = f"{error}; the one from before stays in use"
                self._journal.trouble("tls_pair_refused", cause=str(error), hint=error.hint)
            else:
                self.context.pair, self._refused, self._warned = pair, "", 0.0
                self._journal.changed(
                    "tls_pair_taken",
                    names=list(pair.certificate.names),
                    expires_days=int(self._left() / 86_400),
                )
        self._tell_expiry()

    def _check(self, pair: Pair) -> None:
        """Refuse one that has expired in the place of one that has not."""
        now = self._clock()
        if pair.certificate.expires <= now < self.context.pair.certificate.expires:
            raise TlsUnusable(self._tls.certificate_file, "it has expired")

    def _left(self) -> float:
        return self.context.pair.certificate.expires - self._clock()

    def _tell_expiry(self) -> None:
        left = self._left()
        self._metrics.tls_expires(left)
        if left < SOON_SECONDS and self._clock() - self._warned >= _SAY_SECONDS:
            self._warned = self._clock()
            self._journal.warned(
                "tls_expires_soon",
                certificate=self._tls.certificate_file,
                expires_days=int(left / 86_400),
                hint="renew it: the new files are taken without a restart",
            )

    def _looked(self) -> list[object]:
        return [_state(path) for path in files_of(self._tls)]


def _state(path: Path) -> object:
    try:
        found = path.stat()
    except OSError as error:
        return error.errno
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_dev
