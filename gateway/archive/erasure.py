"""Takes a person's events out of the archive, for good, while a gateway adds to it.

First the generation is raised and the parts that are there are listed, in one hold of the lock: from then on nobody adds to these (`gateway.archive.folder`), so they are
looked through at leisure. A part with events of the person is written anew without them, beside it, synced, and put in its place; the old
bytes are overwritten. A part of which nothing stays is kept, empty, until its time is over: its name must not be given to another one. What can't be read in a part goes as well: nobody can say whose it is. A command that was interrupted can be run again.

What a gateway delivered before the ledger forgot the person, and adds only after this has listed the parts, is asked about there
(`gateway.archive.writer`). So erase the ledger first, or erase again afterwards what came since: `since` is for that.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from gateway.archive.frames import compress, read_frames
from gateway.archive.lines import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from gateway.archive.folder import Folder, Part
    from gateway.archive.frames import Frame
    from gateway.events.model import Record

    IsAbout = Callable[[Record], bool]
    Key = tuple[int, int]

_PIECE = 1 << 20


class Erased(NamedTuple):
    """What an erasure did: how many events went, and the parts that it looked through, by their keys."""

    events: int
    seen: frozenset[Key]


def erase(
    folder: Folder,
    is_about: IsAbout,
    *,
    since: Collection[Key] = (),
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Erased:
    """Remove every event that `is_about` somebody, durably on return; parts in `since` were looked through before.

    Waits for another erasure. `progress` hears how many bytes of how many were looked through. Raises `OSError`; what was removed before stays so.
    """
    if not folder.exists:
        return Erased(0, frozenset())
    with folder.erasing():
        with folder.locked() as lock:
            lock.raise_generation()
            parts = folder.parts()
        wanted = [each for each in parts if each.key not in since]
        total = sum(each.size for each in wanted)
        done = count = 0
        for part in wanted:
            for found, end in _clean(folder, part, is_about):
                count += found
                progress(done + end, total)
            done += part.size
    return Erased(count, frozenset(each.key for each in parts))


def _clean(folder: Folder, part: Part, is_about: IsAbout) -> Iterator[tuple[int, int]]:
    """Remove the events from a part; gives for each frame how many they were and where it ends."""
    new = part.path.with_name(f"{part.path.name}.erased")
    try:
        file = part.path.open("r+b")
    except FileNotFoundError:
        return
    out: BinaryIO | None = None
    try:
        with file:
            has_changed = False
            for frame in read_frames(file, part.size):
                data, found = _without(frame, is_about)
                if (found or frame.fault) and not has_changed:
                    has_changed = True
                    out = _begin(new)
                    _copy(file, out, 0, frame.start)
                if out is not None:
                    if not found and not frame.fault:
                        _copy(file, out, frame.start, frame.end)
                    elif data:
                        out.write(compress(data))
                yield found, frame.end
            if out is not None:
                out.flush()
                os.fsync(out.fileno())
                out.close()
                folder.replace(part, file.fileno(), new)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    finally:
        if out is not None:
            out.close()


def _without(frame: Frame, is_about: IsAbout) -> tuple[bytes, int]:
    """Give the lines of a frame that stay, and how many do not."""
    lines = [line + b"\n" for line in frame.data.split(b"\n")[:-1]]
    stay = [line for line in lines if not _is_about(line, is_about)]
    return b"".join(stay), len(lines) - len(stay)


def _is_about(line: bytes, is_about: IsAbout) -> bool:
    try:
        return is_about(decode(line).record)
    except ValueError:
        # Nobody can say whose it is.
        return True


def _begin(path: Path) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb", buffering=_PIECE)


def _copy(file: BinaryIO, out: BinaryIO, start: int, end: int) -> None:
    descriptor = file.fileno()
    while start < end:
        piece = os.pread(descriptor, min(_PIECE, end - start), start)
        out.write(piece)
        start += len(piece)
