"""What a client wrote, as a report may show it: raw identity as words, nothing that acts on a terminal or turns the direction of writing, cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.telemetry.redaction import redact
from gateway.terminal import plain

if TYPE_CHECKING:
    from gateway.qa.calls import Call


def shown(text: str) -> str:
    """Give a text of which nothing is known, on one line: its first 200 characters, with addresses as words."""
    return plain(redact(text).replace("\n", " "))


def cut(text: str, longest: int) -> str:
    """Give a text's beginning, and a mark where something is missing."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def place_of(call: Call) -> str:
    """Give the address that was called, without its query."""
    port = "" if call.port == {"https": 443, "http": 80}.get(call.scheme) else f":{call.port}"
    return shown(f"{call.scheme}://{call.host}{port}{call.path}")


def page_of(call: Call) -> str:
    """Give the page that made a call, without its query and its fragment; its origin where nobody knows more, and else nothing."""
    page = call.page or call.header("referer") or call.header("origin")
    return "" if page == "null" else shown(page.partition("?")[0].partition("#")[0])


def counted(number: int, word: str) -> str:
    """Give `1 error`, `2 errors`."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
