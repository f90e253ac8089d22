"""What a client hears whose request is none of ours to take: a word, and nothing of what it sent."""

from __future__ import annotations

from gateway.events.model import Reply
from gateway.events.preflights import EVENT_METHODS
from gateway.events.replies import RETRY_AFTER_SECONDS

_WORDS = {
    400: "bad request",
    404: "not found",
    405: "method not allowed",
    408: "too slow",
    413: "too large",
    414: "target too long",
    417: "expectation failed",
    431: "header fields too large",
    503: "busy",
}


def refusal(status: int, allow: str = EVENT_METHODS) -> Reply:
    """Give the answer of this status; `allow` goes with a 405."""
    headers: tuple[tuple[str, str], ...] = (
        ("Content-Type", "application/json"),
        ("Cache-Control", "no-store"),
    )
    if status == 503:
        headers += (("Retry-After", str(RETRY_AFTER_SECONDS)),)
    if status == 405:
        headers += (("Allow", allow),)
    return Reply(status, headers, f'{{"error":"{_WORDS.get(status, "error")}"}}'.encode())
