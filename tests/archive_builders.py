"""Small builders for the archive's tests: deliveries, folders that refuse, and what stands in an archive."""

from __future__ import annotations

import errno
import os

import orjson

from gateway.archive.folder import Folder
from gateway.archive.lines import Delivery, milliseconds
from gateway.archive.reading import Reading, Span
from gateway.archive.writer import Writer
from gateway.events.model import Record

NOON_MS = milliseconds("2026-11-30T12:00:00Z")
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
ALWAYS = Span(0, 1 << 60)


def delivery(name, uid="u1", delivered_ms=NOON_MS, portal_id="1", **fields):
    """Give a delivery whose event is called `name`; `fields` are the body's."""
    record = Record(
        name,
        portal_id,
        "2",
        uid,
        NOON_MS - 1_234,
        f"request_id={name}",
        orjson.dumps({"name": name, **fields}),
    )
    return Delivery(record, delivered_ms, 1)


class Clock:
    """A clock that is set by hand: Unix time in seconds."""

    def __init__(self, now_ms=NOON_MS):
        self.now_ms = now_ms

    def __call__(self):
        return self.now_ms / 1000


class FullFolder(Folder):
    """A folder on a disk that takes `room` more bytes, and may say how much is left (`free_bytes`)."""

    def __init__(self, path):
        super().__init__(path)
        self.room = 1 << 40
        self.free_bytes = 1 << 40
        self.may_cut = True

    def append(self, descriptor, data, offset):
        part = data[: self.room]
        super().append(descriptor, part, offset)
        self.room -= len(part)
        if len(part) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def cut(self, descriptor, size):
        if not self.may_cut:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().cut(descriptor, size)

    def free(self):
        return self.free_bytes, 1 << 40


def make_writer(folder, erased=frozenset(), clock=None, **options):
    """Give a writer for whom the (portal_id, uid) in `erased` are, at the moment of asking."""
    values = {"days": 7, "max_bytes": 1 << 40, "clock": clock or Clock(), **options}
    return Writer(folder, erased=lambda keys: {each for each in keys if each in erased}, **values)


def names(folder, span=ALWAYS):
    """Give the ids of the events in an archive, in its order; nothing in it may be damaged."""
    reading = Reading(folder, span)
    found = [each.record.event_id for each in reading]
    assert [] == reading.damage
    return found


def files(folder):
    """Give the names of an archive's parts, the oldest first."""
    return [each.path.name for each in folder.parts()]
