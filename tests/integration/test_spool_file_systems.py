"""The segment spool on real file systems that fill up or fail under it.

The law in each case: what is in the way is named with what mends it, nothing is acknowledged that is not kept, what was
acknowledged is delivered, and when the disk is well again the spool is too, without being opened anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess

import pytest

from gateway.spool.contract import SpoolUnavailable
from gateway.spool.segments import Tuning, open_segment_spool
from tests.file_systems import fill, in_a_file, in_memory, run, take_inodes, until

SMALL = 16 << 10
QUICK = Tuning(flush_seconds=0.005, retry_seconds=0.02, tail_entries=8)


class Client:
    """Appends numbers to a spool and remembers which were acknowledged."""

    def __init__(self, directory):
        self.directory = directory
        self.promised: list[int] = []
        self._next = 0

    async def open(self):
        self.spool = await open_segment_spool(self.directory, segment_bytes=SMALL, tuning=QUICK)

    async def append(self) -> SpoolUnavailable | None:
        """Append one number; gives why it was not taken."""
        number, self._next = self._next, self._next + 1
        try:
            await asyncio.wait_for(self.spool.append([b"%d" % number + b"." * 500]), 30)
        except SpoolUnavailable as error:
            return error
        self.promised.append(number)
        return None

    async def append_until_refused(self) -> SpoolUnavailable:
        for _ in range(2000):
            if error := await self.append():
                return error
        raise AssertionError("nothing was refused")

    async def append_some(self, count: int = 40) -> None:
        for _ in range(count):
            assert None is await self.append()

    async def take_all(self, *, acknowledge: bool = False) -> None:
        """Read all that waits: exactly what was promised, in order."""
        entries = []
        async with asyncio.timeout(30):
            while len(entries) < len(self.promised):
                entries += await self.spool.read(50)
        assert self.promised == [int(entry.payload.rstrip(b".")) for entry in entries]
        assert 0 == self.spool.damaged
        if acknowledge:
            for entry in entries:
                self.spool.acknowledge(entry.position)
            self.promised.clear()

    async def is_well_again(self) -> None:
        await until(lambda: self.spool.available, "the spool is available again")
        await self.append_some()

    async def reopen(self) -> None:
        await self.spool.close()
        await self.open()


@contextlib.contextmanager
def file_system(kind, where):
    if kind == "tmpfs":
        with in_memory(where, "size=2m", "nr_inodes=40"):
            yield
    else:
        with in_a_file(where, 8, 64):
            yield


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
async def test_without_a_free_byte_it_refuses_and_recovers_by_itself(tmp_path, kind):
    """Not even a restart on the full disk loses or refuses what is there."""
    with file_system(kind, tmp_path / "disk"):
        client = Client(tmp_path / "disk" / "spool")
        await client.open()
        await client.append_some(5)
        filler = fill(tmp_path / "disk")
        error = await client.append_until_refused()
        assert "No space left" in error.cause
        assert "free space" in error.hint
        assert client.spool.trouble is not None
        assert "free space" in client.spool.trouble.hint
        await client.reopen()
        await until(lambda: client.spool.trouble is not None, "it notices the full disk without an append")
        await client.take_all()
        filler.unlink()
        await client.is_well_again()
        await client.reopen()
        await client.take_all(acknowledge=True)
        await client.append_some()
        await client.take_all()
        await client.spool.close()


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
async def test_without_an_inode_it_says_so_and_recovers_by_itself(tmp_path, kind):
    """The system says that there is no space, which is not what would help."""
    with file_system(kind, tmp_path / "disk"):
        client = Client(tmp_path / "disk" / "spool")
        await client.open()
        await client.append_some(5)
        files = take_inodes(tmp_path / "disk")
        error = await client.append_until_refused()
        assert "no inodes" in error.cause
        assert "df -i" in error.hint
        await client.take_all()
        for file in files:
            file.unlink()
        await client.is_well_again()
        await client.reopen()
        await client.take_all()
        await client.spool.close()


async def test_a_disk_that_the_kernel_made_read_only_is_named_and_its_repair_is_noticed(tmp_path):
    """Writes to open files fail too; mounted anew, in place of the old one, it is used without a restart."""
    with in_a_file(tmp_path / "disk", 8, 64) as disk:
        client = Client(tmp_path / "disk" / "spool")
        await client.open()
        await client.append_some()
        disk.become_read_only()
        error = await client.append_until_refused()
        assert "Read-only" in error.cause
        assert "dmesg" in error.hint
        assert not client.spool.available
        await client.take_all()
        disk.unmount()
        disk.repair()
        disk.mount()
        await client.is_well_again()
        await client.spool.close()
        await client.open()
        await client.take_all()
        await client.spool.close()


async def test_a_folder_that_takes_no_files_is_named_and_recovers_by_itself(tmp_path):
    """An immutable folder: the segment that is there is filled, then it refuses, until somebody lifts that."""
    client = Client(tmp_path / "spool")
    await client.open()
    await client.append_some(5)
    run("chattr", "+i", client.directory)
    try:
        error = await client.append_until_refused()
        assert "not permitted" in error.cause
        assert "lsattr" in error.hint
        await client.take_all()
    finally:
        subprocess.run(["chattr", "-i", client.directory], check=True)
    await client.is_well_again()
    await client.reopen()
    await client.take_all()
    await client.spool.close()


async def test_a_disk_that_is_never_quite_full_serves_what_it_can(tmp_path):
    """With room for a few segments only, reading and acknowledging goes on making room, and order is kept throughout."""
    with in_memory(tmp_path / "disk", "size=160k"):
        client = Client(tmp_path / "disk" / "spool")
        await client.open()
        for _ in range(4):
            await client.append_until_refused()
            await client.take_all(acknowledge=True)
            await until(lambda: client.spool.available, "there is room again")
        await client.append_some(3)
        await client.take_all()
        await client.spool.close()
