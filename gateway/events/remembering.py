"""Answers that are remembered by the text that was asked about, in bounded memory.

What always holds: what is remembered is bounded by its size, not only by its number. Clients choose these texts, and a thousand different ones of
64 KB, each with what was read in it, would be a gigabyte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Answer = TypeVar("Answer")

LONGEST = 2_048
"""Longer texts are no honest client's, or one's alone: each is read anew."""
_NOTHING = object()


class _ByText(dict[str, Answer], Generic[Answer]):
    """Answers by one text. What is there costs no call of Python, for nearly every event asks for several."""

    def __init__(self, most: int, read: Callable[[str], Answer], longest: int) -> None:
        super().__init__()
        self._most = most
        self._read = read
        self._longest = longest

    def __missing__(self, text: str) -> Answer:
        answer = self._read(text)
        if len(text) <= self._longest:
            if len(self) >= self._most:
                del self[next(iter(self))]
            self[text] = answer
        return answer


def remembered(most: int, read: Callable[[str], Answer], longest: int = LONGEST) -> Callable[[str], Answer]:
    """Give `read`, a pure function of a text, that remembers `most` answers, the oldest of which goes first; not those to texts that are longer than `longest`."""
    return _ByText(most, read, longest).__getitem__


def remembered_together(
    most: int, read: Callable[..., Answer], longest: int = LONGEST
) -> Callable[..., Answer]:
    """Give the same for a pure function of several texts, which are together no longer than `longest`."""
    known: dict[tuple[str, ...], Answer] = {}
    get = known.get

    def answer(*texts: str) -> Answer:
        found = get(texts, _NOTHING)
        if found is not _NOTHING:
            return found  # type: ignore[return-value]
        made = read(*texts)
        if sum(map(len, texts)) <= longest:
            if len(known) >= most:
                del known[next(iter(known))]
            known[texts] = made
        return made

    return answer
