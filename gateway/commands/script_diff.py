"""`tracking-gateway script diff`: what a version of the vendor's script changes."""

from __future__ import annotations

import difflib
import itertools
import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.options import DEFAULT_CONFIG, ConfigOption, JsonOption, counted, load
from gateway.commands.script_versions import hash_in, opened_index, store_of
from gateway.terminal import explained, fail, plain, print_json

if TYPE_CHECKING:
    from gateway.assets.pinning import Index

# Minified code is one line: broken where statements and blocks end, it can be compared and read.
_BREAKS = re.compile(r"(?<=[;{}])(?!\n)|(?<=\n)")


def diff(
    version: Annotated[
        str, typer.Argument(metavar="HASH", help="The new version. Without it: the one that the vendor gives now and that waits.")
    ] = "",
    other: Annotated[str, typer.Argument(metavar="OLD", help="The old version. Without it: the one that is served.")] = "",
    *,
    config: ConfigOption = DEFAULT_CONFIG,
    lines: Annotated[int, typer.Option(min=1, max=1_000_000, help="At most so many lines of it.")] = 400,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Show what a version changes, statement by statement: vendors send their scripts as one line. Exit code 0, changes or not.

    Examples: `tracking-gateway script diff`; `tracking-gateway script diff 3fa9c1 77b0e4 --lines 5000`
    """
    loaded = load(config, as_json=json)
    index = opened_index(loaded, as_json=json)
    with explained(as_json=json):
        new = hash_in(index, version) if version else _waiting(index, as_json=json)
        old = hash_in(index, other) if other else _served_beside(index, new, as_json=json)
    store = store_of(loaded)
    texts = []
    for sha256 in (old, new):
        content = store.content(sha256)
        if content is None:
            fail(f"the content of {sha256} is not kept any more, or damaged", as_json=json)
        texts.append(_broken(content.decode("utf-8", "replace")))
    found = list(difflib.unified_diff(texts[0], texts[1], old[:12], new[:12], lineterm="", n=2))
    added = sum(line.startswith("+") for line in found[2:])
    removed = sum(line.startswith("-") for line in found[2:])
    shown = found[:lines]
    if json:
        print_json(
            {
                "old": old,
                "new": new,
                "added": added,
                "removed": removed,
                "lines": shown,
                "is_cut": len(shown) < len(found),
            }
        )
        return
    for line in shown:
        sys.stdout.write(f"{plain(line)}\n")
    cut = f"; {len(found) - len(shown):,} more lines: --lines {len(found)}" if len(shown) < len(found) else ""
    sys.stdout.write(f"{counted(added, 'statement')} added, {removed:,} removed{cut}\n")


def _broken(text: str) -> list[str]:
    return [line for each in _BREAKS.split(text) if (line := each.rstrip("\n"))]


def _waiting(index: Index, *, as_json: bool) -> str:
    held = list(dict.fromkeys(each.current for each in index.assets.values() if each.is_held))
    if len(held) != 1:
        what = "nothing waits" if not held else f"{len(held)} versions wait"
        fail(f"{what}: name a version, as `tracking-gateway script list` shows them", as_json=as_json)
    return held[0]


def _served_beside(index: Index, sha256: str, *, as_json: bool) -> str:
    """Give what is served of the same asset; of what is served itself, the version before it."""
    tracked = next(each for each in index.assets.values() if each.version(sha256))
    known = (each.sha256 for each in itertools.chain(tracked.servable, reversed(tracked.versions)))
    found = next((each for each in known if each != sha256), None)
    if found is None:
        fail("there is no other version of this asset to compare it with", as_json=as_json)
    return found
