"""How mitmproxy shows a tracking call: a table for each of its events, in the words of `gateway.qa.showing`.

mitmproxy 12 has another way to show a message than mitmproxy 11 has; this is both. What always holds: a view is written from what was examined, never from the message,
so that no raw identity is in it; and it claims only messages of flows that were examined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mitmproxy import contentviews

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mitmproxy.flow import Flow

    Rows = list[tuple[str, str]]
    Find = Callable[[str], Rows | None]

NAME = "Tracking"
_FIRST = 10.0
_NOT_MINE = -1.0
_Base: Any = getattr(contentviews, "Contentview", None) or contentviews.View


class _Written:
    """What both ways share. `find` gives the rows of a flow by its id, `None` where it was not examined."""

    name = NAME

    def __init__(self, find: Find) -> None:
        self._find = find

    def rows(self, flow: Flow | None) -> Rows:
        """Give the rows to show of a flow."""
        return (flow is not None and self._find(flow.id)) or [("", "This is no tracking call.")]

    def claim(self, flow: Flow | None) -> float:
        """Give how much a flow is for this view."""
        return _FIRST if flow is not None and self._find(flow.id) is not None else _NOT_MINE


class _Old(_Written, _Base):  # type: ignore[misc]
    """For mitmproxy 11: lines of pieces with a style."""

    def __call__(
        self, data: bytes, *, flow: Flow | None = None, **_: Any
    ) -> tuple[str, Iterator[list[tuple[str, str]]]]:
        """Give the lines."""
        del data
        pairs = _aligned(self.rows(flow))
        return NAME, ([("header" if name else "text", name), ("text", text)] for name, text in pairs)

    def render_priority(self, data: bytes, *, flow: Flow | None = None, **_: Any) -> float:
        """Claim tracking calls."""
        del data
        return self.claim(flow)


class _New(_Written, _Base):  # type: ignore[misc]
    """For mitmproxy 12: one text."""

    @property
    def syntax_highlight(self) -> str:
        """Say that the text is none of a language."""
        return "none"

    def prettify(self, data: bytes, metadata: Any) -> str:
        """Give the text."""
        del data
        return "\n".join(f"{name}{text}".rstrip() for name, text in _aligned(self.rows(metadata.flow)))

    def render_priority(self, data: bytes, metadata: Any) -> float:
        """Claim tracking calls."""
        del data
        return self.claim(metadata.flow)


def show_views(find: Find) -> None:
    """Have tracking calls shown; a view of the same name, from before the script was loaded anew, is replaced."""
    if hasattr(contentviews, "Contentview"):
        contentviews.add(_New(find))
        return
    before = contentviews.get(NAME)
    if before is not None:
        contentviews.remove(before)
    contentviews.add(_Old(find))


def _aligned(lines: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    width = max((len(name) for name, _ in lines), default=0) + 2
    for name, text in lines:
        yield (name.ljust(width) if name else ""), text
