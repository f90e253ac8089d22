"""Whether a gateway serves from the same data folder at this moment."""

from __future__ import annotations

import fcntl
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_LOOK_SECONDS = 1.0


class Neighbour:
    """Looks at the lock that a gateway holds on its data folder (`gateway.server`), once a second at most."""

    def __init__(self, data_dir: Path) -> None:
        self._lock = data_dir / "lock"
        self._next_look = 0.0
        self._is_there = False

    def is_there(self) -> bool:
        """Tell whether a gateway runs. Raises `OSError`."""
        if time.monotonic() >= self._next_look:
            self._is_there = self._look()
            self._next_look = time.monotonic() + _LOOK_SECONDS
        return self._is_there

    def _look(self) -> bool:
        try:
            descriptor = os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            # Held for microseconds: a gateway that starts in them would be told that another one runs.
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False
