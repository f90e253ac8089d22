"""Reads the archive in the order of delivery, beside a gateway that adds to it, in memory for one frame.

What can't be read is told and passed over; a part that is deleted meanwhile, because its time was over, is passed over as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.archive.folder import HOUR_MS
from gateway.archive.frames import read_frames
from gateway.archive.lines import decode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gateway.archive.folder import Folder, Part
    from gateway.archive.lines import Delivery


class Damage(NamedTuple):
    """Bytes of a part that could not be read, and why; the last ones of a part are what a crash left."""

    path: Path
    offset: int
    length: int
    cause: str


class Span(NamedTuple):
    """Moments of delivery, from `since_ms` to before `until_ms`: Unix time in milliseconds."""

    since_ms: int
    until_ms: int

    def parts(self, folder: Folder) -> list[Part]:
        """Give the parts that have hours of it, the oldest first. Raises `OSError`."""
        return [
            each
            for each in folder.parts()
            if each.begin_ms < self.until_ms and each.begin_ms + HOUR_MS > self.since_ms
        ]


class Reading:
    """One walk through the deliveries of a span; `read_bytes` of `total_bytes` says how far it is, `damage` what could not be read.

    Raises `OSError`.
    """

    def __init__(self, folder: Folder, span: Span) -> None:
        self._folder = folder
        self._span = span
        self._parts = span.parts(folder)
        self.total_bytes = sum(each.size for each in self._parts)
        self.read_bytes = 0
        self.damage: list[Damage] = []

    def __iter__(self) -> Iterator[Delivery]:
        begun = 0
        for part in self._parts:
            try:
                with self._folder.reading(part) as (file, size):
                    for frame in read_frames(file, size):
                        if frame.fault:
                            self.damage.append(
                                Damage(part.path, frame.start, frame.end - frame.start, frame.fault)
                            )
                        else:
                            yield from self._deliveries(part, frame.start, frame.data)
                        self.read_bytes = begun + min(frame.end, part.size)
            except FileNotFoundError:
                pass
            begun += part.size
            self.read_bytes = begun

    def _deliveries(self, part: Part, start: int, data: bytes) -> Iterator[Delivery]:
        since_ms, until_ms = self._span
        for line in data.split(b"\n")[:-1]:
            try:
                delivery = decode(line)
            except ValueError as error:
                self.damage.append(Damage(part.path, start, len(line), type(error).__name__))
                continue
            if since_ms <= delivery.delivered_ms < until_ms:
                yield delivery
