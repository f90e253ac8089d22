"""Flow dumps of mitmproxy's: its own process reads them, with the addon, for the gateway does not know the format."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

_ROOT = Path(__file__).parents[2]
ADDON = _ROOT / "addons" / "tracking.py"


def found_mitmdump() -> Path | None:
    """Find a mitmdump that can run the addon: the one that `make qa` has made, else the one on the PATH; `None` where either is missing."""
    if not ADDON.exists():
        return None
    own = _ROOT / ".venv-qa" / "bin" / "mitmdump"
    if own.exists():
        return own
    found = shutil.which("mitmdump")
    return None if found is None else Path(found)


def command_for(mitmdump: str, file: str, options: Mapping[str, str]) -> str:
    """Give the command line that checks a dump, to paste into a shell."""
    addon = str(ADDON) if ADDON.exists() else "addons/tracking.py"
    return shlex.join(_words(mitmdump, addon, file, options))


def ran(mitmdump: Path, file: BinaryIO, options: Mapping[str, str]) -> int:
    """Run mitmdump over an open file and give its exit code; what it says goes to standard error. Raises `OSError`."""
    words = _words(str(mitmdump), str(ADDON), f"/dev/fd/{file.fileno()}", options)
    # No shell: each word is an argument.
    return subprocess.run(  # noqa: S603
        words, check=False, stdin=subprocess.DEVNULL, stdout=sys.stderr, pass_fds=(file.fileno(),)
    ).returncode


def _words(mitmdump: str, addon: str, file: str, options: Mapping[str, str]) -> list[str]:
    settings = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    return [mitmdump, "-n", "-r", file, "--set", "flow_detail=0", "-s", addon, *settings]
