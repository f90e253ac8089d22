"""What the events of one request have made of their visitor's session and touches, until the answer writes it down."""

from __future__ import annotations

import msgspec

from gateway.events.sessions import Session
from gateway.events.touches import Touches


class Visit(msgspec.Struct):
    """The visit of one request's visitor; changed in place while its events are decided.

    `uid` is whose it is, empty until it is known. `session` and `touches` are as the last event left them; `has_new_session` and `has_touched`: their
    cookies are due.
    `meta_ids` are the cookies that are due for Meta, by name.
    """

    uid: str = ""
    session: Session | None = None
    session_is_read: bool = False
    has_new_session: bool = False
    touches: Touches | None = None
    has_touched: bool = False
    meta_ids: dict[str, str] = msgspec.field(default_factory=dict)
