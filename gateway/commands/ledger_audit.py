"""`tracking-gateway ledger audit`: what happened to identities, for people and programs."""

from __future__ import annotations

import itertools
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from gateway.commands.ledger_whom import whom
from gateway.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    PortalOption,
    load,
    opened,
    store,
)
from gateway.ledger.transfer import moment
from gateway.terminal import explained, fail, print_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.ledger.contract import AuditEntry, Ledger

_KINDS = ("bind", "import", "conflict", "repair", "alias", "release", "erase")
_WINDOW = 4_096
_FOLLOW_SECONDS = 0.5


def audit(  # noqa: PLR0913 -- each is an option
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    uid: Annotated[str, typer.Option(help="Only this UID.")] = "",
    cid: Annotated[str, typer.Option(help="Only this CID, whether it holds or was refused.")] = "",
    kind: Annotated[str, typer.Option(help=f"Only this kind: {', '.join(_KINDS)}.")] = "",
    portal_id: PortalOption = "",
    after: Annotated[int | None, typer.Option(min=0, help="The first entries behind this number.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many.")] = 50,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens, until Ctrl-C.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document a line.")] = False,
) -> None:
    """List what happened to identities, newest last: bindings, conflicts, repairs, aliases, imports, releases, erasures.

    Without --after these are the last entries. What names a person who was erased is gone; that something happened stays.

    Example: `tracking-gateway ledger audit --kind conflict --limit 20`
    """
    if kind and kind not in _KINDS:
        fail(f"--kind: write one of {', '.join(_KINDS)}", code=2, as_json=json)
    path = store(config, "ledger", as_json=json)
    with explained(as_json=json):
        loaded = load(config, as_json=json)
        ledger = opened(path)
        by_uid = whom(uid, loaded, ledger, portal_id or None) if uid.strip() else None
        by_cid = whom(cid, loaded, ledger, portal_id or None) if cid.strip() else None
        uids = {*by_uid.uids, by_uid.shown} if by_uid else set()
        cids = {each.cid for each in by_cid.customers} if by_cid else set()

        def is_wanted(entry: AuditEntry) -> bool:
            return (
                (not uids or entry.uid in uids)
                and (not cids or bool(cids & {entry.cid, entry.other}))
                and kind in {"", entry.kind}
                and portal_id in {"", entry.portal_id}
            )

        end = ledger.stats().audit_entries
        if after is None:
            entries = _last(ledger, end, limit, is_wanted)
        else:
            entries = list(itertools.islice(filter(is_wanted, ledger.audit(after)), limit))
            end = entries[-1].seq if entries else max(after, end)
        _show(entries, as_json=json)
        if follow:
            _follow(ledger, end, is_wanted, as_json=json)


def _last(ledger: Ledger, end: int, limit: int, is_wanted: Callable[[AuditEntry], bool]) -> list[AuditEntry]:
    """Give the last entries that are wanted, oldest first: looks backwards from the end, a window at a time."""
    found: list[AuditEntry] = []
    while end > 0 and len(found) < limit:
        start = max(0, end - _WINDOW)
        window = itertools.takewhile(lambda entry, end=end: entry.seq <= end, ledger.audit(start))  # type: ignore[misc]
        found = [*filter(is_wanted, window), *found]
        end = start
    return found[-limit:]


def _show(entries: list[AuditEntry], *, as_json: bool) -> None:
    if as_json:
        for entry in entries:
            _print_line(entry)
    else:
        print_rows(
            f"{len(entries)} entr{'y' if len(entries) == 1 else 'ies'}", [_row(each) for each in entries]
        )


def _follow(ledger: Ledger, end: int, is_wanted: Callable[[AuditEntry], bool], *, as_json: bool) -> None:
    try:
        for entry in filter(is_wanted, _coming(ledger, end)):
            if as_json:
                _print_line(entry)
            else:
                sys.stdout.write("  ".join(str(value) for value in _row(entry).values() if value) + "\n")
            sys.stdout.flush()
    except KeyboardInterrupt:
        return


def _coming(ledger: Ledger, end: int) -> Iterator[AuditEntry]:
    while True:
        for entry in ledger.audit(end):
            yield entry
            end = entry.seq
        time.sleep(_FOLLOW_SECONDS)


def _print_line(entry: AuditEntry) -> None:
    document: dict[str, Any] = {
        **_row(entry),
        "is_erased": entry.is_erased,
        "digest": entry.digest,
        "chain": entry.chain,
    }
    sys.stdout.buffer.write(orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def _row(entry: AuditEntry) -> dict[str, Any]:
    return {
        "seq": entry.seq,
        "at": moment(entry.at_ms),
        "kind": entry.kind,
        "portal_id": entry.portal_id,
        "uid": entry.uid,
        "cid": entry.cid,
        "other": entry.other,
        "note": entry.note or ("(erased)" if entry.is_erased else ""),
        "event_id": entry.event_id,
    }
