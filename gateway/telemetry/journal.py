"""Everything that happens, said once: one log line and one count for each event that came in and each delivery.

It implements `DeliveryObserver`. No raw identity reaches it but in texts that a client chose (category, action, ids), and
those go through the redactor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from gateway.events.outcome import FATES, WORDS, Reason
from gateway.events.packing import unpack
from gateway.events.twin import TwinState
from gateway.telemetry.door import Sparing
from gateway.telemetry.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.events.decisions import Decision, Prepared, Verdict
    from gateway.events.model import QuarantineEntry, Record
    from gateway.events.relay import Relayed
    from gateway.telemetry.logging import Log
    from gateway.telemetry.metrics import Metrics

_LONGEST_PHONE = 24
_BAD_TWINS = frozenset({TwinState.FORGED, TwinState.FOREIGN, TwinState.UNREADABLE})


class Journal:
    """Writes the log and keeps the counts."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._logger = log.logger
        self._line = log.line
        self._metrics = metrics
        # Of events that came too often; `gateway.telemetry.door` says how many more there were.
        self.limited = Sparing()
        metrics.collector_up.set(1)

    def decided(
        self,
        prepared: Prepared,
        decision: Decision,
        duration_ms: float,
        relayed: Relayed | None = None,
        relay_ms: float = 0.0,
    ) -> None:
        """Say the fate of each event of a request, after it was kept and as its answer leaves.

        `relayed`: what came of the wait for the collector's answer, where the reply waited, and `relay_ms`: how long.
        """
        envelope, owner = prepared.scope.envelope, prepared.scope.owner
        portal_id, prop_id = envelope.portal_id, envelope.prop_id
        if owner is None:
            portal_id, prop_id = redact(portal_id), redact(prop_id)
        stranger = bool(prepared.request.head.origin) and not prepared.origin_allowed
        for verdict in decision.verdicts:
            reason = verdict.rejection.reason
            fate = FATES[reason]
            outcome, reason_text = WORDS[reason]
            self._metrics.event(fate.outcome, reason)
            if reason is Reason.RATE_LIMITED and not self.limited.may_say():
                continue
            fields: dict[str, Any] = {
                "outcome": outcome,
                "reason": reason_text,
                "portal_id": portal_id,
                "prop_id": prop_id,
                "duration_ms": _rounded(duration_ms),
            }
            if verdict.event_id:
                _ids(prepared, verdict, fields)
            if stranger:
                # It can't read the answer, so it will send the event again: its origin is missing in the settings.
                fields["origin_allowed"] = False
            if verdict.category:
                fields["category"] = redact(verdict.category)
                fields["action"] = redact(verdict.action)
            if verdict.cid or verdict.identified is not None:
                _identity(verdict, fields)
            if verdict.remarks or verdict.tallies:
                self._remarked(verdict, fields)
            if reason is not Reason.OK:
                fields["field"] = redact(verdict.rejection.field)
                fields["detail"] = verdict.rejection.detail
            if relayed is not None:
                self._metrics.relayed(relayed)
                fields["relayed"] = relayed.value
                fields["relay_ms"] = round(relay_ms, 3)
            level = fate.level
            if verdict.is_new_binding or verdict.repair is not None or verdict.aliases:
                self._count_identity(verdict)
                level = "warning" if verdict.aliases and level == "info" else level
            self._line(level, "event", fields)
        self._metrics.twin(prepared.visitor.twin.state)
        self._metrics.answer_seconds.note(duration_ms / 1000)

    def _remarked(self, verdict: Verdict, fields: dict[str, Any]) -> None:
        fields |= verdict.remarks
        for kind, value in verdict.tallies:
            self._metrics.remarked(kind, value)

    def _count_identity(self, verdict: Verdict) -> None:
        if verdict.is_new_binding:
            self._metrics.bindings.inc()
        if verdict.repair is not None:
            self._metrics.repairs.inc()
        if verdict.aliases:
            self._metrics.aliases.inc()

    def delivered(self, record: Record, attempts: int, duration_ms: float) -> None:
        """Say that the collector took an event."""
        self._metrics.delivery("delivered")
        fields = {
            "result": "delivered",
            "event_id": record.event_id,
            "portal_id": record.portal_id,
            "uid": record.uid,
            "attempts": attempts,
            "duration_ms": _rounded(duration_ms),
        }
        self._line("info", "delivery", fields)

    def retrying(self, record: Record, attempt: int, cause: str, delay_seconds: float) -> None:
        """Say that an attempt failed and when the next is due."""
        self._metrics.delivery("retry")
        self._logger.warning(
            "delivery",
            result="retry",
            event_id=record.event_id,
            portal_id=record.portal_id,
            uid=record.uid,
            attempts=attempt,
            cause=redact(cause),
            delay_seconds=round(delay_seconds, 3),
        )

    def undeliverable(self, record: Record, attempts: int, cause: str) -> None:
        """Say that the collector refused an event for good: it is among the dead letters."""
        self._given_up("undeliverable", record, attempts, cause)

    def expired(self, record: Record, attempts: int) -> None:
        """Say that an event became too old to deliver: it is among the dead letters."""
        self._given_up("expired", record, attempts, "older than collector.max_age_hours")

    def erased(self, record: Record, attempts: int) -> None:
        """Say that an event went nowhere, because its UID was erased while it waited."""
        self._metrics.delivery("erased")
        self._logger.info(
            "delivery",
            result="erased",
            event_id=record.event_id,
            portal_id=record.portal_id,
            uid=record.uid,
            attempts=attempts,
        )

    def release(self, entry: QuarantineEntry, way: str, result: str, reason: str) -> None:
        """Say what became of a release order: `released`, for what it was held; `stayed`, why."""
        self._metrics.release(result)
        log = self._logger.info if result == "released" else self._logger.warning
        log(
            "release",
            result=result,
            reason=str(reason),
            way=str(way),
            event_id=entry.event_id,
            portal_id=redact(entry.portal_id),
            uid=redact(entry.uid),
        )

    def held(self, by_reason: Mapping[str, int]) -> None:
        """Say how many events the quarantine holds, by reason."""
        self._metrics.held(by_reason)

    def bound(self, count: int) -> None:
        """Count customers that were bound by a release."""
        self._metrics.bindings.inc(count)

    def dropped_oldest(self, payloads: Sequence[bytes]) -> None:
        """Say that accepted events were dropped from the full spool to make room for newer ones: each has a line and a count."""
        fate = FATES[Reason.MADE_ROOM]
        for payload in payloads:
            self._metrics.delivery(fate.outcome)
            fields: dict[str, Any] = {"result": fate.outcome.value}
            try:
                record = unpack(payload)
            except (msgspec.DecodeError, UnicodeDecodeError):
                fields["event_id"] = "unreadable"
            else:
                fields["event_id"] = record.event_id
                fields["portal_id"] = record.portal_id
                fields["uid"] = record.uid
                fields["accepted_ms"] = record.accepted_ms
            fields["cause"] = "the spool was full (spool.max_bytes) and newer events came"
            self._line(fate.level, "delivery", fields)

    def state(self, name: str, cause: str) -> None:
        """Say that the collector is left alone, tried again, or back."""
        self._metrics.collector_up.set(0 if name == "open" else 1)
        log = self._logger.warning if name == "open" else self._logger.info
        log("collector", state=name, cause=redact(cause))

    def collector_away(self) -> None:
        """Note that one of several collectors is away, whatever was said of another."""
        self._metrics.collector_up.set(0)

    def archived(self, counts: dict[str, int], size: int, *, is_stopped: bool) -> None:
        """Count what the archive did with delivered events since the last call, and note how it is."""
        self._metrics.archive(counts, size, is_stopped=is_stopped)

    def changed(self, event: str, **fields: object) -> None:
        """Say a change of state of the gateway itself: started, stopping, ready."""
        self._logger.info(event, **fields)

    def warned(self, event: str, **fields: object) -> None:
        """Say something that a person should look at, and that nothing is broken by."""
        self._logger.warning(event, **fields)

    def trouble(self, event: str, **fields: object) -> None:
        """Say that something is wrong that a person may have to mend."""
        self._logger.error(event, **fields)

    def _given_up(self, result: str, record: Record, attempts: int, cause: str) -> None:
        self._metrics.delivery(result)
        self._logger.error(
            "delivery",
            result=result,
            event_id=record.event_id,
            portal_id=record.portal_id,
            uid=record.uid,
            attempts=attempts,
            cause=redact(cause),
        )


