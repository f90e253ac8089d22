"""How batches of claims and notes get into the ledger's file, in the thread that owns the writing connection.

A batch is tried as one statement (`gateway.ledger.intake` says why), as if nobody else had written since: its UIDs unbound as they
were a moment ago, its entries behind the last one that this process knows. When that is wrong, the file's own guards refuse the
statement as a whole. Then the slow way reads, under the write lock, what holds, and decides anew. Where other processes
write all the time, the slow way is taken at once.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw
import orjson

from gateway.events.model import UNBOUND, AuditNote, Binding, Claim
from gateway.ledger.contract import LedgerUnavailable
from gateway.ledger.customers import write_run_if_due
from gateway.ledger.intake import Head, Intake, read_head
from gateway.ledger.keys import TOMBSTONE, decode_key, encode_key
from gateway.ledger.rules import ERASED, judge, owns
from gateway.storage.sqlite_file import transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gateway.storage.sqlite_access import SqliteWriter

PORTAL = "SELECT id FROM portal WHERE portal_id = ?"
GENERATION = "SELECT generation FROM state"

_NEW_PORTAL = "INSERT INTO portal (portal_id) VALUES (?) RETURNING id"
_CIDS = """
SELECT json_group_array(json_array(wanted.key, lower(hex(found.cid))))
FROM json_each(?) AS wanted
CROSS JOIN {table} AS found ON found.portal = wanted.value ->> 0 AND found.{key} = unhex(wanted.value ->> 1)
"""
_BOUND = _CIDS.format(table="binding", key="uid")
_FIRSTS = _CIDS.format(table="alias", key="key")

Key = tuple[str, str]


class Ask(NamedTuple):
    """A claim and its time in Unix ms; and what the asker knew: the binding, the address keys, the generation they are of."""

    claim: Claim
    now_ms: int
    held: Binding
    firsts: Mapping[Key, str]
    generation: int


class Say(NamedTuple):
    """A note for the audit log and its time in Unix ms."""

    note: AuditNote
    now_ms: int


class Job(NamedTuple):
    """Something rare that needs the writer for itself; its answer is what it gives, or the exception that it raises."""

    run: Callable[[SqliteWriter], Any]


Item = Ask | Say | Job


class _Known(NamedTuple):
    """What holds when a batch is decided, besides what each ask knew: it goes before that."""

    bound: Mapping[Key, Binding]
    firsts: Mapping[Key, str]
    is_all: bool


class _Plan:
    """What a batch answers and writes."""

    def __init__(self, intake: Intake, known: _Known) -> None:
        self.intake = intake
        self.answers: list[Binding | None] = []
        self.bound: dict[Key, Binding] = {}
        self.firsts: dict[Key, str] = {}
        self.has_guessed = False
        """Whether an answer takes a UID for unbound, and nothing is written that would fail if it is not."""
        self._known = known

    def decide(self, item: Ask | Say) -> None:
        """Add what one item answers and writes."""
        if isinstance(item, Say):
            self.intake.note(item.note, item.now_ms)
            self.answers.append(None)
            return
        claim = item.claim
        portal_id = claim.portal_id
        key = (portal_id, claim.uid)
        known = self._known
        held = self.bound.get(key) or known.bound.get(key) or (UNBOUND if known.is_all else item.held)

        def first(address: str) -> str | None:
            where = (portal_id, address)
            for firsts in (self.firsts, known.firsts, item.firsts if not known.is_all else known.firsts):
                if (cid := firsts.get(where)) is not None:
                    return cid
            return None

        answer = judge(claim, held, first)
        self.has_guessed = self.has_guessed or (answer.cid is None and claim.cid is not None)
        if answer.is_new and answer.cid is not None:
            self.bound[key] = Binding(answer.cid)
            self.intake.bind(portal_id, claim.uid, answer.cid, claim.event_id, item.now_ms)
        if claim.keys and answer.cid is not None and owns(claim, answer):
            for address in claim.keys:
                if first(address) is None:
                    self.firsts[portal_id, address] = answer.cid
                    self.intake.alias(portal_id, address, answer.cid, item.now_ms)
        self.answers.append(answer)


class Binder:
    """Commits batches through one writer; `portals` is filled with the row ids of portals that are stored."""

    def __init__(self, writer: SqliteWriter, portals: dict[str, int]) -> None:
        self._writer = writer
        self._portals = portals
        self._head: Head | None = None
        self._generation = -1
        self._run_to = 0
        self._is_alone = True
        # A page sends several events at once: those that were asked while the batch before was under way.
        self._last = _Known({}, {}, is_all=False)

    def commit(self, items: Sequence[Item]) -> list[Any]:
        """Give what holds for each ask, in order, after binding the first claimed CID of each unbound UID.

        Notes are appended in between and answered with `None`, jobs are done after both. Raises `LedgerUnavailable`.
        """
        writes = [item for item in items if not isinstance(item, Job)]
        answers = iter(self._commit(writes) if writes else ())
        return [self._do(item) if isinstance(item, Job) else next(answers) for item in items]

    def _commit(self, items: Sequence[Ask | Say]) -> list[Binding | None]:
        plan = self._quickly(items) or self._slowly(items)
        self._last = _Known(plan.bound, plan.firsts, is_all=False)
        # The batch is durable, whatever becomes of the run: the next batch tries again.
        with contextlib.suppress(LedgerUnavailable):
            self._run_to = write_run_if_due(self._writer, self._run_to, plan.intake.head.seq)
        return plan.answers

    def _do(self, job: Job) -> Any:
        # What it writes is not known here.
        self._head = None
        try:
            return job.run(self._writer)
        except Exception as error:  # noqa: BLE001 -- it is the job's answer, and goes to its caller alone
            return error

    def _quickly(self, items: Sequence[Ask | Say]) -> _Plan | None:
        """Decide and write the batch in one statement, or give `None` when that can't be or others have written."""
        head, generation = self._head, self._generation
        if head is None or not self._is_alone:
            return None
        if not all(
            _portal_id(item) in self._portals and (isinstance(item, Say) or item.generation == generation)
            for item in items
        ):
            return None
        plan = _plan(items, Intake(head, self._portals), self._last)
        if plan.has_guessed:
            return None
        if plan.firsts:
            plan.intake.insist_on(generation)
        if not plan.intake:
            return plan

        def write(connection: apsw.Connection) -> bool:
            is_whole = plan.intake.is_one_statement
            try:
                with contextlib.nullcontext() if is_whole else transaction(connection):
                    plan.intake.write(connection)
            except apsw.ConstraintError:
                return False
            return True

        # A failure of the sync leaves open what was written.
        self._head = None
        if not self._writer.run(write):
            return None
        self._head = plan.intake.head
        return plan

    def _slowly(self, items: Sequence[Ask | Say]) -> _Plan:
        """Decide the batch by what the file holds, under the write lock, and write it."""
        was, self._head = self._head, None

        def write(connection: apsw.Connection) -> tuple[_Plan, Head, int, int, dict[str, int]]:
            with transaction(connection):
                portals = store_portals(connection, map(_portal_id, items))
                head = read_head(connection)
                claims = [item.claim for item in items if isinstance(item, Ask)]
                known = _Known(
                    read_bound(connection, ((each.portal_id, each.uid) for each in claims), portals),
                    _read_firsts(connection, claims, portals),
                    is_all=True,
                )
                plan = _plan(items, Intake(head, portals), known)
                plan.intake.write(connection)
                generation = connection.execute(GENERATION).get
                run_to = connection.execute("SELECT coalesce(max(to_seq), 0) FROM customer_run").get
            return plan, head, generation, run_to, portals

        plan, head, self._generation, self._run_to, portals = self._writer.run(write)
        # Others write: then it is likely that they will have done so the next time, too.
        self._is_alone = was is None or was == head
        self._head = plan.intake.head
        self._portals.update(portals)
        return plan


