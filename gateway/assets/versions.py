"""The vendor's versions on the disk: what was decided about each, and the contents, so that the last good copy survives restarts and outages.

::

    assets/index.json      what was seen and decided (`gateway.assets.pinning`); replaced as a whole, durable before it counts
    assets/<sha256>        a content as the vendor gave it, unpacked; it is what its name says, or is not used
    assets/lock            held while the index is read, changed and written

The gateway's processes and `tracking-gateway script` change the index; all of them read it. What always holds: an index that can be read is one that
somebody wrote whole; a content is there, durably, before the index names it. Files are their owner's alone, and the owner is the folder's also where
`root` wrote them: the gateway must be able to read what a person has decided. All of it blocks and belongs on a thread.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.assets.pinning import Index, to_keep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_INDEX = "index.json"
_FORMAT = 1


class AssetsUnavailable(Exception):
    """The folder with the vendor's versions can't be read or written: which file, why, and what would mend it."""

    def __init__(self, path: Path, cause: str, hint: str) -> None:
        super().__init__(f"{path} can't be used: {cause}")
        self.path = path
        self.cause = cause
        self.hint = hint


class Stamp(NamedTuple):
    """What tells one index from the next without reading it."""

    inode: int
    modified_ns: int
    size: int


class VersionStore:
    """The folder `assets` in a gateway's data folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = folder / _INDEX

    def stamp(self) -> Stamp | None:
        """Give what changes whenever the index does; `None` while there is none, or it can't be asked."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return Stamp(found.st_ino, found.st_mtime_ns, found.st_size)

    def load(self) -> Index:
        """Give the index, an empty one where there is none yet. Raises `AssetsUnavailable`."""
        try:
            index = msgspec.json.decode(self._path.read_bytes(), type=Index)
        except FileNotFoundError:
            return Index()
        except OSError as error:
            raise self._unavailable(error) from None
        except msgspec.DecodeError:
            hint = f"move {self._path} away: the vendor's scripts are then fetched as if for the first time, and nothing that was rejected is known"
            raise AssetsUnavailable(self._path, "it holds no index", hint) from None
        if index.format != _FORMAT:
            hint = "a newer gateway wrote it; use that one"
            raise AssetsUnavailable(self._path, f"its format is {index.format}", hint)
        return index

    def content(self, sha256: str) -> bytes | None:
        """Give a version's content; `None` when it is not kept any more, or is damaged."""
        try:
            content = (self.folder / sha256).read_bytes()
        except OSError:
            return None
        return content if hashlib.sha256(content).hexdigest() == sha256 else None

    def has(self, sha256: str) -> bool:
        """Tell whether a version's content is kept."""
        return (self.folder / sha256).exists()

    def change(
        self, how: Callable[[Index], Index], *, content: bytes | None = None, keep_versions: int = 0
    ) -> Index:
        """Change the index, and give it as it is then; `content` is kept first, and with `keep_versions` the oldest go.

        Raises `AssetsUnavailable`: then the index is as it was, unless the last step alone has failed, which makes it durable. What `how` raises comes through.
        """
        try:
            if not self.folder.exists():
                self.folder.mkdir(mode=0o700, exist_ok=True)
                _sync(self.folder.parent)
            with self._locked():
                before = self.load()
                after = how(before)
                if content is not None:
                    self._keep(content)
                if after != before:
                    self._write(_INDEX, msgspec.json.format(msgspec.json.encode(after), indent=1))
                if keep_versions:
                    self._prune(to_keep(after, keep_versions))
        except OSError as error:
            raise self._unavailable(error) from None
        return after

    def _keep(self, content: bytes) -> None:
        sha256 = hashlib.sha256(content).hexdigest()
        if self.content(sha256) is None:
            self._write(sha256, content)

    def _write(self, name: str, content: bytes) -> None:
        handle, temporary = tempfile.mkstemp(dir=self.folder, prefix=".new.")
        try:
            with os.fdopen(handle, "wb") as file:
                self._give_away(file.fileno())
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self.folder / name)  # noqa: PTH105 -- a name, as mkstemp gives it
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 -- see above
            raise
        _sync(self.folder)

    def _prune(self, kept: set[str]) -> None:
        for each in self.folder.iterdir():
            is_content = len(each.name) == 64 and each.name.isalnum()
            # What a process that was killed had begun to write, while nobody else held the lock.
            if (is_content and each.name not in kept) or each.name.startswith(".new."):
                each.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._give_away(descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _give_away(self, descriptor: int) -> None:
        """Let a file that `root` makes be the folder's owner's."""
        if os.geteuid() == 0:
            owner = self.folder.stat()
            os.fchown(descriptor, owner.st_uid, owner.st_gid)

    def _unavailable(self, error: OSError) -> AssetsUnavailable:
        hint = f"let the gateway's user write {self.folder}, and see that its disk has room"
        return AssetsUnavailable(self.folder, error.strerror or str(error), hint)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