def _rounded(milliseconds: float) -> float:
    """Give milliseconds to the microsecond. Both are positive, so it need not be as exact about halves as `round`."""
    return int(milliseconds * 1000 + 0.5) / 1000


def _ids(prepared: Prepared, verdict: Verdict, fields: dict[str, Any]) -> None:
    fields["event_id"] = verdict.event_id
    own = verdict.request_id
    # Longer ones can't be a phone number, and nearly all are new: a look at each would only cost.
    fields["request_id"] = own if len(own) > _LONGEST_PHONE else redact(own)
    fields["uid"] = verdict.uid
    fields["uid_source"] = prepared.uid_source
    twin = prepared.visitor.twin.state
    if twin in _BAD_TWINS:
        # Somebody may be trying; or a key was taken out of cookies.keys too early.
        fields["twin"] = twin.value
    if verdict.came_with:
        fields["uid_replaced"] = verdict.cause
        if verdict.cause != "erased":
            # Nothing leads from an erased UID to the one that comes after it.
            fields["uid_came_with"] = verdict.came_with


def _identity(verdict: Verdict, fields: dict[str, Any]) -> None:
    identified = verdict.identified
    if verdict.cid:
        fields["cid"] = redact(verdict.cid)
        derived = identified is not None and identified.is_derived
        claimed = identified is not None and identified.cid is not None
        fields["cid_source"] = "derived" if derived else "event" if claimed else "ledger"
    if verdict.entry is not None and verdict.entry.bound_cid:
        fields["bound_cid"] = redact(verdict.entry.bound_cid)
    if verdict.is_new_binding:
        fields["bound"] = True
    if verdict.aliases:
        fields["identity_alias"] = [{"key": each.key, "first_cid": each.cid} for each in verdict.aliases]
    if identified is None:
        return
    if verdict.repair is not None:
        fields["cid_repaired"] = {"wrong": verdict.repair.wrong, "right": verdict.repair.right}
    if identified.placeholders:
        fields["cid_placeholders"] = identified.placeholders
    if identified.unreadable:
        fields["unreadable"] = identified.unreadable
