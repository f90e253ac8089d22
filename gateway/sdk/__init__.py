"""The script that pages load, and the snippet that loads it.

`web_event.js` is one readable file and is served nearly as it stands: only lines that are all comment are blanked, so that
what browsers fetch stays small and a line number in a browser's console is still a line of the file.
"""

from __future__ import annotations

import json
import posixpath
import re
from importlib import resources

from gateway.sdk.snippet import snippet

__all__ = ["script_source", "snippet"]

_COMMENT_LINE = re.compile(rb"^[ ]*//.*$", re.MULTILINE)


_PLACES = b'{ script: "/insight.js", event: "event", stream_event: "stream_event" }'


def script_source(
    script: str = "/insight.js", event: str = "/event", stream_event: str = "/stream_event"
) -> bytes:
    """Give the script as it is served at the path `script`: JavaScript in UTF-8. Reads the package's file at each call.

    `event` and `stream_event` are the gateway's paths to send events to. The script is told them relative to its own, so that a
    proxy may put something before all of them. The paths are of the characters that `[paths]` allows.
    """
    folder = posixpath.dirname(script)
    places = {
        "script": script,
        "event": posixpath.relpath(event, folder),
        "stream_event": posixpath.relpath(stream_event, folder),
    }
    source = resources.files(__name__).joinpath("web_event.js").read_bytes()
    told = b"{ " + ", ".join(f"{key}: {json.dumps(value)}" for key, value in places.items()).encode() + b" }"
    return _COMMENT_LINE.sub(b"", source.replace(_PLACES, told, 1))
