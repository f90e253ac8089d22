"""The names under which the public finds the gateway, for `check` and `snippet`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gateway.names import Names
from gateway.settings_paths import PARTS, SCRIPT

if TYPE_CHECKING:
    from gateway.settings import Settings


def names_of_now(settings: Settings) -> Names:
    """Give the names of this moment."""
    return Names(settings.paths, time.time_ns() // 1_000_000)


def told_names(names: Names, base: str) -> dict[str, str]:
    """Give the URL of each part that pages and clients are to use, by its key in `[paths]`; `base` is where browsers reach the gateway."""
    return {key: base + names.told(usual) for key, usual in PARTS.items()}


def served_names(names: Names, settings: Settings) -> dict[str, list[str]]:
    """Give all paths of each part, by its usual one: the one that is told first."""
    return {
        usual: [name.path for name in names.of(usual)] for usual in (*PARTS.values(), *settings.paths.assets)
    }


def script_path(names: Names) -> str:
    """Give the script's path, for the snippet."""
    return names.told(SCRIPT)
