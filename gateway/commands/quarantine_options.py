"""Which events the quarantine's commands mean: by id, reason, time, portal, property and UID."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.options import now_ms, seconds_ago
from gateway.events.remedies import kept_reasons
from gateway.telemetry.redaction import redact
from gateway.terminal import fail

if TYPE_CHECKING:
    from gateway.quarantine.contract import QuarantineStore, Which

EventIds = Annotated[
    list[str] | None,
    typer.Argument(metavar="EVENT_ID", help="These events; else the filters say which."),
]
ReasonOption = Annotated[str, typer.Option(help=f"Only this reason: {', '.join(kept_reasons())}.")]
_TIMES = "RFC 3339, such as 2026-11-30T07:00:00Z, or so long ago: 30m, 2h, 3d."
SinceOption = Annotated[str, typer.Option(metavar="TIME", help=f"Held at this time or later: {_TIMES}")]
UntilOption = Annotated[str, typer.Option(metavar="TIME", help="Held before this time; written alike.")]
PropOption = Annotated[str, typer.Option(help="Only this property.")]
UidOption = Annotated[str, typer.Option(help="Only this UID.")]
AllOption = Annotated[
    bool, typer.Option("--all", help="Every event; needed where neither ids nor filters are given.")
]
YesOption = Annotated[bool, typer.Option("--yes", help="Don't ask. Needed where there is no terminal.")]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Filters:
    """The filters as they were written; `which` reads them."""

    def __init__(
        self,
        event_ids: list[str] | None,
        reason: str,
        since: str,
        until: str,
        portal_id: str,
        prop_id: str,
        uid: str,
    ) -> None:
        self._event_ids = tuple(dict.fromkeys(event_ids or ()))
        self._reason = reason
        self._since = since
        self._until = until
        self._portal_id = portal_id
        self._prop_id = prop_id
        self._uid = uid

    @property
    def is_all(self) -> bool:
        """Whether nothing narrows the choice."""
        texts = (self._reason, self._since, self._until, self._portal_id, self._prop_id, self._uid)
        return not self._event_ids and not any(texts)

    def which(self, *, as_json: bool, frozen: bool = False) -> Which:
        """Give what is meant, or say what is wrong with it and end with 2. `frozen`: nothing that is held from now on."""
        from gateway.quarantine.contract import Which  # noqa: PLC0415 -- `--help` need not wait for it

        reasons = [str(each) for each in kept_reasons()]
        if self._reason and self._reason not in reasons:
            fail(f"--reason: write one of {', '.join(reasons)}", code=2, as_json=as_json)
        now = now_ms()
        since = _moment("--since", self._since, now, as_json=as_json)
        until = _moment("--until", self._until, now, as_json=as_json)
        if frozen:
            until = min(now + 1, until) if until is not None else now + 1
        return Which(
            reason=self._reason or None,
            portal_id=self._portal_id or None,
            prop_id=self._prop_id or None,
            uid=self._uid or None,
            since_ms=since,
            until_ms=until,
            event_ids=self._event_ids,
        )


def chosen(filters: Filters, *, is_all: bool, what: str, as_json: bool) -> Which:
    """Give what a command is to change, as of now; end with 2 where it would be everything, and nobody said so."""
    which = filters.which(as_json=as_json, frozen=True)
    if filters.is_all != is_all:
        hint = (
            f"write which events to {what}: their ids, or filters such as --reason or --since; --all means every one"
            if filters.is_all
            else "--all means every event: leave it out, or the ids and filters"
        )
        fail(hint, code=2, as_json=as_json)
    return which


def summed(counts: dict[str, int]) -> str:
    """Give counts by reason as text, the most first: `10 cid_conflict, 2 too_old`."""
    most_first = sorted(counts.items(), key=lambda each: (-each[1], each[0]))
    return ", ".join(f"{count:,} {reason}" for reason, count in most_first)


def missing(held: QuarantineStore, which: Which) -> list[str]:
    """Give those of the event ids that were named and are not kept, as they may be printed."""
    from gateway.quarantine.contract import Which  # noqa: PLC0415 -- see above

    return [redact(each) for each in which.event_ids if not held.count(Which(event_ids=(each,)))]


def _moment(option: str, text: str, now: int, *, as_json: bool) -> int | None:
    """Give a time as Unix milliseconds, `None` for none."""
    if not text:
        return None
    if (seconds := seconds_ago(text)) is not None:
        return now - seconds * 1000
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        fail(
            f"{option}: write a time with its zone, such as 2026-11-30T07:00:00Z, or how long ago, such as 2h or 3d",
            code=2,
            as_json=as_json,
        )
    return (at - _EPOCH) // timedelta(milliseconds=1)
