"""JSONP: which function a script that is an answer may call.

The collector's is `_event_callback_data`. Libraries ask for one of their own (`callback=jQuery36…_17…`), and get it when its name says that it
is one for that. What always holds: the answer calls nothing else. A script of the site's own name that called whatever its address says
would be a way around a page's content security policy, and into its functions (`callback=logout`). Nor does the address choose how
the answer begins, which is what makes other file types of it (CVE-2014-4671).
"""

from __future__ import annotations

import re

DEFAULT = "_event_callback_data"
PARAMETERS = ("callback", "jsonp")
"""The query parameters that name a function, the first that is there."""

_LONGEST = 64
_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*\Z")
_SAYS_SO = re.compile(r"(?i:callback|jsonp)|\A(?:jQuery|Zepto)[0-9]+_[0-9]+\Z|\A__jp[0-9]+\Z")
# AngularJS has a list of them.
_LISTED = re.compile(r"angular\.callbacks\._[0-9a-z]{1,8}\Z")


def is_callback(name: str) -> bool:
    """Tell whether a script may call this function: an ASCII identifier that says that it is a callback, of at most 64 characters."""
    if len(name) > _LONGEST:
        return False
    return bool((_IDENTIFIER.match(name) and _SAYS_SO.search(name)) or _LISTED.match(name))


def script(callback: str, json_text: bytes) -> bytes:
    """Give the script that hands a JSON text to a function; `callback` is one that `is_callback`, or empty for the collector's own."""
    # "<" can't end a script or open a comment in a page that would inline the answer; the two line ends are none in JSON.
    text = (
        json_text.replace(b"<", b"\\u003c")
        .replace(b"\xe2\x80\xa8", b"\\u2028")
        .replace(b"\xe2\x80\xa9", b"\\u2029")
    )
    if callback in {"", DEFAULT}:
        return b"%b(%b);" % (DEFAULT.encode(), text)
    return b"/**/%b(%b);" % (callback.encode(), text)
