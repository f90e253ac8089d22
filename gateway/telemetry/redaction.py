"""Takes raw identity out of text before it is logged or shown: the finder of the events' masks, for texts of which nothing is known.

The pipeline never hands a field's value to the log; this is for the few texts that a client chooses and that are logged
(category, action, ids) and for messages of exceptions: whatever looks like an address, a card or a national id in them becomes a word.
"""

from __future__ import annotations

from functools import lru_cache

from gateway.events.finding import ANYWHERE

_SHOWN = 200
# An address that begins in the part that is shown ends in the part that is read.
_READ = _SHOWN + 400


def redact(text: str) -> str:
    """Give the first 200 characters of a text, with e-mail addresses as `[email]`, phone numbers as `[phone]`, cards as `[card]`, national ids as `[id]`.

    An address that goes on behind the 200th character is found and replaced all the same: half of one is still somebody's.
    """
    return _redacted(text[:_READ])


@lru_cache(8_192)
def _redacted(window: str) -> str:
    pieces: list[str] = []
    shown = 0
    for found in ANYWHERE.finds(window):
        if found.start >= _SHOWN:
            break
        pieces += [window[shown : found.start], found.word]
        shown = found.end
    return "".join((*pieces, window[shown:_SHOWN])) if pieces else window[:_SHOWN]