def store_portals(connection: apsw.Connection, portal_ids: Iterable[str]) -> dict[str, int]:
    """Give the row ids of portals, which are made where they are new; within a transaction."""
    stored: dict[str, int] = {}
    for portal_id in portal_ids:
        if portal_id not in stored:
            portal: int | None = connection.execute(PORTAL, (portal_id,)).get
            stored[portal_id] = portal or int(connection.execute(_NEW_PORTAL, (portal_id,)).get)
    return stored


def read_bound(
    connection: apsw.Connection, keys: Iterable[Key], portals: Mapping[str, int]
) -> dict[Key, Binding]:
    """Give what holds for the UIDs that are bound or erased."""
    return {
        key: ERASED if cid == TOMBSTONE else Binding(decode_key(cid))
        for key, cid in _read(connection, _BOUND, keys, portals)
    }


def _read_firsts(
    connection: apsw.Connection, claims: Iterable[Claim], portals: Mapping[str, int]
) -> dict[Key, str]:
    keys = [(claim.portal_id, key) for claim in claims for key in (*claim.keys, *claim.older_keys)]
    return {key: decode_key(cid) for key, cid in _read(connection, _FIRSTS, keys, portals)} if keys else {}


def _read(
    connection: apsw.Connection, statement: str, keys: Iterable[Key], portals: Mapping[str, int]
) -> list[tuple[Key, bytes]]:
    # One row of JSON: see `gateway.ledger.intake` for why there are few calls.
    wanted = list(dict.fromkeys(keys))
    rows = [(portals[portal_id], encode_key(text).hex()) for portal_id, text in wanted]
    found = connection.execute(statement, (orjson.dumps(rows).decode(),)).get
    return [(wanted[place], bytes.fromhex(cid)) for place, cid in orjson.loads(found)]


def _plan(items: Sequence[Ask | Say], intake: Intake, known: _Known) -> _Plan:
    plan = _Plan(intake, known)
    for item in items:
        plan.decide(item)
    return plan


def _portal_id(item: Ask | Say) -> str:
    return item.note.portal_id if isinstance(item, Say) else item.claim.portal_id
