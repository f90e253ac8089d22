"""The script that pages load, and the snippet that loads it.

`web_event.js` is one readable file and is served nearly as it stands: only lines that are all comment are blanked, so that
what browsers fetch stays small and a line number in a browser's console is still a line of the file.
"""

from __future__ import annotations

import re
from importlib import resources

from gateway.sdk.snippet import snippet

__all__ = ["script_source", "snippet"]

_COMMENT_LINE = re.compile(rb"^[ ]*//.*$", re.MULTILINE)


def script_source() -> bytes:
    """Give the script as it is served: JavaScript in UTF-8. Reads the package's file at each call."""
    return _COMMENT_LINE.sub(b"", resources.files(__name__).joinpath("web_event.js").read_bytes())
