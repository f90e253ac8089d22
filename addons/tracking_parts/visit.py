"""The session that runs beside the proxy: a gateway inside, who has examined which flow, and the end.

What always holds: calls are examined one after another, in the order in which they were whole, so that what is found does not hang on who was faster.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mitmproxy import ctx

from gateway.qa.checks import checks
from gateway.qa.inner import running_inner
from gateway.qa.keeping import Keeping
from gateway.qa.session import Session
from gateway.settings import Logging
from gateway.stores import make_data_dir
from gateway.telemetry.logging import open_log
from tracking_parts.modes import Enforce, Observe, Redirect

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.model import Answer, Reply
    from gateway.qa.calls import Call
    from gateway.qa.inner import Inner
    from gateway.qa.recognition import Known
    from gateway.qa.session import Examined
    from tracking_parts.modes import Acts
    from tracking_parts.options import Wanted


_log = logging.getLogger("tracking")


def is_shown() -> bool:
    """Tell whether somebody can look at flows that are over: in mitmproxy and mitmweb, which keep them all."""
    return ctx.master.addons.get("view") is not None  # type: ignore[no-untyped-call]


class Visit:
    """One tester's session. `start` begins to open it; `ready` waits until it is open; `folder` is where accepted events wait, in redirect mode."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.session: Session | None = None
        self.acts: Acts = Observe()
        if wanted.mode != "observe":
            self.acts = Enforce(self) if wanted.mode == "enforce" else Redirect(self)
        self.folder = wanted.settings.data_dir / "qa"
        self._inner: Inner | None = None
        self._end = asyncio.Event()
        self._opened: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self, on_failure: Callable[[Exception], None]) -> None:
        """Begin to open it; `on_failure` hears why it can't be, once."""
        self._task = asyncio.create_task(self._run(on_failure))

    async def ready(self) -> Session | None:
        """Give the session when it is open; `None` where it can't be."""
        if self.session is not None:
            return self.session
        with contextlib.suppress(Exception):
            return await asyncio.shield(self._opened)
        return None

    async def examine(self, make: Callable[[int], Call], known: Known) -> Examined | None:
        """Examine a call, behind those that came before; `make` makes it of its number. `None` where the session could not be opened."""
        session = await self.ready()
        if session is None:
            return None
        async with self._turn:
            return await session.examine(make(session.next_number()), known)

    def relayed(self, examined: Examined, answer: Answer | None) -> Reply:
        """Give the reply to a call with what the gateway lets through of the collector's own answer; `None`: there was none."""
        taken = examined.taken
        if self._inner is None or taken.prepared is None or taken.decision is None:
            return taken.reply
        return self._inner.relayed(taken.prepared, taken.decision, answer)

    @property
    def may_pass(self) -> bool:
        """Whether what is long may go on while it is read: not where it may become something else."""
        return self.wanted.mode == "observe"

    @property
    def pending(self) -> int:
        """How many events that were answered for wait for the collector."""
        return self._inner.pending if self._inner is not None else 0

    async def close(self) -> None:
        """End it: what waits is examined, and then only the session's findings are left."""
        async with self._turn:
            self._end.set()
        if self._task is not None:
            await self._task

    async def _run(self, on_failure: Callable[[Exception], None]) -> None:
        mode = self.wanted.mode
        settings = self.wanted.settings
        if mode == "enforce":
            # The page hears the collector, as it does in relay mode: it has been asked, after all.
            collector = settings.collector.model_copy(update={"mode": "relay"})
            settings = settings.model_copy(update={"collector": collector})
        try:
            async with contextlib.AsyncExitStack() as stack:
                folder = self._folder(stack)
                level: Any = "info" if mode == "redirect" else "error"
                log = open_log(Logging(file=str(folder / "gateway.log"), level=level, format="json"))
                stack.callback(log.close)
                inner = await stack.enter_async_context(
                    running_inner(settings, log, folder, sends=mode == "redirect")
                )
                wanted_checks = checks(settings, is_redirected=mode == "redirect")
                keeping = None if is_shown() else Keeping()
                self._inner, self.session = inner, Session(settings, inner, wanted_checks, keeping)
                self._opened.set_result(self.session)
                _log.info("tracking: %s: %s", mode, ", ".join(sorted(self.session.recogniser.hosts)))
                await self._end.wait()
        except Exception as error:  # noqa: BLE001 -- whatever is in the way, the tester is told, and the proxy ends
            if not self._opened.done():
                self._opened.set_exception(error)
                self._opened.exception()
            on_failure(error)

    def _folder(self, stack: contextlib.AsyncExitStack) -> Path:
        """Give where the gateway inside keeps what it must: a folder that stays where events wait for the collector, else one that goes with the session."""
        if self.wanted.mode != "redirect":
            return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tracking-gateway-qa-")))
        make_data_dir(self.wanted.settings.data_dir)
        make_data_dir(self.folder)
        return self.folder
