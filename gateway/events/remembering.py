"""Answers that are remembered by the text that was asked about, in bounded memory.

What always holds: what is remembered is bounded by its size, not only by its number. Clients choose these texts, and a thousand different ones of
64 KB, each with what was read in it, would be a gigabyte.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")

LONGEST = 2_048
"""Longer texts are no honest client's, or one's alone: each is read anew."""


def remembered(most: int, read: Callable[..., Answer], longest: int = LONGEST) -> Callable[..., Answer]:
    """Give `read`, a pure function of texts, that remembers its last `most` answers; not those to texts that are together longer than `longest`."""
    known = lru_cache(most)(read)

    def answer(*texts: str) -> Answer:
        return known(*texts) if sum(map(len, texts)) <= longest else read(*texts)

    return answer
