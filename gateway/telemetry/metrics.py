"""The numbers that are scraped: events by outcome and reason, deliveries by result, how much waits.

With several workers each process counts into files of its own and the scrape adds them up (`PROMETHEUS_MULTIPROC_DIR`, set by
the supervisor before the workers start). A process that takes another's place goes on in its files, so there are never more of them than
processes. Their space is taken before they are used: they are mapped into memory, and a full disk would end whoever writes there (SIGBUS).
"""

from __future__ import annotations

import os
from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
    multiprocess,
    values,
)

from gateway.events.outcome import FATES, Reason
from gateway.events.relay import Relayed
from gateway.events.remedies import REMEDIES
from gateway.events.twin import TwinState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gateway.events.outcome import Outcome

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_FILES = ("counter", "histogram", "gauge_livesum", "gauge_livemin", "gauge_livemax")
# Twice what all series take.
_FILE_BYTES = 1 << 17
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class _StepCounter(Counter):
    """A counter that goes up by one, or a series of it, without the checks of `inc`, which take three times as long as counting."""

    def step(self) -> None:
        """Count one more."""
        self._value.inc(1)


class _QuickHistogram(Histogram):
    """A histogram without labels and exemplars that finds a value's bucket by halving."""

    def note(self, seconds: float) -> None:
        """Take one more value."""
        self._sum.inc(seconds)
        self._buckets[bisect_left(self._upper_bounds, seconds)].inc(1)


