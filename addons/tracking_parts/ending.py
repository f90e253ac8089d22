"""The exit code: mitmdump gives none of its own, and every other addon is to finish its work first.

What always holds: the process ends with the code only after all addons have heard `done`, so a dump that is written (`-w`) is whole.
"""

from __future__ import annotations

import sys
from typing import Any

from mitmproxy import ctx

NAME = "tracking_ending"


class Ending:
    """The last addon of the chain: ends the process with `code`, where that is not 0."""

    name = NAME

    def __init__(self) -> None:
        self.code = 0

    def done(self) -> None:
        """End, after all others."""
        if self.code:
            sys.exit(self.code)


def ending() -> Ending:
    """Give the ending of this process: one, however often the addon is loaded."""
    found: Any = ctx.master.addons.get(NAME)  # type: ignore[no-untyped-call]
    if found is None:
        found = Ending()
        ctx.master.addons.add(found)  # type: ignore[no-untyped-call]
    assert isinstance(found, Ending)
    return found
