"""The line with which a page lets client hints go to the gateway, for `snippet`."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gateway.events import client_hints

if TYPE_CHECKING:
    from gateway.settings import Settings


def delegation(settings: Settings, base_url: str) -> str:
    """Give the line of HTML, where `device.client_hints` wants what must be asked for; else empty text.

    A browser tells these to the page's own origin alone, unless the page, not the gateway, hands them on (WICG Client Hints Infrastructure, `Delegate-CH`).
    It reads the line only where the page's HTML has it, never where a script adds it.
    """
    if settings.device.client_hints != "high":
        return ""
    parts = urlsplit(base_url)
    origin = f"{parts.scheme}://{parts.netloc}"
    content = "; ".join(f"{name} {origin}" for name in client_hints.HIGH)
    return f'<meta http-equiv="Delegate-CH" content="{content}">\n'
