"""Takes raw addresses out of text before it is logged.

The pipeline never hands a field's value to the log; this is for the few texts that a client chooses and that are logged
(category, action, ids) and for messages of exceptions: whatever looks like an address in them becomes a word.
"""

from __future__ import annotations

import re
from functools import lru_cache

_EMAIL = re.compile(r"[^\s@\"'<>,;:=&?/\\]{1,64}(?:@|%40)[^\s@\"'<>,;:&?/\\]{1,255}", re.IGNORECASE)
# A plus or a zero in front, then eight or more digits with the usual marks between them; longer runs are ids.
_PHONE = re.compile(r"(?<![\w.-])(?:\+|00|0)[1-9](?:[\s().-]?\d){7,13}(?![\w-])")


@lru_cache(8_192)
def redact(text: str) -> str:
    """Give the text with e-mail addresses as `[email]` and phone numbers as `[phone]`; at most 200 characters of it."""
    short = text[:200]
    if "@" in short or "%40" in short:
        short = _EMAIL.sub("[email]", short)
    return _PHONE.sub("[phone]", short)
