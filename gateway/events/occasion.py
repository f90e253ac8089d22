"""On what occasion an event came: what its request says of the visitor, for all steps that add to events or judge them."""

from __future__ import annotations

import msgspec

from gateway.events.bots import Bot
from gateway.events.model import Head
from gateway.events.screening import Property


class Occasion(msgspec.Struct, frozen=True):
    """What holds for all events of one request.

    `head` is the visitor's: an empty one where a server sent the request (`is_s2s`), whose address, program and language are not the customer's.
    `client_ip` is the visitor's address as it is known, before any policy; empty where a server sent it. `now_ms` is Unix time in milliseconds, `received_at`
    the same as RFC 3339 text. `owner` is the property. `bot` is the program that sent it, where it was no person's.
    """

    head: Head
    client_ip: str = ""
    now_ms: int = 0
    received_at: str = ""
    owner: Property | None = None
    bot: Bot | None = None
