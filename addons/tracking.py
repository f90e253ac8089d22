"""The QA addon: a site's tracking through mitmproxy, as the gateway would treat it.

    mitmdump -s addons/tracking.py --set tracking_config=config/gateway.toml

A call is tracking by its host and path alone; all others go through as if the addon were not there, unread. A tracking call is read whole, examined by
the gateway's own pipeline (`gateway.qa`), and its flow marked and commented; `tracking_mode` says what else becomes of it. docs/qa.md tells the rest.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from mitmproxy import ctx, exceptions
from mitmproxy.log import ALERT
from tracking_parts.ending import ending
from tracking_parts.flows import call_of, fates, heard_of, line_of, mark, place_of
from tracking_parts.options import OptionWrong, add_options, wanted
from tracking_parts.visit import Visit

if TYPE_CHECKING:
    from mitmproxy.addonmanager import Loader
    from mitmproxy.http import HTTPFlow
    from tracking_parts.options import Wanted

    from gateway.qa.recognition import Known
    from gateway.qa.session import Examined, Session

_log = logging.getLogger("tracking")
_FATAL = 2
_LEVELS = {"error": logging.WARNING, "warning": logging.WARNING, "note": logging.INFO}


class Tracking:
    """The addon's hooks, in the order in which mitmproxy calls them."""

    name = "tracking"

    def __init__(self) -> None:
        self._wanted: Wanted | None = None
        self._visit: Visit | None = None
        self._known: dict[str, Known] = {}
        self._flows: dict[int, HTTPFlow] = {}
        self._examined: dict[str, Examined] = {}

    def load(self, loader: Loader) -> None:
        """Tell of the options."""
        add_options(loader)

    def configure(self, updated: set[str]) -> None:
        """Read the options. At the start a wrong one ends mitmdump at once; later it is refused."""
        if not any(name.startswith("tracking_") for name in updated):
            return
        try:
            self._wanted = wanted(ctx.options)
        except OptionWrong as error:
            if self._visit is not None:
                raise exceptions.OptionsError(str(error)) from None  # type: ignore[no-untyped-call]
            # mitmproxy ends with 1 for an error that is logged before it runs.
            _log.error(str(error))

    def running(self) -> None:
        """Open the session."""
        if self._wanted is not None and self._visit is None:
            self._visit = Visit(self._wanted)
            self._visit.start(self._failed)

    async def requestheaders(self, flow: HTTPFlow) -> None:
        """Tell tracking from all else, before anything is read."""
        session = await self._session()
        if session is None:
            return
        known = session.recogniser.known(*place_of(flow))
        if known is None:
            session.passed(call_of(flow, session.next_number(), is_whole=False))
            self._tell(session)
            return
        self._known[flow.id] = known
        # Whatever `stream_large_bodies` says.
        flow.request.stream = False

    async def request(self, flow: HTTPFlow) -> None:
        """Examine a tracking call."""
        known = self._known.get(flow.id)
        if known is None or self._visit is None:
            return
        examined = await self._visit.examine(lambda number: call_of(flow, number), known)
        if examined is None or self._visit.session is None:
            return
        self._flows[examined.call.number] = flow
        self._examined[flow.id] = examined
        mark(flow, examined)
        call = examined.call
        _log.info(
            "tracking call %d: %s %s%s: %s", call.number, call.method, call.host, call.path, fates(examined)
        )
        self._tell(self._visit.session)

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Have a tracking call's answer read whole too."""
        if flow.id in self._known and flow.response is not None:
            flow.response.stream = False

    def response(self, flow: HTTPFlow) -> None:
        """Hear the answer."""
        self._heard(flow)

    def error(self, flow: HTTPFlow) -> None:
        """Hear that there is none."""
        self._heard(flow)

    def done(self) -> asyncio.Task[None] | None:
        """End the session, say what was found, and set the exit code. mitmproxy waits for it when it ends, and not when the script is loaded anew."""
        visit, self._visit = self._visit, None
        return None if visit is None else asyncio.create_task(self._finish(visit))

    async def _finish(self, visit: Visit) -> None:
        session = await visit.ready()
        if session is None:
            return
        session.finish()
        self._tell(session)
        await visit.close()
        findings = session.findings
        counted = {
            name: sum(each.severity == name for each in findings) for name in ("error", "warning", "note")
        }
        _log.log(
            ALERT,
            "tracking: %d of %d calls are tracking; %d errors, %d warnings, %d notes",
            len(session.examined), session.calls, *counted.values(),
        )  # fmt: skip
        failing = {"never": (), "error": ("error",), "warning": ("error", "warning")}.get(
            visit.wanted.fail_on, ("error", "warning", "note")
        )
        if any(counted[name] for name in failing):
            ending().code = max(ending().code, 1)

    async def _session(self) -> Session | None:
        if self._visit is None:
            return None
        return self._visit.session or await self._visit.ready()

    def _heard(self, flow: HTTPFlow) -> None:
        examined = self._examined.get(flow.id)
        if examined is None or examined.heard is not None or self._visit is None:
            return
        session = self._visit.session
        if session is not None:
            session.heard(examined, heard_of(flow))
            self._tell(session)

    def _tell(self, session: Session) -> None:
        """Say what was found since the last time, and mark whose it is."""
        for finding in session.news():
            flow = self._flows.get(finding.call)
            _log.log(
                _LEVELS.get(finding.severity, logging.INFO),
                "tracking call %d: %s",
                finding.call,
                line_of(finding),
            )
            if flow is not None:
                mark(flow, self._examined[flow.id])

    def _failed(self, error: Exception) -> None:
        hint = getattr(error, "hint", "")
        _log.error("tracking: the session can't be opened: %s%s", error, f" ({hint})" if hint else "")
        ending().code = _FATAL
        ctx.master.shutdown()  # type: ignore[no-untyped-call]


addons = [Tracking()]
