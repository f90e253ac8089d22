"""Disks for the tests of the spool: one that refuses and can be copied between two steps, one that loses power.

They are real disks underneath: every step happens in a directory of the test.
"""

from __future__ import annotations

import errno
import os
import shutil
import threading
from typing import TYPE_CHECKING

from gateway.spool.disk import Disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from random import Random

SECTOR = 512
MORE = int(os.environ.get("TRACKING_GATEWAY_SPOOL_RUNS", "1"))
"""How many times more random runs than usual."""


def first_seed() -> int:
    """Give the seed of the first random run."""
    return int(os.environ.get("TRACKING_GATEWAY_SPOOL_SEED", "0"))


class ObservedDisk(Disk):
    """Refuses the steps named in `refused` with an I/O error, counts what is read, and is quiet while it is copied."""

    def __init__(self):
        self.refused: set[str] = set()
        self.steps: list[str] = []
        self.bytes_read = 0
        self.gate = threading.RLock()
        super().__init__(self._step)

    def _step(self, step):
        self.steps.append(step)
        if step in self.refused:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def create(self, path):
        with self.gate:
            return super().create(path)

    def write(self, descriptor, data, offset, what):
        with self.gate:
            super().write(descriptor, data, offset, what)

    def truncate(self, path, size):
        with self.gate:
            super().truncate(path, size)

    def rename(self, old, new, what):
        with self.gate:
            super().rename(old, new, what)

    def remove(self, path, what):
        with self.gate:
            super().remove(path, what)

    def read(self, path, offset, length):
        data = super().read(path, offset, length)
        self.bytes_read += len(data)
        return data

    def crash(self, directory: Path, copy: Path) -> Path:
        """Copy the files as `kill -9` at this moment would leave them."""
        with self.gate:
            shutil.copytree(directory, copy)
        return copy


class _File:
    def __init__(self):
        self.durable = bytearray()
        self.unsynced: list[tuple[int, bytes | None]] = []

    def apply(self, offset: int, data: bytes | None) -> None:
        if data is None:
            del self.durable[offset:]
            return
        self.durable.extend(bytes(max(0, offset + len(data) - len(self.durable))))
        self.durable[offset : offset + len(data)] = data


class ForgetfulDisk(Disk):
    """Knows what was synced. A power cut keeps that, plus any sectors and any names of what was not, in any combination.

    `on_step(step)` is called before and after each step while no other step can happen. What `directory` holds is durable already.
    """

    def __init__(self, on_step: Callable[[str], None], directory: Path | None = None):
        super().__init__(on_step)
        self.gate = threading.RLock()
        self._files: dict[Path, _File] = {}
        self._names: dict[Path, _File] = {}
        # Each is one step: the names that it takes away and gives.
        self._unsynced_names: list[list[tuple[Path, _File | None]]] = []
        self._by_descriptor: dict[int, _File] = {}
        for path in directory.iterdir() if directory and directory.exists() else ():
            file = self._files[path] = self._names[path] = _File()
            file.durable[:] = path.read_bytes()

    def create(self, path):
        with self.gate:
            descriptor = super().create(path)
            file = self._files[path] = self._by_descriptor[descriptor] = _File()
            self._unsynced_names.append([(path, file)])
            return descriptor

    def open(self, path):
        with self.gate:
            descriptor = super().open(path)
            self._by_descriptor[descriptor] = self._files[path]
            return descriptor

    def write(self, descriptor, data, offset, what):
        with self.gate:
            file = self._by_descriptor[descriptor]
            file.unsynced.append((offset, bytes(data)))
            super().write(descriptor, data, offset, what)

    def sync(self, descriptor, what):
        with self.gate:
            file = self._by_descriptor[descriptor]
            self._hook(f"before_{what}_sync")
            for write in file.unsynced:
                file.apply(*write)
            file.unsynced.clear()
            self._hook(f"after_{what}_sync")

    def truncate(self, path, size):
        with self.gate:
            self._files[path].unsynced.append((size, None))
            super().truncate(path, size)

    def rename(self, old, new, what):
        with self.gate:
            file = self._files[new] = self._files.pop(old)
            self._unsynced_names.append([(new, file), (old, None)])
            super().rename(old, new, what)

    def remove(self, path, what):
        with self.gate:
            if self._files.pop(path, None):
                self._unsynced_names.append([(path, None)])
            super().remove(path, what)

    def sync_directory(self, path):  # noqa: ARG002 - one directory a spool
        with self.gate:
            self._hook("before_directory_sync")
            for step in self._unsynced_names:
                for name, file in step:
                    _set_name(self._names, name, file)
            self._unsynced_names.clear()
            self._hook("after_directory_sync")

    def cut_power(self, directory: Path, random: Random) -> None:
        """Put into `directory` what a disk could hold if the power failed now."""
        with self.gate:
            names = dict(self._names)
            for step in self._unsynced_names:
                for path, file in random.choice([[], step[:1], step, step]):
                    _set_name(names, path, file)
            directory.mkdir()
            for path, file in names.items():
                kept = _File()
                kept.durable[:] = file.durable
                for offset, data in file.unsynced:
                    for start, sector in _sectors(offset, data):
                        if random.random() < 0.5:
                            kept.apply(start, sector)
                (directory / path.name).write_bytes(kept.durable)


def _set_name(names: dict[Path, _File], path: Path, file: _File | None) -> None:
    if file is None:
        names.pop(path, None)
    else:
        names[path] = file


def _sectors(offset: int, data: bytes | None):
    """Cut a write where a disk may tear it: at multiples of a sector of the file."""
    if data is None:
        yield offset, None
        return
    at = 0
    while at < len(data):
        size = min(SECTOR - (offset + at) % SECTOR, len(data) - at)
        yield offset + at, data[at : at + size]
        at += size
