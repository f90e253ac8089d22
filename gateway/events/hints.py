"""Whether a JSON text can hold anything that is to be masked: one look at its bytes, which spares nearly every event the walk through its fields.

What always holds: where this says no, `gateway.events.masking` finds nothing. It may say yes for nothing: the walk is the whole truth.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import re2  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Sequence

# Marks between digits, as they are, percent-encoded, and those beyond ASCII.
_GAP = r"(?:[ ().,/_+-]|\\[tnr]|%(?:25)*(?:20|09|2[89bBdDeEfF]|[aA]0|[cC]2)|\xc2\xa0|\xe2\x80[\x80-\x95\xaf]|\xe2\x88\x92)"
_BEFORE = r"(?:[^0-9A-Za-z_.+\-]|%[0-9A-Fa-f]{2}|\\[bfnrt])"
# An at sign, whatever it is written as; any other escape; digits and invisible marks that are not ASCII's.
_AT = r"@|%(?:25)*40|%u|\xef\xbc\xa0|\xef\xb9\xab|\\u|\\x|\\\\|&#|&commat|%(?:25)*3[0-9]"
_ODD = (
    r"\xef\xbc[\x8b\x90-\x99]|\xe0[\xa5\xa7\xa9\xab\xad\xaf\xb1\xb3\xb5\xb7][\xa6-\xaf]|\xe0[\xb9\xbb][\x90-\x99]|\xe0\xbc[\xa0-\xa9]|\xe1\x81[\x80-\x89]"
    r"|\xe1\x9f[\xa0-\xa9]|\xd9[\xa0-\xa9]|\xdb[\xb0-\xb9]|\xdf[\x80-\x89]|\xf0\x9d\x9f|\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0\xa6-\xa9]|\xef\xbb\xbf|\xc2\xad"
)
_ABROAD = rf"(?:\+|%(?:25)*2[bB])(?:[ (]|{_GAP}){{0,2}}[1-9](?:{_GAP}{{0,4}}[0-9]){{6}}"
_ZERO = rf"{_BEFORE}0(?:{_GAP}{{0,4}}[0-9]){{8}}"
_NANP = rf"\(?[2-9][0-9][0-9]\)?{_GAP}{{1,2}}[0-9]{{3}}{_GAP}[0-9]{{4}}"
_CARD = (
    r"(?:4[0-9]{3}|5[0-9]{3}|2[27][0-9]{2}|2[3-6][0-9]{2}|3[04-9][0-9]{2}|6[0-9]{3}|8[12][0-9]{2}|9704)"
    rf"(?:[0-9]{{10,12}}(?:[^0-9A-Za-z_]|$)|{_GAP}{{1,2}}[0-9]{{4}}{_GAP}{{1,2}}[0-9]{{4}}|{_GAP}{{1,2}}[0-9]{{6}}{_GAP})"
)
_END = r"(?:[^0-9A-Za-z_]|$)"
_LONG_CARD = rf"(?:62[0-9]{{15,17}}|9704[0-9]{{13,15}}){_END}"
_IDS = {
    "vn_cccd": "",
    # A Thai's number is not a moment in milliseconds.
    "th_id": r"(?:[2-8][0-9]{12}|1[0-5][0-9]{11}|[1-8][ -][0-9]{4}[ -][0-9]{5}[ -][0-9]{2}[ -][0-9])",
    "sg_nric": r"[STFGMstfgm][0-9]{7}[A-Za-z]",
    "id_nik": r"[1-9][0-9]{15}",
    "my_nric": r"[0-9]{6}-[0-9]{2}-[0-9]{4}",
    "us_ssn": r"[0-9]{3}-[0-9]{2}-[0-9]{4}",
    "vn_cmnd": r"[0-3][0-9]{8}",
}


class Hints:
    """Tells of a JSON text whether it can hold something, a microsecond for a kilobyte; `pattern` is what is looked for, over bytes, written as Latin-1."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        options = re2.Options()
        options.encoding = re2.Options.Encoding.LATIN1
        options.log_errors = False
        options.max_mem = 64 << 20
        self._search = re2.compile(pattern.encode("latin-1"), options).search

    def __call__(self, text: bytes) -> bool:
        """Tell it of one text."""
        return self._search(text) is not None


def hints(
    *,
    codes: Sequence[str],
    is_american: bool,
    ids: Sequence[str],
    patterns: Sequence[str],
    parameters: Sequence[str],
    has_addresses: bool,
) -> Hints:
    """Give what is looked for under these settings.

    `codes` are the country codes that count without a plus, `ids` names of national ids, `patterns` the settings' own, `parameters` names of parameters.
    """
    ids_there = [_IDS[name] for name in ids if _IDS[name]]
    numbers = [
        rf"{_BEFORE}(?:{'|'.join((f'(?:{_CARD}|{_LONG_CARD})', *(f'{each}{_END}' for each in ids_there)))})"
    ]
    kinds = [_ODD, r"\\u|\\\\|&#|%(?:25)*3[0-9]|%u", "eyJ"]
    if has_addresses:
        kinds += [_AT, _ABROAD]
        if codes:
            numbers.append(rf"{_BEFORE}(?:{'|'.join(codes)})\)?{_GAP}?[1-9](?:{_GAP}?[0-9]){{6,10}}{_END}")
        if is_american:
            kinds.append(_NANP)
    if has_addresses or "vn_cccd" in ids:
        kinds.append(_ZERO)
    if parameters:
        spelled = "|".join(re.escape(name).replace("_", "[_-]") for name in parameters)
        kinds.append(rf"(?i:(?:[?&#;/]|%(?:25)*(?:3f|26|23|3b|2f))(?:{spelled})(?:=|%(?:25)*3d))")
    kinds += patterns
    return Hints("|".join((*kinds, *numbers)))
