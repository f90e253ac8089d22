"""Query strings and forms: text to parameters, as browsers, apps and servers write it.

What always holds: nothing here raises. A GET is often an image tag or a link in a message that nobody can mend, so of broken escapes all
is kept that can be: whole UTF-8 characters, else Windows-1252, else the text as it stands. `%u1EA1` is what `escape()` of old scripts
makes of `ạ` (ECMAScript, annex B.2.1.1). Of a parameter that stands twice the first counts.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

_ESCAPES = re.compile(rb"(?:%[0-9A-Fa-f]{2})+")
_UNITS = re.compile(r"(?:%u[0-9A-Fa-f]{4})+")
# More pieces of old scripts' escapes than any page's title has; what stands behind them is left as it is.
_MOST_UNITS = 2_048
# `dims[customers][email]`: an object as jQuery and PHP write it into a form.
_PART = re.compile(r"(items|dims|extra|context)((?:\[[^\[\]]{0,128}\]){1,16})\Z")
# What a name's parts are made of; whatever stands between them, frameworks read as such.
_WORD = re.compile(r"[\w-]+")


def parts_of(name: str) -> list[str] | None:
    """Give the words that a parameter's name is made of (`customers[0][phone]`, `customer.phone`, ` phone`); `None` when it is one word.

    Servers read an object's parts out of such names, each framework in its own way, and most leave out what stands around them.
    """
    if name.isidentifier():
        return None
    parts = _WORD.findall(name)
    return parts if parts and parts != [name] else None


def parse_query(text: str) -> dict[str, str]:
    """Read a query string or form."""
    values: dict[str, str] = {}
    is_plain = "%" not in text and "+" not in text
    for pair in text.split("&"):
        name, _, value = pair.partition("=")
        if not is_plain:
            name, value = decoded(name), decoded(value)
        if name:
            values.setdefault(name, value)
    return values


def decoded(text: str) -> str:
    """Undo percent-encoding; a `+` is a blank."""
    text = text.replace("+", " ")
    if "%" not in text:
        return text
    if "%u" not in text:
        return _unescaped(text)
    pieces: list[str] = []
    start = 0
    for found in islice(_UNITS.finditer(text), _MOST_UNITS):
        units = bytes.fromhex(found[0].replace("%u", ""))
        pieces += (_unescaped(text[start : found.start()]), units.decode("utf-16-be", "replace"))
        start = found.end()
    return "".join((*pieces, _unescaped(text[start:])))


def _unescaped(text: str) -> str:
    # As `urllib.parse.unquote_to_bytes` has it, but a megabyte of percent signs costs milliseconds, not half a second.
    data = _ESCAPES.sub(_escaped, text.encode("utf-8", "replace"))
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    # A link that was cut in mid-character is UTF-8 all the same; of Windows-1252 hardly two letters in a row look like it.
    if not data.decode("utf-8", "ignore").isascii():
        return data.decode("utf-8", "replace")
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _escaped(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[0].replace(b"%", b"").decode())


def split_request_id(query: str) -> tuple[str, str]:
    """Give the query string without its `request_id`, and that id, decoded.

    What is left repeats from event to event, so that whoever reads it may remember what it means.
    """
    start = query.find("request_id=")
    while start > 0 and query[start - 1] != "&":
        start = query.find("request_id=", start + 1)
    if start < 0:
        return query, ""
    end = query.find("&", start)
    value = query[start + 11 : end] if end >= 0 else query[start + 11 :]
    rest = query[:start] + (query[end + 1 :] if end >= 0 else "")
    return rest, decoded(value) if "%" in value or "+" in value else value


def joined(fields: Mapping[str, str], most: int) -> dict[str, str]:
    """Give the parameters with each object that came in parts (`extra[order_id]=1`) as one, in JSON; numbered parts are a list.

    Where the object came whole as well, the whole one counts. More than `most` parameters are left as they are, to be refused.
    """
    if len(fields) > most or not any("[" in name for name in fields):
        return dict(fields)
    whole: dict[str, str] = {}
    trees: dict[str, dict[str, Any]] = {}
    for name, value in fields.items():
        part = _PART.match(name)
        if part is None:
            whole[name] = value
        else:
            _plant(trees.setdefault(part[1], {}), part[2][1:-1].split("]["), value)
    for name, tree in trees.items():
        whole.setdefault(name, orjson.dumps(_listed(tree)).decode())
    return whole


def _plant(tree: dict[str, Any], keys: list[str], value: str) -> None:
    *above, last = keys
    for key in above:
        # `items[][id]` begins an item of its own each time: nobody can tell which parts belong together.
        below: Any = tree.setdefault(key or str(len(tree)), {})
        if not isinstance(below, dict):
            return
        tree = below
    tree.setdefault(last or str(len(tree)), value)


def _listed(tree: Any) -> Any:
    if not isinstance(tree, dict):
        return tree
    if all(key.isdigit() and key.isascii() and len(key) < 10 for key in tree):
        return [_listed(tree[key]) for key in sorted(tree, key=int)]
    return {key: _listed(each) for key, each in tree.items()}
