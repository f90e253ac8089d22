"""What is said and counted of the vendor's scripts: fetches, changes, what waits for a person, and what is served."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from prometheus_client import Counter, Gauge

from gateway.telemetry.logging import describe
from gateway.telemetry.redaction import redact

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from gateway.telemetry.journal import Journal


class _Version(Protocol):
    """What is said of a version."""

    @property
    def sha256(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def state(self) -> str: ...
    @property
    def by(self) -> str: ...


class _Tracked(Protocol):
    """What is said of an asset."""

    @property
    def current(self) -> str: ...
    @property
    def confirmed_ms(self) -> int: ...
    @property
    def is_held(self) -> bool: ...
    def version(self, sha256: str) -> _Version | None:
        """Give the version with this hash."""


class ScriptJournal:
    """Says and counts it. A trouble that goes on is said once, and once more when its cause is another."""

    def __init__(self, journal: Journal, registry: CollectorRegistry) -> None:
        self._journal = journal
        self._said: dict[str, str] = {}
        self._fetches = Counter(
            "tracking_gateway_script_fetches",
            "Requests for the vendor's scripts, by what came.",
            ["asset", "result"],
            registry=registry,
        )
        self._changes = Counter(
            "tracking_gateway_script_changes",
            "New contents of the vendor's scripts.",
            ["asset"],
            registry=registry,
        )
        self._held = Gauge(
            "tracking_gateway_script_held",
            "1 while what the vendor gives waits for a person.",
            ["asset"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._missing = Gauge(
            "tracking_gateway_script_missing",
            "1 while a process has no copy of a script to serve.",
            ["asset"],
            registry=registry,
            multiprocess_mode="livemax",
        )
        self._confirmed = Gauge(
            "tracking_gateway_script_confirmed_timestamp_seconds",
            "When the vendor last said what it gives.",
            ["asset"],
            registry=registry,
            multiprocess_mode="livemax",
        )

    def expect(self, path: str) -> None:
        """Begin the series of an asset, so that a rate over its first change is right."""
        for result in ("changed", "unchanged", "failed"):
            self._fetches.labels(path, result)
        self._changes.labels(path)
        self._missing.labels(path).set(1)

    def fetched(self, path: str, *, is_changed: bool) -> None:
        """Count an answer of the vendor's that could be used."""
        self._fetches.labels(path, "changed" if is_changed else "unchanged").inc()
        self._over("script_not_fetched", path, "script_fetched_again")

    def not_fetched(self, path: str, url: str, cause: str, *, has_copy: bool) -> None:
        """Say that the vendor gave nothing that can be used, and what is served meanwhile."""
        self._fetches.labels(path, "failed").inc()
        meanwhile = "the last good copy" if has_copy else "nothing"
        self._once(
            "script_not_fetched",
            path,
            asset=path,
            url=redact(url),
            cause=redact(cause),
            served=meanwhile,
        )

    def changed(self, path: str, before: _Tracked | None, after: _Tracked) -> None:
        """Say that the vendor gives another content than before; the first one ever is no change."""
        new = after.version(after.current)
        assert new is not None
        old = before.version(before.current) if before is not None else None
        fields: dict[str, object] = {
            "asset": path,
            "sha256": new.sha256,
            "size": new.size,
            "state": str(new.state),
            "by": str(new.by),
        }
        if old is None:
            self._journal.changed("script_first_seen", **fields)
            return
        self._changes.labels(path).inc()
        fields |= {"sha256_before": old.sha256, "size_before": old.size}
        if after.is_held:
            hint = f"tracking-gateway script diff {new.sha256[:12]}; then script approve {new.sha256[:12]}, or script reject"
            self._journal.warned("script_changed", **fields, hint=hint)
        else:
            self._journal.changed("script_changed", **fields)

    def served(self, path: str, sha256: str, size: int, left: tuple[str, ...]) -> None:
        """Say that this process serves another content from now on, and which of the vendor's names are in it all the same."""
        self._journal.changed("script_served", asset=path, sha256=sha256, size=size)
        if left:
            hint = "pages may ask the vendor for these: name those that are hosts in script.hosts"
            self._journal.warned("script_names_left", asset=path, names=list(left), hint=hint)

    def withdrawn(self, path: str, cause: str) -> None:
        """Say that this process has nothing to serve any more: `rejected`, `stale`."""
        self._journal.trouble(
            "script_withdrawn",
            asset=path,
            cause=cause,
            hint="script.stale_if_error_hours, or `tracking-gateway script list`",
        )

    def state(self, path: str, tracked: _Tracked | None, *, is_empty: bool) -> None:
        """Set how an asset is."""
        self._missing.labels(path).set(is_empty)
        self._held.labels(path).set(tracked is not None and tracked.is_held)
        if tracked is not None:
            self._confirmed.labels(path).set(tracked.confirmed_ms / 1_000)

    def unrecorded(self, where: str, cause: str, hint: str) -> None:
        """Say that what was seen or decided can't be read or written."""
        self._once("script_not_recorded", where, path=where, cause=cause, hint=hint)

    def recorded(self, where: str) -> None:
        """Note that it can be read and written."""
        self._over("script_not_recorded", where, "script_recorded_again")

    def lost(self, path: str, sha256: str) -> None:
        """Say that the content of a version that may be served is gone or damaged."""
        self._once(
            "script_content_lost",
            path,
            asset=path,
            cause=sha256,
            hint="it is fetched again while the vendor gives it",
        )

    def fault(self, error: Exception) -> None:
        """Say that something went wrong that should not have: what is served stays."""
        self._journal.trouble("fault", message="the vendor's scripts", **describe(error))

    def _once(self, event: str, what: str, **fields: object) -> None:
        key, cause = f"{event} {what}", str(fields["cause"])
        if self._said.get(key) != cause:
            self._said[key] = cause
            self._journal.trouble(event, **fields)

    def _over(self, event: str, what: str, then: str) -> None:
        if self._said.pop(f"{event} {what}", None) is not None:
            self._journal.changed(then, what=what)
