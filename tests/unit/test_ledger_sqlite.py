"""The ledger's file: opening, reading beside a writer, the cache, and what happens when the world is broken."""

from __future__ import annotations

import asyncio
import random
import resource
import threading
import time

import apsw
import pytest

from gateway.events.model import Alias, AuditNote, Binding, Claim
from gateway.ledger.contract import LedgerUnavailable
from gateway.ledger.keys import encode_key
from gateway.ledger.sqlite import open_sqlite_ledger
from gateway.ledger.verify import verify

PORTAL = "33167"


def claim(uid: str, cid: str | None = None, *, portal_id: str = PORTAL, keys: tuple[str, ...] = ()) -> Claim:
    return Claim(portal_id=portal_id, uid=uid, cid=cid, keys=keys)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ledger.db"


async def filled(path, count: int = 3):
    ledger = open_sqlite_ledger(path)
    await ledger.bind([claim(str(number), f"c{number}") for number in range(count)], 1)
    return ledger


async def test_bindings_are_there_after_opening_again(path):
    """What was bound is found by the next process that opens the file."""
    await (await filled(path)).close()

    ledger = open_sqlite_ledger(path)

    assert ledger.lookup(PORTAL, "2").cid == "c2"
    assert await ledger.bind([claim("2", "another")], 2) == [Binding("c2")]
    await ledger.close()


async def test_the_log_is_synced_at_each_commit(path):
    """The writing connection keeps a log that is synced with each commit, and its reader can't write."""
    ledger = await filled(path)

    writer, reader = ledger._writer._connection, ledger._reader._connection

    assert (writer.pragma("journal_mode"), writer.pragma("synchronous")) == ("wal", 2)
    with pytest.raises(apsw.ReadOnlyError):
        reader.execute("INSERT INTO portal (portal_id) VALUES ('2')")
    await ledger.close()


async def test_a_cached_batch_is_answered_without_waiting(path):
    """A batch whose UIDs are all cached needs neither the store nor a turn of the event loop."""
    ledger = await filled(path)
    before = ledger.stats()

    with pytest.raises(StopIteration) as answered:
        ledger.bind([claim("1", "another"), claim("2")], 2).send(None)

    assert answered.value.value == [Binding("c1"), Binding("c2")]
    assert ledger.stats().cache_hits - before.cache_hits == 2
    assert ledger.stats().cache_misses == before.cache_misses
    await ledger.close()


async def test_a_bound_uid_is_read_without_waiting(path):
    """What the caches do not know is read at once when it is bound: only what is to be written waits for the writer."""
    ledger = await filled(path)
    await ledger.bind([claim("1", "c1", keys=("k",))], 1)
    await ledger.close()
    ledger = open_sqlite_ledger(path)

    assert ledger.known(claim("1", "another", keys=("k",))) == Binding("c1", aliases=(Alias("k", "c1"),))
    assert ledger.known(claim("1", "c1", keys=("k",))) == Binding("c1")
    assert ledger.known(claim("9", "c9")) is None
    await ledger.close()


async def test_a_cached_lookup_gives_the_same_object(path):
    """A hit makes nothing: it gives the binding that is kept."""
    ledger = await filled(path)

    assert ledger.lookup(PORTAL, "1") is ledger.lookup(PORTAL, "1")
    assert ledger.known(claim("1", "c1")) is ledger.lookup(PORTAL, "1")
    await ledger.close()


async def test_the_cache_is_bounded_and_lets_the_oldest_go(path):
    """At most `cache_entries` bindings stay in memory; the first that was kept is the first to go."""
    await (await filled(path, 5)).close()
    ledger = open_sqlite_ledger(path, cache_entries=2)

    for uid in ("0", "1", "0", "2"):
        ledger.lookup(PORTAL, uid)
    hits = ledger.stats().cache_hits
    found = [ledger.lookup(PORTAL, uid).cid for uid in ("1", "2", "0")]

    assert found == ["c1", "c2", "c0"]
    assert hits == 1
    assert ledger.stats().cache_hits == hits + 2
    assert ledger.stats().cache_entries == 2
    await ledger.close()


async def test_an_unbound_uid_is_seen_as_soon_as_another_process_binds_it(path):
    """That a UID is unbound is never remembered: the next lookup sees what others have bound since."""
    here, there = open_sqlite_ledger(path), open_sqlite_ledger(path)
    assert here.lookup(PORTAL, "1").cid is None

    await there.bind([claim("1", "theirs")], 1)

    assert here.lookup(PORTAL, "1").cid == "theirs"
    await here.close()
    await there.close()


