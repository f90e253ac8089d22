"""The one finder of raw identity in texts: e-mail addresses, phone numbers, payment cards, national ids, and parameters that are named like secrets.

Events are masked by it, and so is whatever is logged, counted, answered or shown (`redacted`). What always holds: what is found is replaced by a word
(`WORDS`) and all else stays as it stood, to the character; a masked text is masked already; a text costs time in proportion to its length. How
surely something must be told is chosen by who asks: an event's text loses its meaning when an order number is taken for a phone number, a log line hardly.
"""

from __future__ import annotations

import base64
import contextlib
import re
from typing import TYPE_CHECKING, NamedTuple

from gateway.events.cards import GROUPED, cards
from gateway.events.escapes import readings
from gateway.events.national_ids import SHIPPED, SURE
from gateway.events.phones import AnyPhones, Patience

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gateway.events.phones import PhoneFinder

EMAIL, PHONE, PAYMENT_CARD, NATIONAL_ID, SECRET = "[email]", "[phone]", "[card]", "[id]", "[masked]"
WORDS = (EMAIL, PHONE, PAYMENT_CARD, NATIONAL_ID, SECRET)
"""What stands where something was found."""

_LOCAL = r"""[^\s@"'<>,;:=&?/\\()\[\]{}|#]"""
_LABEL = r"""[^\s@"'<>,;:=&?/\\()\[\]{}|#.%]"""
_BLANKS = r"[ \t\u00a0]{0,3}"
# `logo@2x.png` is a picture for sharp screens; a name without a dot behind it (`2@50k`) is no host.
_HOST = rf"(?!\d(?:\.\d)?x\.(?:png|jpe?g|gif|webp|svg|avif))(?:{_LABEL}{{1,63}}\.){{1,10}}(?:xn--[a-z0-9-]{{1,59}}|(?:(?!\d){_LABEL}){{2,63}})"
# `theo dõi @shop.vn` names a channel: a blank before the at sign has another behind it.
_SURE_EMAIL = re.compile(
    rf"(?<!{_LOCAL}){_LOCAL}++(?:@{_BLANKS}|[ \t\u00a0]{{1,3}}@[ \t\u00a0]{{1,3}}){_HOST}"
)
_ANY_EMAIL = re.compile(rf"""(?<!{_LOCAL}){_LOCAL}++\s{{0,3}}@\s{{0,3}}[^\s@"'<>,;:&?/\\]{{1,255}}""")
# What may be something: an at sign, escapes, many digits, a parameter, letters of other widths.
_MAY = re.compile(
    r"@|[%\\&?#;]|\d(?:[^\w@]{0,3}\d){6}|eyJ|[^\x00-\x7f]\d|\d[^\x00-\x7f]|[\uff20\ufe6b\u00ad\u200b-\u200f\u2060\ufeff]"
)
_DIGITS = re.compile(r"\d(?:[^\w@]{0,3}\d){6}")
# JSON in base64, as tokens carry it.
_TOKEN = re.compile(r"(?<![\w-])eyJ[\w+/=.~-]{8,}", re.ASCII)
_MOST_PARTS = 5
_ONE_WORD = re.compile(r"[\w.:+-]{1,256}\Z")


class Find(NamedTuple):
    """Something that was found: where it stands, and the word for it (empty: it is taken out)."""

    start: int
    end: int
    word: str


class Finder:
    """Finds by compiled rules.

    `phones` judges numbers. `ids` are names of `national_ids.SHIPPED`, `patterns` further ones by name. `is_sure`: an address needs a host that can be one.
    `has_addresses`: e-mail addresses and phone numbers are looked for at all. `parameters` finds named parameters of links.
    """

    def __init__(
        self,
        phones: PhoneFinder,
        *,
        ids: Sequence[str] = SURE,
        patterns: Mapping[str, str] | None = None,
        is_sure: bool = True,
        has_addresses: bool = True,
        parameters: Parameters | None = None,
    ) -> None:
        self._email = _SURE_EMAIL if is_sure else _ANY_EMAIL
        self._phones = phones
        self._has_addresses = has_addresses
        self._parameters = parameters
        self._ids = [
            (
                re.compile(rf"(?<![\w.+-])(?:{SHIPPED[name].pattern})(?![\w]|[.-]\d)", re.ASCII),
                SHIPPED[name].judge,
            )
            for name in ids
        ]
        self._patterns = [re.compile(each) for each in (patterns or {}).values()]

    def masked(self, text: str, patience: Patience | None = None, *, is_id: bool = False) -> str:
        """Give the text with a word in each place where something was found; the very same object where nothing was.

        `patience` is the event's. `is_id`: it stands where an id stands, so that one bare word is an id, whatever its digits look like.
        """
        finds = self.finds(text, patience, is_id=is_id)
        return _replaced(text, finds) if finds else text

    def finds(self, text: str, patience: Patience | None = None, *, is_id: bool = False) -> list[Find]:
        """Give what there is in a text, in order and without overlaps."""
        if not self._patterns and not _MAY.search(text):
            return []
        patience = Patience() if patience is None else patience
        is_id = is_id and _ONE_WORD.match(text) is not None
        finds: list[Find] = []
        for reading in readings(text):
            for found in self._found(reading.text, patience, is_id=is_id):
                start, end = reading.place(found.start, found.end)
                finds.append(Find(start, end, found.word))
        return _apart(finds) if len(finds) > 1 else finds

    def holds(self, text: str) -> bool:
        """Tell whether something would be masked."""
        return self.masked(text) is not text

    def _found(self, text: str, patience: Patience, *, is_id: bool) -> Iterator[Find]:
        if self._parameters is not None:
            yield from self._parameters.found(text)
        if self._has_addresses and "@" in text:
            for found in self._email.finditer(text):
                yield Find(*found.span(), EMAIL)
        if "eyJ" in text:
            for found in _TOKEN.finditer(text):
                if any(self.holds(part) for part in _opened(found[0])):
                    yield Find(*found.span(), SECRET)
        if _DIGITS.search(text):
            yield from self._numbers(text, patience, is_id=is_id)
        for pattern in self._patterns:
            for found in pattern.finditer(text):
                yield Find(*found.span(), NATIONAL_ID)

    def _numbers(self, text: str, patience: Patience, *, is_id: bool) -> Iterator[Find]:
        for start, end in cards(text, patience):
            if not is_id or GROUPED.match(text, start):
                yield Find(start, end, PAYMENT_CARD)
        for pattern, judge in () if is_id else self._ids:
            for found in pattern.finditer(text):
                if judge is None or judge(found[0].replace(" ", "").replace(".", "")):
                    yield Find(*found.span(), NATIONAL_ID)
        if self._has_addresses:
            for start, end in self._phones.found(text, patience, is_id=is_id):
                yield Find(start, end, PHONE)


