"""The files that commands write: they say who is who, so a new one can be read by its owner alone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from pathlib import Path


def open_private(path: Path, *, append: bool = False) -> BinaryIO:
    """Open a file for writing, from its beginning or behind its end. Raises `OSError`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if append else os.O_TRUNC)
    return os.fdopen(os.open(path, flags, 0o600), "ab" if append else "wb", buffering=1 << 18)
