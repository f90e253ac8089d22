"""`tracking-gateway ledger erase`: a person's right to be forgotten, as far as this machine reaches.

What is discarded first is what a second try could not find any more: the quarantined and the archived events, found by the UIDs that the ledger still names.
Then the ledger forgets, each CID of the person as an erasure of its own, and quarantine and archive are looked through once more for what was held or delivered meanwhile. So a command that was interrupted can be
run again.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from gateway.commands.ledger_whom import Customer, whom
from gateway.commands.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    counted,
    load,
    now_ms,
    opened,
    store,
)
from gateway.ledger.contract import LedgerUnavailable
from gateway.ledger.transfer import moment
from gateway.terminal import explained, fail, print_json

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.commands.ledger_whom import Whom
    from gateway.ledger.contract import BoundUid, Ledger
    from gateway.quarantine.contract import QuarantineStore

_MAX_REASON = 200
_SHOWN_UIDS = 10
_BEYOND = (
    "Running gateways notice within a second. What is still elsewhere: events of these UIDs that wait in the spool are neither delivered nor "
    "kept (one on its way in this moment may arrive), and leave its files about a minute after their turn came; log files, and wherever they were shipped to, name the ids; so do exports, files that were imported, their reports, and "
    "backups; the CDP's own copy must be erased there."
)


class _Done(NamedTuple):
    """What was done: the customers who were known, tombstones, address keys, quarantined and archived events; tombstones from before."""

    customers: list[Customer]
    uids: list[tuple[str, str]]
    address_keys: int
    held: int
    archived: int
    before: list[BoundUid]


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
    """Forget a customer, for good: bindings become tombstones, address keys, quarantined and archived events go.

    A tombstone says when and why, and keeps its UID from ever being bound again. By an e-mail address or phone number everybody is
    found who is known by it: under each of its hashes, and by the CIDs that it first came with.

    Example: `tracking-gateway ledger erase --cid 55a4a290df001173e4100cd0ae031912 --reason "request 2026-118"`
    """
    from gateway.commands.admission import holds_address  # noqa: PLC0415 -- `--help` need not wait for it

    cid, uid = cid.strip(), uid.strip()
    if bool(cid) == bool(uid):
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
    portals = {each.portal_id for each in loaded.properties}
    with explained(as_json=json):
        ledger = opened(path)
        if portal_id and portal_id not in {*portals, *ledger.stats().portals}:
            fail(
                f"--portal-id: neither the settings nor the ledger know the portal {portal_id!r}",
                code=2,
                as_json=json,
            )
        meant = whom(cid or uid, loaded, ledger, portal_id or None)
        plan = _plan(meant, ledger, portal_id, portals, is_customer=bool(cid))
        asyncio.run(ledger.close())
    _ask(plan, is_sure=yes, as_json=json)
    with explained(as_json=json):
        done = asyncio.run(_forget(path, portal_id or None, plan, reason, as_json=json))
    _tell(done, as_json=json)


class _Plan(NamedTuple):
    """Who is to be forgotten: customers, UIDs by name, and the rows that the ledger has of them now."""

    shown: str
    customers: list[Customer]
    uids: list[str]
    rows: list[BoundUid]
    held_uids: list[tuple[str, str]]
    texts: list[str]

    @property
    def living(self) -> list[BoundUid]:
        return [each for each in self.rows if each.erased_ms is None]

    @property
    def known(self) -> list[Customer]:
        """The customers whom the ledger has rows of."""
        found = {(each.portal_id, each.cid) for each in self.living}
        return [
            each
            for each in self.customers
            if any(cid == each.cid and each.portal_id in {None, portal} for portal, cid in found)
        ]


def _plan(meant: Whom, ledger: Ledger, portal_id: str, portals: set[str], *, is_customer: bool) -> _Plan:
    if is_customer:
        # A UID that is a hash of the address names the person as well.
        named = meant._replace(uids=meant.uids if meant.is_address else [])
        as_uid, as_cid = named.rows(ledger, portal_id or None)
        held_uids = {(each.portal_id, each.uid) for each in (*as_uid, *as_cid)}
        return _Plan(
            meant.shown, meant.customers, named.uids, [*as_uid, *as_cid], sorted(held_uids), meant.texts
        )
    uids = meant.uids or [meant.shown]
    rows = [row for uid in uids for row in ledger.find(uid, portal_id or None)]
    held_uids = {(each.portal_id, each.uid) for each in rows}
    held_uids |= {(portal, uid) for uid in uids for portal in ([portal_id] if portal_id else portals)}
    return _Plan(meant.shown, [], uids, rows, sorted(held_uids), [])


async def _forget(path: Path, portal_id: str | None, plan: _Plan, reason: str, *, as_json: bool) -> _Done:
    from gateway.commands.archived import ArchivedEvents  # noqa: PLC0415 -- see `erase`
    from gateway.quarantine.sqlite import open_quarantine  # noqa: PLC0415

    quarantine_file = path.with_name("quarantine.db")
    quarantine = open_quarantine(quarantine_file) if quarantine_file.exists() else None
    uids: list[tuple[str, str]] = []
    gone: list[Customer] = []
    held = keys = 0
    archived = ArchivedEvents(
        path.with_name("archive"), portal_id, plan.customers, plan.texts, as_json=as_json
    )
    try:
        if quarantine is not None:
            held = await _discard(quarantine, portal_id, plan, plan.held_uids)
        await archived.erase(plan.held_uids)
        ledger = opened(path, read_only=False)
        try:
            for customer in plan.customers:
                erasure = await ledger.erase(
                    customer.portal_id, cid=customer.cid, reason=reason, now_ms=now_ms()
                )
                uids += erasure.uids
                keys += erasure.aliases
                if erasure.uids or erasure.aliases:
                    gone.append(customer)
            for uid in plan.uids:
                uids += (await ledger.erase(portal_id, uid=uid, reason=reason, now_ms=now_ms())).uids
        except LedgerUnavailable as error:
            raise _explained(path, error, plan) from error
        finally:
            await ledger.close()
        if quarantine is not None:
            held += await _discard(quarantine, portal_id, plan, sorted({*plan.held_uids, *uids}))
        await archived.erase([*plan.held_uids, *uids])
    finally:
        if quarantine is not None:
            await quarantine.close()
    before = [each for each in plan.rows if each.erased_ms is not None]
    return _Done(list(dict.fromkeys([*plan.known, *gone])), uids, keys, held, archived.count, before)


async def _discard(
    quarantine: QuarantineStore, portal_id: str | None, plan: _Plan, uids: list[tuple[str, str]]
) -> int:
    """Discard the quarantined events, each CID in its portal, and give how many went."""
    portals = dict.fromkeys([portal_id, *(each.portal_id for each in plan.customers)])
    count = 0
    for portal in portals:
        cids = [each.cid for each in plan.customers if each.portal_id == portal]
        is_first = portal == portal_id
        count += await quarantine.erase(
            portal, uids if is_first else [], cids, plan.texts if is_first else []
        )
    return count


def _explained(path: Path, error: LedgerUnavailable, plan: _Plan) -> LedgerUnavailable:
    """Say of a failed erasure whether it is done but for the old bytes, which another process that reads keeps in the log."""
    ledger = opened(path)
    left = [row for portal, cid in plan.customers for row in ledger.uids_of(cid, portal)]
    left += [row for uid in plan.uids for row in ledger.find(uid) if row.erased_ms is None]
    if left or not plan.living:
        return error
    hint = "it is erased, but the old bytes stay in the log beside the file while another process reads: run this again when that has ended"
    return LedgerUnavailable(error.where, error.cause, hint)


def _ask(plan: _Plan, *, is_sure: bool, as_json: bool) -> None:
    if is_sure:
        return
    if not sys.stdin.isatty():
        fail("there is no terminal to ask on: write --yes when you are sure", code=2, as_json=as_json)
    living = plan.living
    names = ", ".join(f"{each.uid} (portal {each.portal_id})" for each in living[:_SHOWN_UIDS])
    more = f" and {len(living) - _SHOWN_UIDS:,} more" if len(living) > _SHOWN_UIDS else ""
    customers = plan.known or [each for each in plan.customers if each.cid == plan.shown]
    meant = [f"customer {_named(each)}" for each in customers] or [f"UID {each}" for each in plan.uids]
    lines = [
        *(f"To be forgotten for good: {each}" for each in meant),
        f"  {counted(len(living), 'bound UID')}{f': {names}{more}' if living else ''}",
        *(["  every address key that is known with this customer"] if plan.customers else []),
        "  every quarantined and every archived event of these",
    ]
    sys.stderr.write("\n".join(lines) + "\n")
    typer.confirm("Erase?", abort=True, err=True)


def _named(customer: Customer) -> str:
    return f"{customer.cid} (portal {customer.portal_id})" if customer.portal_id else customer.cid


def _tell(done: _Done, *, as_json: bool) -> None:
    before = [
        {
            "portal_id": each.portal_id,
            "uid": each.uid,
            "erased_at": moment(each.bound_ms),
            "reason": each.reason,
        }
        for each in done.before
    ]
    is_nothing = not (done.uids or done.address_keys or done.held or done.archived or before)
    document: dict[str, Any] = {
        "ok": not is_nothing,
        "cids": [{"cid": each.cid, "portal_id": each.portal_id} for each in done.customers],
        "erased": [{"portal_id": portal, "uid": each} for portal, each in done.uids],
        "erased_before": before,
        "address_keys": done.address_keys,
        "quarantined_events": done.held,
        "archived_events": done.archived,
        "beyond": _BEYOND,
    }
    if as_json:
        print_json(document)
    elif is_nothing:
        sys.stderr.write(
            "tracking-gateway: there was nothing to erase: the ledger knows no such id, or it was erased before; "
            "its log is emptied either way. "
            "With --uid and --portal-id also a UID that is not bound gets a tombstone\n"
        )
    else:
        lines = [f"Forgotten: customer {_named(each)}" for each in done.customers]
        lines += [
            f"Erased before, on {each['erased_at']}: UID {each['uid']} ({each['reason']})" for each in before
        ]
        lines.append(
            f"{counted(len(done.uids), 'UID has a tombstone', 'UIDs have a tombstone')} now; "
            f"{counted(done.address_keys, 'address key')}, {counted(done.held, 'quarantined event')} and "
            f"{counted(done.archived, 'archived event')} are gone."
        )
        sys.stdout.write("\n".join([*lines, _BEYOND]) + "\n")
    if is_nothing:
        raise typer.Exit(1)
