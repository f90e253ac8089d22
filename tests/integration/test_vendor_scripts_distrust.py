"""The vendor's scripts where something is lost, can't be read, or comes with strange words: nothing that nobody has let in reaches a page."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os

import pytest

from gateway.assets.pinning import State, decided
from gateway.assets.versions import VersionStore
from tests.vendor_host import insight
from tests.vendor_process import PATH, Process

OLD, NEW = insight(), insight("2.0")
OLD_HASH, NEW_HASH = (hashlib.sha256(each).hexdigest() for each in (OLD, NEW))


@contextlib.asynccontextmanager
async def answering(vendor, answer):
    """Let every request to the vendor be answered with these bytes, whatever HTTP they are."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    vendor.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()


def reject(tmp_path, sha256):
    """Say what a person says at night."""
    VersionStore(tmp_path / "assets").change(lambda index: decided(index, sha256, State.REJECTED, 1))


async def test_a_record_that_cant_be_read_lets_nothing_new_in(tmp_path, vendor):
    """After a restart the gateway does not know what was held or rejected: pages get no script rather than one that a person has refused."""
    async with Process(tmp_path, vendor, on_change="hold") as process:
        await process.serves("1.0")
        vendor.contents[PATH] = NEW
        await process.keeper.refresh(PATH)
    index = tmp_path / "assets" / "index.json"
    record = index.read_bytes()
    index.write_bytes(b"{")
    async with Process(tmp_path, vendor, on_change="hold", first_wait_seconds=0) as process:
        await process.keeper.refresh(PATH)
        assert 503 == await process.text()
        assert "holds no index" in process.scripts.trouble()
        index.write_bytes(record)
        await process.serves("1.0")


async def test_a_change_is_held_also_where_nothing_can_be_recorded(tmp_path, vendor, monkeypatch):
    """The first copy is served from memory; the next one waits, also when the disk has room again."""

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async with Process(tmp_path, vendor, on_change="hold") as process:
        with monkeypatch.context() as patched:
            patched.setattr(VersionStore, "_write", full)
            await process.serves("1.0")
            vendor.contents[PATH] = NEW
            for _ in range(2):
                await process.keeper.refresh(PATH)
                assert "1.0" in await process.text()
        await process.keeper.refresh(PATH)
        assert "1.0" in await process.text()
        tracked = VersionStore(tmp_path / "assets").load().assets[PATH]
        assert (OLD_HASH, True) == (tracked.served.sha256, tracked.is_held)


async def test_a_rejected_version_is_taken_away_also_where_nothing_can_stand_in(tmp_path, vendor):
    """The content of the version before is lost: no script is better than one that a person has called bad."""
    async with Process(tmp_path, vendor, first_wait_seconds=0) as process:
        await process.serves("1.0")
        vendor.contents[PATH] = NEW
        await process.keeper.refresh(PATH)
        (tmp_path / "assets" / OLD_HASH).unlink()
        reject(tmp_path, NEW_HASH)
        [line] = await process.said("script_withdrawn")
        assert (PATH, "rejected", 404) == (line["asset"], line["cause"], await process.text())


async def test_a_rejected_version_is_not_kept_alive_by_those_who_cache_it(tmp_path, vendor):
    """They may answer for a gateway in trouble with what they have: this is no trouble. Nobody waits, and an approval brings it back."""
    async with Process(tmp_path, vendor, first_wait_seconds=30) as process:
        await process.serves("1.0")
        reject(tmp_path, OLD_HASH)
        await process.said("script_withdrawn")
        reply = await process.get()
        assert (404, "no-store") == (reply.status, dict(reply.headers)["Cache-Control"])
    async with Process(tmp_path, vendor, first_wait_seconds=30) as process:
        assert 404 == await process.text()
        VersionStore(tmp_path / "assets").change(lambda index: decided(index, OLD_HASH, State.APPROVED, 2))
        await process.serves("1.0")


async def test_what_can_stand_in_outlasts_many_changes_that_are_held(tmp_path, vendor):
    """However many versions wait: the one before the one that is served is still there to go back to."""
    async with Process(tmp_path, vendor) as process:
        await process.serves("1.0")
        vendor.contents[PATH] = NEW
        await process.keeper.refresh(PATH)
    async with Process(tmp_path, vendor, on_change="hold", keep_versions=2) as process:
        for number in range(4):
            vendor.contents[PATH] = insight(f"9.{number}")
            await process.keeper.refresh(PATH)
        reject(tmp_path, NEW_HASH)
        await process.serves("1.0")


@pytest.mark.parametrize(
    "etag", [b'"\xff"', b'"%s"' % (b"a" * 7_000), b"no quotes", '"é"'.encode()], ids=("bytes", "long", "bare", "letters")
)  # fmt: skip
async def test_a_vendors_strange_validators_keep_no_script_from_being_served(tmp_path, vendor, etag):
    """What can't be kept or sent back is as if it had not been said."""
    head = b"HTTP/1.1 200 OK\r\nETag: %s\r\nContent-Type: text/javascript\r\nSet-Cookie: \xff=;;=\r\nContent-Length: %d\r\n\r\n"
    async with answering(vendor, head % (etag, len(NEW)) + NEW), Process(tmp_path, vendor) as process:
        await process.serves("2.0")
        assert await process.keeper.refresh(PATH)


async def test_a_vendors_strange_words_can_be_said(tmp_path, vendor):
    """Bytes of its headers that are no text stand in the log as escapes."""
    answer = b"HTTP/1.1 302 Found\r\nLocation: https://\xff\xfe.example/\r\nContent-Length: 0\r\n\r\n"
    async with answering(vendor, answer), Process(tmp_path, vendor) as process:
        [line] = await process.said("script_not_fetched")
        assert line["cause"].isascii()


async def test_an_index_that_was_moved_away_is_begun_anew(tmp_path, vendor):
    """As the hint of a damaged one says; what is served stays meanwhile."""
    async with Process(tmp_path, vendor) as process:
        await process.serves("1.0")
        (tmp_path / "assets" / "index.json").unlink()
        for _ in range(2):
            await process.keeper.refresh(PATH)
            assert "1.0" in await process.text()
        assert [] == process.lines("fault")
        assert OLD_HASH == VersionStore(tmp_path / "assets").load().assets[PATH].current
