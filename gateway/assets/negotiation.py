"""Which form of an answer a client takes, and which it has already: `Accept-Encoding` and `If-None-Match`.

Pure; nothing that a client writes is an error, what can't be read counts as not said.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

IDENTITY = "identity"

_WEIGHT = re.compile(r"[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)\Z")
_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e\x80-\xff]*)"')
# A client that lists more is not one that wants to be understood.
_LONGEST = 1_000
_ALIASES = {"x-gzip": "gzip"}


def chosen_coding(header: str, offered: Iterable[str]) -> str | None:
    """Give the coding to answer in: of `offered` (the best first) the one that `Accept-Encoding` wants most, else `identity`.

    `None` when the client refuses all of them and `identity` too (`identity;q=0`). RFC 9110, section 12.5.3.
    """
    weights = _weights(header)
    others = weights.get("*")
    candidates = [(weights.get(each, 0.0 if others is None else others), each) for each in offered]
    # Always fine unless it is refused; least wanted unless it is named.
    plain = weights.get(IDENTITY, 0.0 if others == 0 else 0.0001)
    candidates.append((plain, IDENTITY))
    weight, coding = max(candidates, key=lambda candidate: candidate[0])
    return coding if weight > 0 else None


def has_tag(header: str, tags: Iterable[str]) -> str:
    """Give the first of the quoted `tags` that `If-None-Match` names (`*`: the first one), empty when it names none.

    Compared weakly, as RFC 9110, section 13.1.2 says: a cache on the way may have made a tag weak.
    """
    if not header or len(header) > _LONGEST:
        return ""
    if header.strip() == "*":
        return next(iter(tags), "")
    named = {f'"{tag}"' for tag in _TAG.findall(header)}
    return next((tag for tag in tags if tag in named), "")


def _weights(header: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for part in header[:_LONGEST].lower().split(","):
        coding, *parameters = (each.strip() for each in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            found = _WEIGHT.match(parameter)
            weight = float(found[1]) if found else 0.0
        if coding:
            weights[_ALIASES.get(coding, coding)] = weight
    return weights