async def test_a_claim_that_another_process_overtook_gets_the_winner(path):
    """When a UID is bound elsewhere between the read and the write of a batch, the batch still gives what holds."""
    ledger = await filled(path, 1)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    for uid, cid in (("2", "theirs"), ("3", "mine")):
        other.execute("INSERT INTO binding VALUES (1, ?, ?, 5)", (encode_key(uid), encode_key(cid)))

    batch = asyncio.ensure_future(ledger.bind([claim(uid, "mine") for uid in "1234"], 2))
    # One turn of the loop: the claims were read as unbound, and their batch can only be written after the other's.
    await asyncio.sleep(0)
    other.execute("COMMIT")

    new = Binding("mine", is_new=True)
    assert await batch == [new, Binding("theirs"), Binding("mine"), new]
    assert [ledger.lookup(PORTAL, uid).cid for uid in "1234"] == ["mine", "theirs", "mine", "mine"]
    other.close()
    await ledger.close()


async def test_a_reader_works_beside_a_writer_and_without_one(path):
    """A read-only ledger sees what a running writer binds, and the same when nobody has the file open."""
    writer = await filled(path)
    beside = open_sqlite_ledger(path, read_only=True)
    await writer.bind([claim("9", "c9")], 2)
    assert beside.lookup(PORTAL, "9").cid == "c9"
    await beside.close()
    await writer.close()
    assert sorted(file.name for file in path.parent.iterdir()) == ["ledger.db"]

    alone = open_sqlite_ledger(path, read_only=True)

    assert [row.cid for row in alone.find("9")] == ["c9"]
    assert alone.stats().rows == 4
    await alone.close()


async def test_a_reader_binds_nothing(path):
    """A read-only ledger answers for UIDs that are bound, and refuses to bind one that is not."""
    await (await filled(path)).close()
    ledger = open_sqlite_ledger(path, read_only=True)

    assert await ledger.bind([claim("1", "another"), claim("9")], 2) == [
        Binding("c1"),
        Binding(None),
    ]
    with pytest.raises(LedgerUnavailable, match="reading only"):
        await ledger.bind([claim("9", "c9")], 2)
    await ledger.close()


async def test_a_reader_makes_no_file(path):
    """Reading a ledger that does not exist is an error, and leaves nothing behind."""
    with pytest.raises(LedgerUnavailable) as caught:
        open_sqlite_ledger(path, read_only=True)

    assert caught.value.where == str(path)
    assert "check the path" in caught.value.hint
    assert list(path.parent.iterdir()) == []


def test_a_missing_directory_is_named(tmp_path):
    """The error says which directory to make."""
    with pytest.raises(LedgerUnavailable) as caught:
        open_sqlite_ledger(tmp_path / "nowhere" / "ledger.db")

    assert caught.value.where == str(tmp_path / "nowhere" / "ledger.db")
    assert f"make the directory {tmp_path / 'nowhere'}" in caught.value.hint


@pytest.mark.parametrize("read_only", [False, True])
def test_a_file_that_is_no_database_is_refused(path, read_only):
    """Garbage in the ledger's place is named as such, with the hint to restore a backup, and is left alone."""
    path.write_bytes(b"no database at all\n" * 500)

    with pytest.raises(LedgerUnavailable) as caught:
        open_sqlite_ledger(path, read_only=read_only)

    assert "not a database" in caught.value.cause
    assert "backup" in caught.value.hint
    assert path.read_bytes() == b"no database at all\n" * 500


async def test_a_file_with_broken_pages_is_refused(path):
    """A ledger whose pages were overwritten says so instead of giving an answer."""
    await (await filled(path, 500)).close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))

    with pytest.raises(LedgerUnavailable) as caught:
        open_sqlite_ledger(path, read_only=True).lookup(PORTAL, "1")

    assert "malformed" in caught.value.cause
    assert "backup" in caught.value.hint