class Metrics:
    """The gateway's own registry."""

    def __init__(self) -> None:
        # A second series for each counter, for its birth, which nobody asked for.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        events = _StepCounter(
            "tracking_gateway_events",
            "Events that came in, by fate.",
            ["outcome", "reason"],
            registry=self.registry,
        )
        deliveries = _StepCounter(
            "tracking_gateway_deliveries",
            "Attempts to deliver and their results.",
            ["result"],
            registry=self.registry,
        )
        self.spool_pending = Gauge(
            "tracking_gateway_spool_pending",
            "Accepted events that are not delivered yet.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.spool_damaged = Gauge(
            "tracking_gateway_spool_damaged_records",
            "Records of the spool that could not be read.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.collector_up = Gauge(
            "tracking_gateway_collector_up",
            "1 while the collector takes events, 0 while it is left alone.",
            registry=self.registry,
            multiprocess_mode="livemin",
        )
        archived = Counter(
            "tracking_gateway_archived",
            "Delivered events and what the archive did with them.",
            ["result"],
            registry=self.registry,
        )
        self._archive_bytes = Gauge(
            "tracking_gateway_archive_bytes",
            "Size of the archive.",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self._archive_stopped = Gauge(
            "tracking_gateway_archive_stopped",
            "1 while the archive can't be written; delivery goes on.",
            registry=self.registry,
            multiprocess_mode="livemax",
        )
        self.bindings = Counter("tracking_gateway_bindings", "Customer ids bound.", registry=self.registry)
        self.repairs = Counter(
            "tracking_gateway_cid_repairs",
            "Customer ids that were a hash of the same address written otherwise.",
            registry=self.registry,
        )
        self.aliases = Counter(
            "tracking_gateway_identity_aliases",
            "Events whose address first came with another customer id.",
            registry=self.registry,
        )
        twins = _StepCounter(
            "tracking_gateway_cookie_twins",
            "Requests that brought a signed cookie, by what it was.",
            ["state"],
            registry=self.registry,
        )
        relayed = Counter(
            "tracking_gateway_relayed",
            "Replies that were to carry the collector's own answer, by what came of it.",
            ["result"],
            registry=self.registry,
        )
        path_requests = _StepCounter(
            "tracking_gateway_path_requests",
            "Requests of parts that have several names, by the name.",
            ["part", "name"],
            registry=self.registry,
        )
        releases = Counter(
            "tracking_gateway_quarantine_releases",
            "Release orders that were carried out, by what became of the event.",
            ["result"],
            registry=self.registry,
        )
        held = Gauge(
            "tracking_gateway_quarantine_entries",
            "Events that wait for a person, and dead letters, by reason.",
            ["reason"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.answer_seconds = _QuickHistogram(
            "tracking_gateway_answer_seconds",
            "From the complete request to the answer, durability included.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.connections = Gauge(
            "tracking_gateway_connections",
            "Clients' connections that are open.",
            registry=self.registry,
            multiprocess_mode="livesum",
        )
        self.connections_refused = _by_why(
            self.registry,
            "tracking_gateway_connections_refused",
            "Connections that were not taken, by whose bound was reached.",
            ("address", "process"),
        )
        self.connections_cut = _by_why(
            self.registry,
            "tracking_gateway_connections_cut",
            "Connections that were closed on their client, by what it was slow with; room: idle, and others needed it.",
            ("head", "body", "reading", "silent", "room", "memory"),
        )
        self.requests_refused = _by_why(
            self.registry,
            "tracking_gateway_requests_refused",
            "Requests that were not read, by what was wrong with their head or framing.",
            ("malformed", "framing", "head_too_large", "target_too_long", "method", "expectation"),
        )
        remarks = _StepCounter(
            "tracking_gateway_remarks",
            "Events of which something was noticed on their way, by what: an event may be counted under several.",
            ["kind", "value"],
            registry=self.registry,
        )
        self._remark = lru_cache(1_024)(remarks.labels)
        self._relayed = lru_cache(16)(relayed.labels)
        self._archived = {name: archived.labels(name) for name in ("kept", "erased", "lost")}
        self._tls_failures = _StepCounter(
            "tracking_gateway_tls_failures",
            "Handshakes that failed, by why.",
            ["kind"],
            registry=self.registry,
        )
        self._tls_expires: Gauge | None = None
        self._geo_age: Gauge | None = None
        self._path_requests = path_requests.labels
        self._release = lru_cache(16)(releases.labels)
        self._held = lru_cache(64)(held.labels)
        # Every series exists from the start, so that a rate over the first event is right.
        self._events = {
            (fate.outcome, reason): events.labels(fate.outcome, reason)
            for reason, fate in FATES.items()
            if fate.status
        }
        self._twins = {state: twins.labels(state) for state in TwinState if state is not TwinState.ABSENT}
        self._delivery = lru_cache(64)(deliveries.labels)
        for result in ("delivered", "retry", "undeliverable", "expired", "erased", "dropped_oldest"):
            self._delivery(result)
        for how in Relayed:
            self._relayed(how.value)
        for result in ("released", "stayed"):
            self._release(result)

    def event(self, outcome: Outcome, reason: Reason) -> None:
        """Count one event that came in."""
        self._events[outcome, reason].step()

    def remarked(self, kind: str, value: str) -> None:
        """Count an event of which this was noticed; both are of closed sets."""
        self._remark(kind, value).step()

    def twin(self, state: TwinState) -> None:
        """Count a request that brought a signed cookie; one that brought none is not counted."""
        if state in self._twins:
            self._twins[state].step()

    def path_counter(self, part: str, name: str) -> Callable[[], None]:
        """Give what counts a request of a part, known by its usual path, under one of its names."""
        return self._path_requests(part, name).step

    def tls_failure(self, kind: str) -> Callable[[], None]:
        """Give what counts a handshake that failed in this way."""
        return self._tls_failures.labels(kind).step

    def tls_expires(self, seconds: float) -> None:
        """Set for how long the certificate is valid; without TLS there is no such number, and nothing that would look like none left."""
        if self._tls_expires is None:
            self._tls_expires = Gauge(
                "tracking_gateway_tls_expires_seconds",
                "For how long the certificate is valid.",
                registry=self.registry,
                multiprocess_mode="livemin",
            )
        self._tls_expires.set(seconds)

    def geo_age(self, seconds: float) -> None:
        """Set how old the database of places is; where none is read there is no such number."""
        if self._geo_age is None:
            self._geo_age = Gauge(
                "tracking_gateway_geo_database_age_seconds",
                "How long ago the database of places was built.",
                registry=self.registry,
                multiprocess_mode="livemax",
            )
        self._geo_age.set(seconds)

    def relayed(self, how: Relayed) -> None:
        """Count one reply that was to carry the collector's answer."""
        self._relayed(how.value).inc()

    def delivery(self, result: str) -> None:
        """Count one attempt or final fate of an accepted event."""
        self._delivery(result).step()

    def archive(self, counts: dict[str, int], size: int, *, is_stopped: bool) -> None:
        """Count delivered events by what the archive did with them; say how large it is, and whether it can't be written."""
        for result, count in counts.items():
            self._archived[result].inc(count)
        self._archive_bytes.set(size)
        self._archive_stopped.set(is_stopped)

    def release(self, result: str) -> None:
        """Count one release order that was carried out."""
        self._release(result).inc()

    def held(self, by_reason: Mapping[str, int]) -> None:
        """Set how many events the quarantine holds; what is not named is none."""
        for reason in (*REMEDIES, *by_reason):
            self._held(str(reason)).set(by_reason.get(reason, 0))

    def exposition(self) -> bytes:
        """Give this process's numbers in Prometheus' text format."""
        return generate_latest(self.registry)


def _by_why(
    registry: CollectorRegistry, name: str, text: str, whys: Iterable[str]
) -> Callable[[str], Counter]:
    """Make a counter whose series all exist from the start; gives the one of a reason."""
    counter = Counter(name, text, ["why"], registry=registry)
    series = {why: counter.labels(why) for why in whys}
    return series.__getitem__


def count_as(name: str, directory: str) -> None:
    """Let this process, one of several, count into the files of this name; to be said before there is a `Metrics`. Raises `OSError`."""
    for kind in _FILES:
        path = os.path.join(directory, f"{kind}_{name}.db")  # noqa: PTH118 -- as the library joins them
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, _FILE_BYTES)
        except OSError as error:
            if not any(os.pread(descriptor, 4, 0)):
                # Without its head it could not be read, and nobody has counted in it.
                os.unlink(path)  # noqa: PTH108
            raise OSError(error.errno, error.strerror, path) from None
        finally:
            os.close(descriptor)
    values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


def merged_exposition(directory: str) -> bytes:
    """Give the numbers of all workers, added up from the files in `directory`."""
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=directory)  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def mark_process_dead(name: str, directory: str) -> None:
    """Take an ended worker's gauges out of the sum; its counts stay."""
    multiprocess.mark_process_dead(name, path=directory)  # type: ignore[no-untyped-call]
