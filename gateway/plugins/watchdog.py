"""Breaks off a call that takes too long: the system's timer rings, and an exception rises in the midst of it.

What always holds: the exception rises within `run` alone, and never after it. It rises between two steps of Python, also out of a `sleep` or a wait
for a socket; a call within a C library that never comes back can't be broken off by anybody in the same process. In a thread that is
not the main one nothing is broken off.
"""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

# Whoever catches everything is told again.
_AGAIN_SECONDS = 0.05


class BrokenOff(BaseException):
    """A call took too long. No `Exception`, so that fewer catch it by mistake."""


class Watchdog:
    """Runs functions within a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._is_running = False
        self._is_armed = threading.current_thread() is threading.main_thread()
        self._before: Any = signal.signal(signal.SIGALRM, self._ring) if self._is_armed else None

    def close(self) -> None:
        """Give the signal back."""
        if self._is_armed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before)
            self._is_armed = False

    def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function. Raises `BrokenOff` when it takes too long, and whatever it raises itself."""
        if not self._is_armed:
            return function(*arguments)
        signal.setitimer(signal.ITIMER_REAL, self._seconds, _AGAIN_SECONDS)
        try:
            self._is_running = True
            return function(*arguments)
        finally:
            self._is_running = False
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _ring(self, number: int, frame: Any) -> None:
        del number, frame
        if self._is_running:
            raise BrokenOff
