"""A session with a gateway of its own inside, in a folder that is gone afterwards."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.qa.checks import checks
from gateway.qa.inner import running_inner
from gateway.qa.keeping import Keeping
from gateway.qa.session import Session
from gateway.settings import Logging
from gateway.telemetry.logging import open_log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gateway.settings import Settings


@contextlib.asynccontextmanager
async def running_session(settings: Settings) -> AsyncIterator[Session]:
    """Run a session with every check until the context is left. Raises what `running_inner` raises."""
    with tempfile.TemporaryDirectory(prefix="tracking-gateway-qa-") as name:
        folder = Path(name)
        log = open_log(Logging(file=str(folder / "gateway.log"), level="error", format="json"))
        try:
            async with running_inner(settings, log, folder) as inner:
                yield Session(settings, inner, checks(settings), Keeping())
        finally:
            log.close()
