"""What a finding may quote of a call: a word of a site's own, short, in printable letters, and nothing that the gateway would take for somebody's address."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.qa.reading import Reader

_LONGEST = 80


def quoted(reader: Reader, text: str) -> str:
    """Give a text as a finding may quote it; of one that holds identity, only what that is."""
    kinds = reader.kinds(text)
    if kinds:
        return f"({', '.join(kinds)})"
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain if len(plain) <= _LONGEST else f"{plain[: _LONGEST - 1]}…"