@pytest.mark.parametrize("read_only", [False, True])
def test_a_database_of_something_else_is_refused(path, read_only):
    """A foreign SQLite file is not taken over: it stays byte for byte as it was."""
    foreign = apsw.Connection(str(path))
    foreign.execute("CREATE TABLE song (title TEXT)")
    foreign.close()
    before = path.read_bytes()

    with pytest.raises(LedgerUnavailable, match="not a ledger"):
        open_sqlite_ledger(path, read_only=read_only)

    assert path.read_bytes() == before


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_file_of_a_newer_version_is_refused(path, read_only):
    """A ledger that a newer program wrote is not touched by an older one; the message names both versions."""
    await (await filled(path)).close()
    newer = apsw.Connection(str(path))
    newer.pragma("user_version", 3)
    newer.close()

    with pytest.raises(LedgerUnavailable, match="of version 3, this one knows 2") as caught:
        open_sqlite_ledger(path, read_only=read_only)

    assert "newer version of the gateway" in caught.value.hint


async def test_a_file_that_was_never_finished_is_finished(path):
    """A process that died while it made the file leaves an empty one behind, which the next one makes its ledger."""
    path.touch()

    ledger = await filled(path)

    assert ledger.lookup(PORTAL, "1").cid == "c1"
    await ledger.close()


async def test_a_ledger_that_is_busy_for_too_long_fails_and_then_works_again(path):
    """Binding waits for other writers up to a bound, fails with a hint, and works once they are done."""
    ledger = open_sqlite_ledger(path, patience_seconds=0.05)
    await ledger.bind([claim("1", "c1")], 1)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(LedgerUnavailable) as caught:
        await ledger.bind([claim("2", "c2")], 1)
    looked_up = ledger.lookup(PORTAL, "1").cid, ledger.lookup(PORTAL, "2").cid
    other.execute("ROLLBACK")

    assert f"`fuser {path}`" in caught.value.hint
    assert looked_up == ("c1", None)
    assert await ledger.bind([claim("2", "c2")], 1) == [Binding("c2", is_new=True)]
    other.close()
    await ledger.close()


