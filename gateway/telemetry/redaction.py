"""Takes raw addresses out of text before it is logged.

The pipeline never hands a field's value to the log; this is for the few texts that a client chooses and that are logged
(category, action, ids) and for messages of exceptions: whatever looks like an address in them becomes a word.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

_SHOWN = 200
# An address that begins in the part that is shown ends in the part that is read.
_READ = _SHOWN + 400
# A plus or a zero in front, then eight or more digits with the usual marks between them; longer runs are ids.
_PHONE = re.compile(r"(?P<phone>(?<![\w.-])(?:\+|%2[Bb]|00|0)[1-9](?:[\s().-]{0,3}\d){7,13}(?![\w-]))")
# `@` as it is, full-width or small (NFKC makes one of the three), or percent-encoded, even more than once.
# A few blanks beside it are a person's, who hides an address from robots or slips on the key.
_AT = r"\s{0,3}(?:[@\uff20\ufe6b]|%(?:25){0,3}40)\s{0,3}"
_EMAIL = rf"(?P<email>[^\s@\"'<>,;:=&?/\\]{{1,64}}{_AT}[^\s@\"'<>,;:&?/\\]{{1,255}})"
_EMAIL_OR_PHONE = re.compile(f"{_EMAIL}|{_PHONE.pattern}")


def redact(text: str) -> str:
    """Give the first 200 characters of a text, with e-mail addresses as `[email]` and phone numbers as `[phone]`.

    An address that goes on behind the 200th character is found and replaced all the same: half of one is still somebody's.
    """
    return _redacted(text[:_READ])


@lru_cache(8_192)
def _redacted(window: str) -> str:
    may_hold_email = "@" in window or "%" in window or not window.isascii()
    if not window.isascii():
        # Digits of any script are a phone number's too.
        window = "".join(str(unicodedata.decimal(mark, mark)) for mark in window)
    pieces, shown = [], 0
    for found in (_EMAIL_OR_PHONE if may_hold_email else _PHONE).finditer(window):
        if found.start() >= _SHOWN:
            break
        pieces += [window[shown : found.start()], f"[{found.lastgroup}]"]
        shown = found.end()
    return "".join((*pieces, window[shown:_SHOWN])) if pieces else window[:_SHOWN]
