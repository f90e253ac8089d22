"""What a disk's refusal means for the person who has to mend it: a cause in words, and a hint that fits this cause.

The spool itself needs no telling when the disk is well again: it tries by itself.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from gateway.spool.contract import SpoolUnavailable

if TYPE_CHECKING:
    from pathlib import Path

_HINTS = {
    errno.ENOSPC: "free space on its disk, or give it a larger one",
    errno.EDQUOT: "raise the quota of the gateway's user on its disk, or free space",
    errno.EROFS: "the system made its disk read-only, as it does after errors: see `dmesg`, repair the disk and mount it writable",
    errno.EIO: "its disk fails: see `dmesg`, and move the data folder to a disk that is well",
    errno.EPERM: "something forbids it, though the modes allow it: see `lsattr -d` (immutable) and the security module's log",
    errno.EACCES: "give the folder and its files to the gateway's user",
    errno.ENOENT: "its folder is gone: mount its disk again, or make the folder",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.ENFILE: "raise the machine's limit of open files (`sysctl fs.file-max`)",
}
_NO_INODES = "delete small files, or make the file system anew with more inodes: `df -i` counts them"


def unavailable(directory: Path, error: BaseException) -> SpoolUnavailable:
    """Give what to say while the spool in a directory can't take more because of this error."""
    number = error.errno if isinstance(error, OSError) else None
    cause = str(error) or type(error).__name__
    hint = _HINTS.get(number or 0, "mend its disk")
    if number == errno.ENOSPC and _has_no_inodes(directory):
        cause, hint = "no inodes are left on its file system", _NO_INODES
    return SpoolUnavailable(str(directory), cause, f"{hint}; the gateway tries again by itself")


def _has_no_inodes(directory: Path) -> bool:
    """Tell which of the two ways of being full it is: the system has one number for both."""
    try:
        status = os.statvfs(directory)
    except OSError:
        return False
    # A file system that makes inodes as it needs them says 0 of 0.
    return bool(status.f_files) and not status.f_favail
