"""The script that pages load, its types, and the snippet that loads it.

`web_event.js` is what a person reads and changes. Browsers get `web_event.min.js`, which `make script` makes of it and which is kept beside
it, so that the gateway needs no node: a test says when the two have come apart. The map shows a browser's debugger the readable lines.
"""

from __future__ import annotations

import json
import posixpath
from importlib import resources

from gateway.sdk.snippet import snippet

__all__ = ["script_source", "script_types", "snippet", "source_map"]


def script_source(
    script: str = "/insight.js",
    event: str = "/event",
    stream_event: str = "/stream_event",
    source_map: str = "/insight.js.map",
) -> bytes:
    """Give the script as it is served at the path `script`: JavaScript in UTF-8. Reads the package's file at each call.

    `event` and `stream_event` are the gateway's paths to send events to, `source_map` that of the map, empty where it has none. The script is
    told them relative to its own, so that a proxy may put something before all of them. The paths are of the characters that
    `[paths]` allows.
    """
    folder = posixpath.dirname(script)
    places = {
        "script": script,
        "event": posixpath.relpath(event, folder),
        "stream_event": posixpath.relpath(stream_event, folder),
    }
    text = _read("web_event.min.js")
    for name, place in places.items():
        # They stand behind all other code, so that no column of the map is moved.
        text = text.replace(f'"%{name}%"', json.dumps(place), 1)
    map_line = f"//# sourceMappingURL={posixpath.relpath(source_map, folder)}\n" if source_map else ""
    return f"{text}\n{map_line}".encode()


def source_map() -> bytes:
    """Give the map from the served script to the lines of `web_event.js`, with those lines in it: JSON (ECMA-426)."""
    told = json.loads(_read("web_event.min.js.map"))
    told["sourcesContent"] = [_read(name) for name in told["sources"]]
    return json.dumps(told, separators=(",", ":")).encode()


def script_types() -> str:
    """Give the types of the script's interface: TypeScript declarations."""
    return _read("web_event.d.ts")


def _read(name: str) -> str:
    return resources.files(__name__).joinpath(name).read_text("utf-8")
