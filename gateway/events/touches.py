"""The first and the last landing of a visitor, as a first-party cookie keeps them between visits.

What always holds: the first touch never changes while it is kept; a direct visit never takes the place of a last touch; neither is longer than 900 bytes, for
which the landing page goes first, then term and content. What is kept was read after raw identity had been masked.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

if TYPE_CHECKING:
    from gateway.events.campaign import Landing

_MOST_BYTES = 900
_GIVEN_UP = (
    "landing_page",
    "term",
    "content",
    "creative_format",
    "marketing_tactic",
    "source_platform",
    "click_ids",
    "name",
    "source",
    "referrer",
)
_MOMENT = "at"


class Touches(msgspec.Struct, frozen=True, dict=True):
    """Two landings: `channel` and what is known of campaign, click ids, referrer and page; `at` is when, RFC 3339 in UTC."""

    first: dict[str, Any]
    last: dict[str, Any]

    @cached_property
    def first_json(self) -> orjson.Fragment:
        """The first one as it stands in an event, written once for all events of the visit."""
        return orjson.Fragment(orjson.dumps(self.first))

    @cached_property
    def last_json(self) -> orjson.Fragment:
        """The last one, likewise."""
        return orjson.Fragment(orjson.dumps(self.last))


def parse(text: str) -> Touches | None:
    """Read touches as `written` writes them."""
    said = orjson.loads(text)
    return Touches(said[0], said[-1])


def written(touches: Touches) -> str:
    """Write touches for their cookie."""
    both = [touches.first] if touches.first == touches.last else [touches.first, touches.last]
    return orjson.dumps(both).decode()


def touched(known: Touches | None, landing: Landing, at: str) -> Touches | None:
    """Give the touches after an event: `known` itself where it changes nothing; `None` while nothing is known.

    `at` is the moment as RFC 3339 text.
    """
    if landing.touch is None or (known is not None and landing.is_direct):
        return known
    touch = _bounded({**landing.touch, _MOMENT: at})
    if known is None:
        return Touches(touch, touch)
    return known if _is_same(known.last, touch) else Touches(known.first, touch)


def _is_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two touches are one landing, told by several events of its page."""
    return {**one, _MOMENT: ""} == {**other, _MOMENT: ""}


def _bounded(touch: dict[str, Any]) -> dict[str, Any]:
    for name in _GIVEN_UP:
        if len(orjson.dumps(touch)) <= _MOST_BYTES:
            break
        touch.pop(name, None)
    return touch
