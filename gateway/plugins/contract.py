"""What a plugin is told beside the event, and what becomes of its answer."""

from __future__ import annotations

from typing import NamedTuple


class Context(NamedTuple):
    """Whose event it is, when it came (Unix time in milliseconds), and whether a server sent it."""

    portal_id: str
    prop_id: str
    now_ms: int
    is_server: bool = False


class PluginsUnusable(Exception):
    """A plugin that the settings name can't be used."""

    def __init__(self, name: str, cause: str, hint: str) -> None:
        super().__init__(f"plugins.enabled names {name!r}: {cause}")
        self.name = name
        self.cause = cause
        self.hint = hint