class Parameters:
    """Finds parameters of links by their names: those whose value is masked, and those that are taken out as a whole.

    `kept` are never touched by it. Names are compared in lower case, `-` as `_`.
    """

    def __init__(self, masked: Sequence[str], dropped: Sequence[str], kept: Sequence[str]) -> None:
        kept_names = {plain_name(name) for name in kept}
        self._dropped = {plain_name(name) for name in dropped} - kept_names
        self._masked = {
            plain_name(name): _word_of(name) for name in masked if plain_name(name) not in kept_names
        }
        self.names = tuple(sorted({*self._dropped, *self._masked}))
        spelled = "|".join(
            re.escape(name).replace("_", "[_-]") for name in sorted(self.names, key=len, reverse=True)
        )
        self._pattern = (
            re.compile(
                rf"(?<=[?&#;/])(?=[^=&#;?/\s]{{1,128}}=)(?P<name>{spelled})=(?P<value>[^&#;\s\"'<>\\]*)(?P<next>&?)",
                re.IGNORECASE,
            )
            if spelled
            else None
        )

    def found(self, text: str) -> Iterator[Find]:
        """Give what is to be masked or taken out of a text with links in it."""
        if self._pattern is None or "=" not in text:
            return
        for found in self._pattern.finditer(text):
            word = self.word(found["name"])
            start, end = found.span("value")
            if text[found.start() - 1] == ";" and (query := text.find("?", start, end)) >= 0:
                # A parameter of the path ends where the query begins.
                end = query
            if word == "":
                yield Find(found.start(), found.end() if end == found.end("value") else end, "")
            elif word is not None and end > start and text[start:end] not in WORDS:
                yield Find(start, end, word)

    def word(self, name: str) -> str | None:
        """Give the word for the value of a parameter; empty where the parameter is to go, `None` where it is as any other."""
        plain = plain_name(name)
        return "" if plain in self._dropped else self._masked.get(plain)


def _opened(token: str) -> Iterator[str]:
    """Give what is readable of JSON in base64, and of each part of a signed token (RFC 7519)."""
    for part in token.replace("-", "+").replace("_", "/").split(".")[:_MOST_PARTS]:
        bare = part.rstrip("=~")
        with contextlib.suppress(ValueError):
            yield base64.b64decode(bare + "=" * (-len(bare) % 4)).decode("utf-8", "ignore")


def plain_name(name: str) -> str:
    """Give a parameter's name as names are compared."""
    return name.strip().lower().replace("-", "_")


def _word_of(name: str) -> str:
    plain = plain_name(name)
    if "mail" in plain:
        return EMAIL
    return PHONE if any(word in plain for word in ("phone", "mobile", "msisdn", "tel", "sdt")) else SECRET


def _apart(finds: list[Find]) -> list[Find]:
    """Give finds without overlaps: what overlaps is one, under the word of what begins first."""
    apart: list[Find] = []
    for find in sorted(finds, key=lambda find: (find.start, -find.end)):
        if apart and find.start < apart[-1].end:
            apart[-1] = apart[-1]._replace(end=max(apart[-1].end, find.end))
        else:
            apart.append(find)
    return apart


def _replaced(text: str, finds: list[Find]) -> str:
    pieces: list[str] = []
    at = 0
    for start, end, word in finds:
        pieces += (text[at:start], word)
        at = end
    pieces.append(text[at:])
    masked = "".join(pieces)
    return text if masked == text else masked


ANYWHERE = Finder(AnyPhones(), is_sure=False)
"""The finder of what is logged and shown: without settings, so that it is the same everywhere, and rather a word too many than too few."""


def redacted(text: str) -> str:
    """Give a text as it may be shown, whole."""
    return ANYWHERE.masked(text)
