"""The session that runs beside the proxy: a gateway inside, who has examined which flow, and the end.

What always holds: calls are examined one after another, in the order in which they were whole, so that what is found does not hang on who was faster.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.qa.checks import checks
from gateway.qa.inner import running_inner
from gateway.qa.session import Session
from gateway.settings import Logging
from gateway.telemetry.logging import open_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.qa.calls import Call
    from gateway.qa.recognition import Known
    from gateway.qa.session import Examined
    from tracking_parts.options import Wanted


class Visit:
    """One tester's session. `start` begins to open it; `ready` waits until it is open."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.session: Session | None = None
        self._end = asyncio.Event()
        self._opened: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    def start(self, on_failure: Callable[[Exception], None]) -> None:
        """Begin to open it; `on_failure` hears why it can't be, once."""
        self._task = asyncio.create_task(self._run(on_failure))

    async def ready(self) -> Session | None:
        """Give the session when it is open; `None` where it can't be."""
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

    async def close(self) -> None:
        """End it: what waits is examined, and then only the session's findings are left."""
        async with self._turn:
            self._end.set()
        if self._task is not None:
            await self._task

    async def _run(self, on_failure: Callable[[Exception], None]) -> None:
        settings = self.wanted.settings
        try:
            async with contextlib.AsyncExitStack() as stack:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tracking-gateway-qa-")))
                log = open_log(Logging(file=str(folder / "gateway.log"), level="error", format="json"))
                stack.callback(log.close)
                inner = await stack.enter_async_context(running_inner(settings, log, folder))
                self.session = Session(settings, inner, checks(settings))
                self._opened.set_result(self.session)
                await self._end.wait()
        except Exception as error:  # noqa: BLE001 -- whatever is in the way, the tester is told, and the proxy ends
            if not self._opened.done():
                self._opened.set_exception(error)
                self._opened.exception()
            on_failure(error)
