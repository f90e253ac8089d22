"""What a client wrote, as a report may show it: raw identity as words, nothing that acts on a terminal or turns the direction of writing, cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.qa.story import shown as shown_uid
from gateway.telemetry.redaction import redact
from gateway.terminal import plain

if TYPE_CHECKING:
    from gateway.events.model import JsonObject
    from gateway.events.outcome import Rejection
    from gateway.qa.calls import Call
    from gateway.qa.session import Examined


def shown(text: str) -> str:
    """Give a text of which nothing is known, on one line: its first 200 characters, with addresses as words."""
    return plain(redact(text).replace("\n", " "))


def opaque(uid: str) -> str:
    """Give a UID that holds no address (`Identities.opaque_uid`), as the story does: its digits are its own, whatever they look like."""
    return cut(plain(shown_uid(uid)), 40)


def cut(text: str, longest: int) -> str:
    """Give a text's beginning, and a mark where something is missing."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def place_of(call: Call) -> str:
    """Give the address that was called, without its query."""
    port = "" if call.port == {"https": 443, "http": 80}.get(call.scheme) else f":{call.port}"
    return shown(f"{call.scheme}://{call.host}{port}{call.path}")


def page_of(examined: Examined) -> str:
    """Give the page that made a call, without its query and its fragment, as an event of it tells; its origin where nobody knows more, and else nothing.

    Browsers tell other hosts the origin alone: the path is known from the events.
    """
    call = examined.call
    told = next((url for sight in examined.events if (url := _told(sight.original))), "")
    page = told or call.page or call.header("referer") or call.header("origin")
    return "" if page == "null" else shown(page.partition("?")[0].partition("#")[0])


def _told(original: JsonObject | Rejection) -> str:
    """Give the address of the page that an event was tracked on; empty where it tells none."""
    context = original.get("context") if isinstance(original, dict) else None
    navigation = context.get("navigation") if isinstance(context, dict) else None
    url = navigation.get("url") if isinstance(navigation, dict) else None
    return url if isinstance(url, str) and url.startswith(("https://", "http://")) else ""


def counted(number: int, word: str) -> str:
    """Give `1 error`, `2 errors`."""
    many = f"{word}es" if word.endswith("s") else f"{word}s"
    return f"{number:,} {word if number == 1 else many}"


def moment(at_ms: int) -> str:
    """Give a moment of a session, from its start: `3.2 s`, `4:05 min`, `1:02:03 h`."""
    seconds = at_ms // 1000
    if seconds < 60:
        return f"{at_ms / 1000:.1f} s"
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02} h" if hours else f"{minutes}:{seconds:02} min"
