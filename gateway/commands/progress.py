"""A progress bar on standard error, for people: on a terminal, and never beside a JSON document."""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Self

_STEP_SECONDS = 0.1


class Bar:
    """A bar from 0 to `total` (0: unknown) while its block is entered."""

    def __init__(self, title: str, total: int, *, as_json: bool = False) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=as_json or not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task(title, total=total or None, note="")
        self._next_step = 0.0

    def __enter__(self) -> Self:
        try:
            self._progress.start()
        except BaseException:
            # Somebody interrupts: the cursor must not stay hidden.
            self._progress.stop()
            raise
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._progress.stop()

    @contextlib.contextmanager
    def hidden(self) -> Iterator[None]:
        """Take the bar away while something is asked."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def at_of(self, done: int, total: int) -> None:
        """Say how far it is, of a total that was not known before."""
        now = time.monotonic()
        if now >= self._next_step:
            self._next_step = now + _STEP_SECONDS
            self._progress.update(self._task, completed=done, total=total)

    def at(self, done: int, note: str = "") -> None:
        """Say how far it is; may be called for each of many rows."""
        now = time.monotonic()
        if now >= self._next_step:
            self._next_step = now + _STEP_SECONDS
            self._progress.update(self._task, completed=done, note=note)
