"""One owner of a directory: a lock that the operating system takes back when its process ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

from gateway.spool.contract import SpoolUnavailable

if TYPE_CHECKING:
    from pathlib import Path


class DirectoryLock:
    """Held from construction to `release`. Raises `SpoolUnavailable` when another spool holds it, `OSError` otherwise.

    The file names its owner for people; that it exists means nothing.
    """

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            cause = f"process {owner or 'unknown'} has it open"
            hint = f"give each process a directory of its own, or end the one that uses {directory}"
            raise SpoolUnavailable(str(directory), cause, hint) from None
        except OSError:
            os.close(self._descriptor)
            raise
        # A disk without a free byte must not keep what waits on it from being delivered.
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have the directory."""
        os.close(self._descriptor)
