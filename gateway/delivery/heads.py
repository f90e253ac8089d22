"""Heads of answers that were read before, so that a collector's usual answer is not parsed each time.

A server says the same few heads over and over; only the body changes, and the `Date` once a second. What always holds:

- the parser alone says what a head means; here is only remembered what it said of the very same bytes;
- a head is learnt only from a message that came in one piece, was whole, ended with that piece, and left its connection
  open: then the head alone has told the length of the body, and the same head before a body of that length is the same
  answer. Chunked, interim and cut messages, and those with bytes behind them, never meet this;
- what is remembered is status and `Retry-After`: an answer that somebody waits for is always parsed, and never learnt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.events.model import Answer

_END = b"\r\n\r\n"
_MOST_HEADS = 64
_LONGEST_HEAD = 2_048


class _Known(NamedTuple):
    answer: Answer
    message_bytes: int


class KnownHeads:
    """A bounded memory of heads, to be shared by the connections to one server."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Known] = {}

    def __len__(self) -> int:
        return len(self._known)

    def answer(self, data: bytes) -> Answer | None:
        """Give the answer when `data`, read from the start of a message, is one whole message with a known head."""
        known = self._known.get(data[: data.find(_END) + len(_END)])
        return known.answer if known is not None and known.message_bytes == len(data) else None

    def learn(self, data: bytes, body_bytes: int, answer: Answer) -> None:
        """Remember what the parser said of a message: `data` begins with it, its body has `body_bytes`, it is kept alive."""
        head = data[: data.find(_END) + len(_END)]
        if len(head) + body_bytes != len(data) or len(head) > _LONGEST_HEAD:
            return
        if len(self._known) >= _MOST_HEADS:
            # Most of them hold a date that has passed.
            self._known.clear()
        self._known[head] = _Known(answer, len(data))