async def test_a_disk_that_takes_no_more_fails_the_batch_and_then_works_again(path):
    """When the log can't grow, binding fails, nothing of the batch is bound, lookups go on; afterwards binding works."""
    ledger = await filled(path)
    claims = [claim(f"u{number}", "c") for number in range(500)]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name("ledger.db-wal").stat().st_size + 100, hard))
    try:
        with pytest.raises(LedgerUnavailable) as caught:
            await ledger.bind(claims, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert "disk" in caught.value.hint
    assert ledger.lookup(PORTAL, "u1").cid is None
    assert ledger.lookup(PORTAL, "1").cid == "c1"
    assert await ledger.bind(claims, 3) == [Binding("c", is_new=True)] * 500
    assert ledger.stats().rows == 503
    await ledger.close()


async def test_a_portal_id_that_is_no_unicode_fails_its_caller_alone(path):
    """A portal id that can't be stored is refused before it joins a batch with the claims of others."""
    ledger = await filled(path)

    with pytest.raises(ValueError, match="surrogates"):
        await ledger.bind([claim("1", "c1", portal_id="\ud800")], 1)

    assert ledger.stats().rows == 3
    await ledger.close()


async def test_closing_finishes_what_is_under_way(path):
    """Claims that were made before `close` are bound, durable and answered."""
    ledger = open_sqlite_ledger(path)
    binds = [asyncio.ensure_future(ledger.bind([claim(str(n), "c")], 1)) for n in range(50)]
    await asyncio.sleep(0)

    await ledger.close()

    assert await asyncio.gather(*binds) == [[Binding("c", is_new=True)]] * 50
    again = open_sqlite_ledger(path, read_only=True)
    assert again.stats().rows == 50
    await again.close()


async def test_the_only_writer_reads_an_anonymous_visitor_once(path):
    """Who is unbound is remembered until the binding, and no longer; without the caller's word it never is."""
    only, careful = open_sqlite_ledger(path, is_only_writer=True), open_sqlite_ledger(path)
    await only.bind([claim("7", "c")], 1)
    for ledger, misses in ((only, 1), (careful, 3)):
        before = ledger.stats().cache_misses
        assert [ledger.lookup(PORTAL, "8").cid for _ in range(3)] == [None] * 3
        assert ledger.stats().cache_misses - before == misses
    assert (await only.bind([claim("8", "d")], 2))[0].cid == "d"
    assert (only.lookup(PORTAL, "8").cid, careful.lookup(PORTAL, "8").cid) == ("d", "d")
    await only.close()
    await careful.close()


async def test_the_bytes_of_the_erased_are_gone(path):
    """After an erasure neither the file nor its log holds the CID, the address keys or the hashes of before, wherever they were."""
    ledger = open_sqlite_ledger(path)
    rng = random.Random(5)
    people = [
        (str(rng.getrandbits(62)), rng.randbytes(16).hex(), rng.randbytes(32).hex()) for _ in range(12_000)
    ]
    for start in range(0, len(people), 400):
        some = people[start : start + 400]
        await ledger.bind([claim(uid, cid, keys=(key,)) for uid, cid, key in some], 1)
    erased = people[::600]
    others = [
        AuditNote(kind="conflict", portal_id=PORTAL, uid="9", cid="x", other=cid) for _, cid, _ in erased
    ]
    await ledger.record(others, 1)
    assert all(has_bytes(path, cid) and has_bytes(path, key) for _, cid, key in erased)

    for _, cid, _ in erased:
        await ledger.erase(None, cid=cid, reason="asked", now_ms=2)

    left = [text for _, cid, key in erased for text in (cid, key) if has_bytes(path, text)]
    assert left == []
    assert verify(ledger).problems == []
    await ledger.close()


def has_bytes(path, text: str) -> bool:
    log = path.with_name("ledger.db-wal")
    content = path.read_bytes() + (log.read_bytes() if log.exists() else b"")
    return bytes.fromhex(text) in content or text.encode() in content


async def test_an_erasure_whose_log_cant_be_cut_says_so_and_can_be_repeated(path):
    """While another process reads, the overwritten bytes can't leave the log: the erasure fails, and is whole when repeated."""
    ledger = open_sqlite_ledger(path, patience_seconds=0.05)
    cid = "5d41402abc4b2a76b9719d911017c592"
    await ledger.bind([claim("1", cid)], 1)
    reader = open_sqlite_ledger(path, read_only=True)

    with reader.still():
        with pytest.raises(LedgerUnavailable, match="locked"):
            await ledger.erase(None, cid=cid, reason="asked", now_ms=2)
        assert ledger.lookup(PORTAL, "1").is_erased
    assert has_bytes(path, cid)
    await ledger.erase(None, cid=cid, reason="asked", now_ms=3)

    assert not has_bytes(path, cid)
    assert [row.erased_ms for row in ledger.find("1")] == [2]
    await reader.close()
    await ledger.close()


async def test_a_failed_note_is_not_taken_for_said(path):
    """A repair that could not be written is written when it is said again."""
    ledger = open_sqlite_ledger(path, patience_seconds=0.05)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    repair = AuditNote(kind="repair", portal_id=PORTAL, uid="1", cid="a", other="b")

    with pytest.raises(LedgerUnavailable):
        await ledger.record([repair], 1)
    other.execute("ROLLBACK")
    await ledger.record([repair], 2)
    await ledger.record([repair], 3)

    assert [2] == [entry.at_ms for entry in ledger.audit()]
    other.close()
    await ledger.close()


async def test_what_is_bound_is_not_kept_past_an_erasure(path):
    """A binding that was answered before an erasure elsewhere but arrives after the refresh does not stay in the cache."""
    here, there = open_sqlite_ledger(path), open_sqlite_ledger(path)
    answers = asyncio.ensure_future(here.bind([claim("1", "c1")], 1))
    # One turn to ask, one to hand the batch to the thread; then none until the other process has erased.
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    deadline = time.monotonic() + 10
    while there.lookup(PORTAL, "1").cid is None:
        assert time.monotonic() < deadline
    assert not answers.done()
    eraser = threading.Thread(target=lambda: asyncio.run(erase(path)))
    eraser.start()
    eraser.join(10)
    here.refresh()

    assert await answers == [Binding("c1", is_new=True)]
    assert here.lookup(PORTAL, "1") == Binding(is_erased=True)
    await here.close()
    await there.close()


async def erase(path) -> None:
    ledger = open_sqlite_ledger(path)
    await ledger.erase(PORTAL, uid="1", reason="asked", now_ms=2)
    await ledger.close()


async def test_who_is_told_that_a_uid_is_erased_does_not_hear_its_customer_again(path):
    """The cached binding of the time before gives way at once, not only at the next refresh."""
    here, there = open_sqlite_ledger(path), open_sqlite_ledger(path)
    claim = Claim(portal_id="1", uid="1", cid="x")
    await here.bind([claim], 1)
    await there.erase(None, cid="x", reason="asked", now_ms=2)
    assert (await here.bind([claim, Claim(portal_id="1", uid="2", cid="y")], 3))[0].is_erased
    assert (here.lookup("1", "1").is_erased, here.lookup("1", "1").cid) == (True, None)
    await here.close()
    await there.close()
