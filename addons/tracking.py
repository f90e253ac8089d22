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
from tracking_parts.content_view import show_views
from tracking_parts.ending import ending
from tracking_parts.flows import (
    asked,
    call_of,
    fates,
    is_whole,
    line_of,
    mark,
    never_ends,
    passing_of,
    place_of,
    read_whole,
)
from tracking_parts.options import OptionWrong, add_options, wanted
from tracking_parts.telling import is_failure, model_of, show, write
from tracking_parts.visit import Visit, is_shown

from gateway.qa.showing import rows_of
from gateway.telemetry.logging import describe

if TYPE_CHECKING:
    from mitmproxy.addonmanager import Loader
    from mitmproxy.http import HTTPFlow
    from tracking_parts.options import Wanted

    from gateway.qa.recognition import Known
    from gateway.qa.session import Examined, Session

_log = logging.getLogger("tracking")
_FOUND, _BROKEN = 1, 2
_MOST_FLOWS = 1_000
_LEVELS = {"error": logging.WARNING, "warning": logging.WARNING, "note": logging.INFO}


class Tracking:
    """The addon's hooks, in the order in which mitmproxy calls them."""

    name = "tracking"

    def __init__(self) -> None:
        self._wanted: Wanted | None = None
        self._visit: Visit | None = None
        self._over: Visit | None = None
        self._known: dict[str, Known] = {}
        self._flows: dict[int, HTTPFlow] = {}
        self._examined: dict[str, Examined] = {}

    def load(self, loader: Loader) -> None:
        """Tell of the options, and of how tracking calls are shown."""
        add_options(loader)
        show_views(self._rows)

    def configure(self, updated: set[str]) -> None:
        """Read the options. At the start a wrong one ends mitmdump at once; while it runs they stay as they are."""
        if not any(name.startswith("tracking_") for name in updated):
            return
        if self._visit is not None:
            raise exceptions.OptionsError(
                "the options of tracking are read at the start: end mitmproxy and start it again"
            )  # type: ignore[no-untyped-call]
        try:
            self._wanted = wanted(ctx.options)
        except OptionWrong as error:
            # mitmproxy ends with 1 for an error that is logged before it runs.
            _log.error(str(error))

    def running(self) -> None:
        """Open the session."""
        if self._wanted is not None and self._visit is None:
            if self._wanted.mode == "redirect":
                # What is answered here needs no connection, and the site's own name may lead nowhere yet.
                ctx.options.update(connection_strategy="lazy")  # type: ignore[no-untyped-call]
            self._visit = Visit(self._wanted)
            self._visit.start(self._failed)

    async def requestheaders(self, flow: HTTPFlow) -> None:
        """Tell tracking from all else, before anything is read."""
        if self._visit is None:
            self._stop_late(flow)
            return
        if self._visit.acts.is_own(flow):
            return
        session = await self._visit.ready()
        if session is None or self._visit is None:
            self._stop_late(flow)
            return
        place = place_of(flow)
        known = session.recogniser.known(*place)
        if known is None:
            session.passed(passing_of(flow, session.next_number(), place))
            self._tell(session)
            return
        self._known[flow.id] = known
        read_whole(flow.request, may_pass=self._visit.may_pass)

    async def request(self, flow: HTTPFlow) -> None:
        """Examine a tracking call, and do what the mode does."""
        known = self._known.pop(flow.id, None)
        if known is None:
            return
        if self._visit is None:
            self._stop_late(flow)
            return
        if not is_whole(flow.request):
            _log.warning(
                "tracking: a call to %s went on unread: it is longer than stream_large_bodies",
                place_of(flow)[0],
            )
            return
        visit = self._visit
        try:
            examined = await visit.examine(lambda number: call_of(flow, number), known)
            if examined is not None and visit.session is not None:
                self._take(flow, examined, visit, visit.session)
        except Exception as error:  # noqa: BLE001 -- the site goes on, and the tester hears that the check is not whole
            self._fault("a call could not be examined", error)
            if flow.live and not visit.may_pass:
                flow.kill()  # type: ignore[no-untyped-call]

    def _take(self, flow: HTTPFlow, examined: Examined, visit: Visit, session: Session) -> None:
        """Say what became of a call, and do what the mode does."""
        call = examined.call
        self._flows[call.number] = flow
        self._examined[flow.id] = examined
        self._forget()
        _log.info("tracking call %d: %s: %s", call.number, asked(call), fates(examined))
        mark(flow, examined)
        self._tell(session)
        if flow.live:
            visit.acts.request(flow, examined)

    def responseheaders(self, flow: HTTPFlow) -> None:
        """Have a tracking call's answer read whole too, and let a stream of events go by."""
        if flow.response is None or self._visit is None:
            return
        if flow.id in self._examined:
            read_whole(flow.response, may_pass=self._visit.may_pass)
        elif never_ends(flow.response):
            # mitmproxy would wait for its end, and the page for its first event.
            flow.response.stream = True

    def response(self, flow: HTTPFlow) -> None:
        """Hear the answer."""
        examined = self._examined.get(flow.id)
        if examined is None or examined.heard is not None or self._visit is None:
            return
        if flow.response is not None:
            is_whole(flow.response)
        heard = self._visit.acts.response(flow, examined)
        session = self._visit.session
        if session is not None and heard is not None:
            session.heard(examined, heard)
            self._tell(session)

    def error(self, flow: HTTPFlow) -> None:
        """Hear that there is none."""
        self.response(flow)

    def done(self) -> asyncio.Task[None] | None:
        """End the session, say what was found, and set the exit code. mitmproxy waits for it when it ends, and not when the script is loaded anew."""
        visit, self._visit = self._visit, None
        self._over = visit
        return None if visit is None else asyncio.create_task(self._finish(visit))

    async def _finish(self, visit: Visit) -> None:
        session = await visit.ready()
        if session is None:
            return
        try:
            session.finish()
            self._tell(session)
            await visit.close()
            self._report(session, visit)
        except Exception as error:  # noqa: BLE001 -- whatever it was, no pipeline takes it for a success
            self._fault("the session could not be ended as it should", error)

    def _report(self, session: Session, visit: Visit) -> None:
        if visit.pending:
            _log.warning(
                "tracking: %d events wait for the collector in %s: they go on when mitmproxy redirects again",
                visit.pending, visit.folder,
            )  # fmt: skip
        model = model_of(session, visit.wanted)
        show(model)
        self._end_with(_FOUND if is_failure(model, visit.wanted) else 0)
        try:
            for path in write(model, visit.wanted):
                _log.info("tracking: %s is written", path)
        except OSError as error:
            _log.error("tracking: a report can't be written: %s: %s", error.filename, error.strerror)
            self._end_with(_BROKEN)

    def _stop_late(self, flow: HTTPFlow) -> None:
        """While the session ends, let no tracking call go on as it is that would have become something else."""
        visit = self._over or self._visit
        if visit is None or visit.may_pass or not flow.live or visit.acts.is_own(flow):
            return
        if visit.session is None or visit.session.recogniser.known(*place_of(flow)) is not None:
            flow.kill()  # type: ignore[no-untyped-call]

    def _fault(self, what: str, error: Exception) -> None:
        """Say a fault of ours without its message, which may quote a client, and let it be no success."""
        _log.error("tracking: %s: %s", what, describe(error))
        self._end_with(_BROKEN)

    def _end_with(self, code: int) -> None:
        ending().code = max(ending().code, code)

    def _forget(self) -> None:
        """Let go of the oldest flow where nobody can look at it any more, as mitmdump does itself."""
        if len(self._flows) > _MOST_FLOWS and not is_shown():
            flow = self._flows.pop(next(iter(self._flows)))
            self._examined.pop(flow.id, None)

    def _rows(self, flow_id: str) -> list[tuple[str, str]] | None:
        """Give what a tester reads of a flow; `None` where it is no tracking call."""
        examined = self._examined.get(flow_id)
        if examined is None or self._wanted is None:
            return None
        return rows_of(examined, self._wanted.settings.identity)

    def _tell(self, session: Session) -> None:
        """Say what was found since the last time, and mark whose it is."""
        for finding in session.news():
            level = _LEVELS.get(finding.severity, logging.INFO)
            _log.log(level, "tracking call %d: %s", finding.call, line_of(finding))
            flow = self._flows.get(finding.call)
            if flow is not None:
                mark(flow, self._examined[flow.id])

    def _failed(self, error: Exception) -> None:
        hint = getattr(error, "hint", "")
        _log.error("tracking: the session can't be opened: %s%s", error, f" ({hint})" if hint else "")
        self._end_with(_BROKEN)
        ctx.master.shutdown()  # type: ignore[no-untyped-call]


addons = [Tracking()]
