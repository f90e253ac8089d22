"""`tracking-gateway ledger erase`: a person's right to be forgotten, as far as this machine reaches.

What is discarded first is what a second try could not find any more: the quarantined events, found by the UIDs that the ledger still names.
Then the ledger forgets, and the quarantine is looked through once more for what was held meanwhile. So a command that was interrupted can be
run again.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    counted,
    load,
    now_ms,
    opened,
    store,
    without_address,
)
from gateway.terminal import explained, fail, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gateway.ledger.contract import BoundUid, Erasure

_MAX_REASON = 200
_SHOWN_UIDS = 10
_BEYOND = (
    "Running gateways notice within a second. What can't be erased from here: accepted events that still wait in the spool "
    "are delivered within seconds while the collector answers; the CDP's own copy must be erased there; "
    "so must exports and backups that were made before."
)


def erase(
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    cid: Annotated[str, typer.Option(help="The customer to forget: all UIDs and address keys.")] = "",
    uid: Annotated[
        str, typer.Option(help="One UID to forget. With --portal-id also one that is not bound.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why, for the tombstone: a ticket, never an address.")],
    portal_id: Annotated[str, typer.Option(help="In this portal only, instead of all.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask. Needed where there is no terminal.")] = False,
    json: JsonOption = False,
) -> None:
    """Forget a customer, for good: bindings become tombstones, address keys and quarantined events go.

    A tombstone says when and why, and keeps its UID from ever being bound again. An e-mail address or phone number is looked for by its hash.

    Example: `tracking-gateway ledger erase --cid 55a4a290df001173e4100cd0ae031912 --reason "request 2026-118"`
    """
    from gateway.commands.admission import holds_address  # noqa: PLC0415 -- `--help` need not wait for it

    if bool(cid.strip()) == bool(uid.strip()):
        fail("write either --cid or --uid", code=2, as_json=json)
    reason = reason.strip()
    if not reason or len(reason) > _MAX_REASON or not reason.isprintable():
        fail(f"--reason: write one line of at most {_MAX_REASON} characters", code=2, as_json=json)
    if holds_address(reason):
        fail(
            "--reason holds an e-mail address or a phone number, which would stay for ever: name a ticket instead",
            code=2,
            as_json=json,
        )
    loaded = load(config, as_json=json)
    path = store(config, "ledger", as_json=json)
    with explained(as_json=json):
        cid, uid = (without_address(each, loaded) if each.strip() else "" for each in (cid, uid))
        ledger = opened(path)
        found = ledger.uids_of(cid, portal_id or None) if cid else ledger.find(uid, portal_id or None)
        asyncio.run(ledger.close())
    _ask(cid, uid, [each for each in found if each.erased_ms is None], is_sure=yes, as_json=json)
    uids = {(each.portal_id, each.uid) for each in found}
    if uid:
        uids |= {
            (each, uid) for each in ([portal_id] if portal_id else {p.portal_id for p in loaded.properties})
        }
    with explained(as_json=json):
        erasure, held = asyncio.run(
            _forget(path, portal_id or None, cid=cid, uid=uid, reason=reason, uids=sorted(uids))
        )
    _tell(erasure, held, as_json=json)


async def _forget(
    path: Path, portal_id: str | None, *, cid: str, uid: str, reason: str, uids: Sequence[tuple[str, str]]
) -> tuple[Erasure, int]:
    from gateway.quarantine.sqlite import open_quarantine  # noqa: PLC0415 -- see `erase`

    held = 0
    quarantine_file = path.with_name("quarantine.db")
    quarantine = open_quarantine(quarantine_file) if quarantine_file.exists() else None
    try:
        if quarantine is not None:
            held = await quarantine.erase(portal_id, uids, cid)
        ledger = opened(path, read_only=False)
        try:
            erasure = await ledger.erase(portal_id, cid=cid, uid=uid, reason=reason, now_ms=now_ms())
        finally:
            await ledger.close()
        if quarantine is not None:
            held += await quarantine.erase(portal_id, sorted({*uids, *erasure.uids}), cid)
    finally:
        if quarantine is not None:
            await quarantine.close()
    return erasure, held


def _ask(cid: str, uid: str, bound: Sequence[BoundUid], *, is_sure: bool, as_json: bool) -> None:
    if is_sure:
        return
    if not sys.stdin.isatty():
        fail("there is no terminal to ask on: write --yes when you are sure", code=2, as_json=as_json)
    names = ", ".join(f"{each.uid} (portal {each.portal_id})" for each in bound[:_SHOWN_UIDS])
    more = f" and {len(bound) - _SHOWN_UIDS:,} more" if len(bound) > _SHOWN_UIDS else ""
    lines = [
        f"To be forgotten for good: {f'customer {cid}' if cid else f'UID {uid}'}",
        f"  {counted(len(bound), 'bound UID')}{f': {names}{more}' if bound else ''}",
        *(["  every address key that is known with this customer"] if cid else []),
        "  every quarantined event of these",
    ]
    sys.stderr.write("\n".join(lines) + "\n")
    typer.confirm("Erase?", abort=True, err=True)


def _tell(erasure: Erasure, held: int, *, as_json: bool) -> None:
    document: dict[str, Any] = {
        "ok": True,
        "erased": [{"portal_id": portal, "uid": each} for portal, each in erasure.uids],
        "address_keys": erasure.aliases,
        "quarantined_events": held,
        "beyond": _BEYOND,
    }
    is_nothing = not (erasure.uids or erasure.aliases or held)
    if as_json:
        print_json({**document, "ok": not is_nothing})
    elif is_nothing:
        sys.stderr.write(
            "tracking-gateway: there was nothing to erase: the ledger knows no such id, or it was erased before. "
            "With --uid and --portal-id also a UID that is not bound gets a tombstone\n"
        )
    else:
        sys.stdout.write(
            f"{counted(len(erasure.uids), 'UID has a tombstone', 'UIDs have a tombstone')} now; "
            f"{counted(erasure.aliases, 'address key')} and {counted(held, 'quarantined event')} are gone.\n{_BEYOND}\n"
        )
    if is_nothing:
        raise typer.Exit(1)
