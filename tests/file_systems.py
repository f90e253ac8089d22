"""Real file systems for tests, small enough to fill: in memory, or ext4 in a file. They need the right to mount."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYSFS = Path("/sys/fs/ext4")


def run(*command: object) -> str:
    """Run a command and give what it said; skips the test when this machine does not permit it."""
    words = list(map(str, command))
    try:
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        pytest.skip(f"needs {words[0]}")
    if done.returncode:
        pytest.skip(f"not permitted here: {' '.join(words[:4])}: {done.stderr.strip()[:120]}")
    return done.stdout.strip()


@contextlib.contextmanager
def in_memory(where: Path, *options: str) -> Iterator[Path]:
    """Mount a tmpfs with these options, such as `size=160k` or `nr_inodes=20`."""
    where.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", where)
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", where], check=True)


class Ext4:
    """An ext4 of its own in a file, at `where`."""

    def __init__(self, image: Path, where: Path) -> None:
        self.where = where
        self._image = image
        self._devices: list[str] = []

    def mount(self) -> None:
        """Mount it, by a loop device that it has for itself."""
        device = run("losetup", "--find", "--show", self._image)
        self._devices.append(device)
        run("mount", "-t", "ext4", "-o", "errors=remount-ro", device, self.where)

    def become_read_only(self) -> None:
        """Let the kernel find an error in it, after which it writes no more, to files that are open either."""
        name = Path(self._devices[-1]).name
        assert name.startswith("loop")
        trigger = _SYSFS / name / "trigger_fs_error"
        if not trigger.exists():
            pytest.skip("this kernel can't be told to find an error")
        trigger.write_text("1", encoding="ascii")

    def unmount(self) -> None:
        """Take it away from under those who use it."""
        subprocess.run(["umount", "--lazy", self.where], check=False, capture_output=True)

    def repair(self) -> None:
        """Mend its errors, while it is not mounted."""
        done = subprocess.run(["e2fsck", "-fy", self._image], check=False, capture_output=True, timeout=60)
        assert done.returncode in {0, 1}, done.stdout

    def free(self) -> None:
        """Let go of its devices."""
        for device in self._devices:
            subprocess.run(["losetup", "--detach", device], check=False, capture_output=True)


@contextlib.contextmanager
def in_a_file(where: Path, megabytes: int, inodes: int) -> Iterator[Ext4]:
    """Mount a new ext4 with so much space and so many inodes."""
    where.mkdir(exist_ok=True)
    image = where.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(megabytes << 20)
    run("mkfs.ext4", "-q", "-F", "-m", "0", "-N", inodes, "-O", "^resize_inode", image)
    disk = Ext4(image, where)
    try:
        disk.mount()
        try:
            yield disk
        finally:
            disk.unmount()
    finally:
        disk.free()


def fill(where: Path) -> Path:
    """Take every free byte of a file system, and give the file that holds them."""
    filler = where / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return filler


def take_inodes(where: Path) -> list[Path]:
    """Take every free inode of a file system, and give the empty files that hold them."""
    taken: list[Path] = []
    with contextlib.suppress(OSError):
        while True:
            path = where / f"nothing-{len(taken)}"
            path.touch()
            taken.append(path)
    return taken


async def until(condition, what: str, seconds: float = 30) -> None:
    """Wait until a condition holds."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"waited {seconds} s until {what}") from None
