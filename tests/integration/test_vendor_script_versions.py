"""The versions of the vendor's scripts: recorded, held, approved and rejected, and there after a restart, an outage or a full disk."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os

import pytest

from gateway.assets.pinning import State, confirmed, decided
from gateway.assets.versions import AssetsUnavailable, VersionStore
from tests.processes import until
from tests.vendor_host import insight
from tests.vendor_process import PATH, Process


async def test_a_change_is_served_logged_and_counted(tmp_path, vendor):
    """With the hashes and sizes before and after."""
    async with Process(tmp_path, vendor) as process:
        await process.serves("1.0")
        vendor.contents[PATH] = insight("2.0.0")
        assert await process.keeper.refresh(PATH)
        assert "2.0.0" in await process.text()
        [line] = await process.said("script_changed")
        before, after = insight(), insight("2.0.0")
        assert (hashlib.sha256(before).hexdigest(), len(before)) == (
            line["sha256_before"],
            line["size_before"],
        )
        assert (hashlib.sha256(after).hexdigest(), len(after), "approved") == (
            line["sha256"],
            line["size"],
            line["state"],
        )
        assert (1, 0) == (process.value("changes_total"), process.value("held"))


async def test_a_held_change_is_served_once_it_is_approved(tmp_path, vendor):
    """`on_change = "hold"`: the first copy is trusted, the next one waits; the file that the command writes is noticed."""
    async with Process(tmp_path, vendor, on_change="hold") as process:
        await process.serves("1.0")
        vendor.contents[PATH] = insight("2.0")
        assert await process.keeper.refresh(PATH)
        assert "1.0" in await process.text()
        [line] = await process.said("script_changed")
        assert ("held", "warning", 1) == (line["state"], line["level"], process.value("held"))
        assert "script approve" in line["hint"]
        new = hashlib.sha256(insight("2.0")).hexdigest()
        VersionStore(tmp_path / "assets").change(lambda index: decided(index, new, State.APPROVED, 1))
        await process.serves("2.0")

        async def is_free():
            return process.value("held") == 0

        await until(is_free, "nothing is held any more")


async def test_a_rejected_version_is_taken_back(tmp_path, vendor):
    """At night: what was served before is served again, though the vendor still gives the bad one."""
    async with Process(tmp_path, vendor) as process:
        await process.serves("1.0")
        vendor.contents[PATH] = insight("2.0")
        await process.keeper.refresh(PATH)
        bad = hashlib.sha256(insight("2.0")).hexdigest()
        VersionStore(tmp_path / "assets").change(lambda index: decided(index, bad, State.REJECTED, 1))
        await process.serves("1.0")
        await process.keeper.refresh(PATH)
        assert "1.0" in await process.text()


async def test_a_copy_survives_a_restart_without_the_vendor(tmp_path, vendor):
    """The last good copy is on the disk; it is there before the first request."""
    async with Process(tmp_path, vendor) as process:
        await process.serves("1.0")
    await vendor.stop()
    async with Process(tmp_path, vendor) as process:
        assert "1.0" in await process.text()
        assert await process.text() == await process.text(host="evil.example")


async def test_a_damaged_copy_is_not_served_and_fetched_again(tmp_path, vendor):
    """A content is what its name says or is not used; an older approved one stands in meanwhile."""
    async with Process(tmp_path, vendor) as process:
        await process.serves("1.0")
        vendor.contents[PATH] = insight("2.0")
        await process.keeper.refresh(PATH)
    (tmp_path / "assets" / hashlib.sha256(insight("2.0")).hexdigest()).write_bytes(b"alert(1)")
    vendor.hold()
    async with Process(tmp_path, vendor) as process:
        assert "1.0" in await process.text()
        assert 1 == len(await process.said("script_content_lost"))
        vendor.release()
        await process.serves("2.0")


async def test_a_copy_may_become_too_old(tmp_path, vendor):
    """`stale_if_error_hours` bounds how long the vendor may be away; when it is back its script is too."""
    async with Process(tmp_path, vendor, stale_if_error_hours=1) as process:
        await process.serves("1.0")
        await vendor.stop()
        store = VersionStore(tmp_path / "assets")
        an_hour_ago = store.load().assets[PATH].confirmed_ms - 3_700_000
        store.change(lambda index: confirmed(index, PATH, an_hour_ago))
        await process.said("script_withdrawn")
        waiting = asyncio.ensure_future(process.get())
        await vendor.start()
        await process.keeper.refresh(PATH)
        assert 200 == (await waiting).status


async def test_other_processes_follow_the_files(tmp_path, vendor, monkeypatch):
    """One process asks the vendor; the others serve what it has recorded, and never ask."""
    monkeypatch.setattr("gateway.assets.keeper._PATIENCE_SECONDS", 600)
    async with Process(tmp_path, vendor, is_first=False) as follower, Process(tmp_path, vendor) as first:
        await first.serves("1.0")
        await follower.serves("1.0")
        vendor.contents[PATH] = insight("2.0")
        await first.keeper.refresh(PATH)
        await follower.serves("2.0")
        assert (await first.get()).headers == (await follower.get()).headers
    assert 2 == len(vendor.asked)


@pytest.mark.parametrize("is_recorded", [False, True])
async def test_a_full_disk_keeps_no_script_from_being_served(tmp_path, vendor, monkeypatch, is_recorded):
    """Without any copy on the disk the first one is served from memory; with one, that is served on. The log says so, once."""
    if is_recorded:
        async with Process(tmp_path, vendor) as process:
            await process.serves("1.0")
        vendor.contents[PATH] = insight("2.0")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(VersionStore, "_write", full)
        async with Process(tmp_path, vendor) as process:
            await process.serves("1.0")
            await process.keeper.refresh(PATH)
            assert "1.0" in await process.text()
            [line] = await process.said("script_not_recorded")
            assert ("No space left on device", "error") == (line["cause"], line["level"])
            patched.undo()
            await process.keeper.refresh(PATH)
            assert f"{'2.0' if is_recorded else '1.0'}" in await process.text()
            assert 1 == len(await process.said("script_recorded_again"))
            assert 1 + is_recorded == len(VersionStore(tmp_path / "assets").load().assets[PATH].versions)


async def test_a_follower_asks_for_itself_when_nobody_can_record(tmp_path, vendor, monkeypatch):
    """With a disk that was full from the first day each process serves from its own memory."""
    monkeypatch.setattr("gateway.assets.keeper._PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(VersionStore, "change", _unavailable)
    async with Process(tmp_path, vendor, is_first=False) as follower:
        await follower.serves("1.0")


def _unavailable(self, *_, **__):
    raise AssetsUnavailable(self.folder, "Read-only file system", "see that its disk can be written")


async def test_an_unreadable_index_takes_nothing_off_the_shelves(tmp_path, vendor):
    """What is served stays; the log says what to do, once."""
    async with Process(tmp_path, vendor) as process:
        await process.serves("1.0")
        (tmp_path / "assets" / "index.json").write_text("{", encoding="utf-8")
        await process.said("script_not_recorded")
        assert "1.0" in await process.text()
    async with Process(tmp_path, vendor, first_wait_seconds=0) as process:
        assert 503 == await process.text()
        assert "holds no index" in process.scripts.trouble()
