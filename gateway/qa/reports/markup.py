"""HTML and SVG as values: every text is escaped where it is put in, so that nobody has to remember it.

What always holds: only what `el` and `joined` have made is markup. A text that somebody hands in is a text, whatever it says.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_VOID = frozenset({"meta", "input", "br", "path", "circle", "line", "rect"})


class Markup(str):
    """Markup that is escaped already."""

    __slots__ = ()


Child = str | int | None
"""What an element may hold: texts, numbers, markup, and nothing."""


def el(name: str, /, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """Give an element. A trailing `_` of an attribute's name goes (`class_`), others are hyphens; `True` gives a bare name, `None` and `False` none."""
    said = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID and not children:
        return Markup(f"<{name}{said}/>")
    return Markup(f"<{name}{said}>{joined(children)}</{name}>")


def joined(children: Iterable[Child]) -> Markup:
    """Give elements and texts one after another."""
    return Markup("".join(_child(each) for each in children))


def verbatim(trusted: str) -> Markup:
    """Give a text of our own, a style or a script, as it stands."""
    return Markup(trusted)


def _child(child: Child) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Markup) else escape(str(child), quote=False)


def _attribute(name: str, value: str | float | bool | None) -> str:  # noqa: FBT001
    if value is None or value is False:
        return ""
    name = name.removesuffix("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{escape(f"{value:g}" if isinstance(value, float) else str(value))}"'
