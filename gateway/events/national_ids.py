"""National identity numbers by name: how each is written, and what tells it from any other number.

A number with a check digit is told surely; the others by their structure alone, so only one of those is looked for unless the settings say more. What
always holds: a pattern finds nothing but whole words, and is bounded in length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class NationalId(NamedTuple):
    """One kind: a pattern for a candidate, and the judge of its letters and digits (`None`: the pattern is enough)."""

    pattern: str
    judge: Callable[[str], bool] | None = None


_VN_PROVINCES = frozenset(
    [
        "001",
        "002",
        "004",
        "006",
        "008",
        "010",
        "011",
        "012",
        "014",
        "015",
        "017",
        "019",
        "020",
        "022",
        "024",
        "025",
        "026",
        "027",
        "030",
        "031",
        "033",
        "034",
        "035",
        "036",
        "037",
        "038",
        "040",
        "042",
        "044",
        "045",
        "046",
        "048",
        "049",
        "051",
        "052",
        "054",
        "056",
        "058",
        "060",
        "062",
        "064",
        "066",
        "067",
        "068",
        "070",
        "072",
        "074",
        "075",
        "077",
        "079",
        "080",
        "082",
        "083",
        "084",
        "086",
        "087",
        "089",
        "091",
        "092",
        "093",
        "094",
        "095",
        "096",
    ]
)
_SG_LETTERS = {
    "S": "JZIHGFEDCBA",
    "T": "GFEDCBAJZIH",
    "F": "XWUTRQPNMLK",
    "G": "RQPNMLKXWUT",
    "M": "KLJNPQRTUWX",
}
_SG_WEIGHTS = (2, 7, 6, 5, 4, 3, 2)
# Milliseconds since 1970, from 2020 to 2033: a moment, far oftener than a Thai's number.
_MOMENTS = range(1_600_000_000_000, 2_000_000_000_000)
_DATE = r"(?:0[1-9]|[12]\d|3[01])"
_MONTH = r"(?:0[1-9]|1[0-2])"


def _is_cccd(text: str) -> bool:
    """Vietnam, căn cước công dân (Circular 59/2021/TT-BCA): province of birth, century and gender, year, six digits."""
    return text[:3] in _VN_PROVINCES


def _is_thai(text: str) -> bool:
    """Thailand: thirteen digits, the last one the check digit (11 less the weighted sum, modulo 11 and 10)."""
    if text.isdigit() and int(text) in _MOMENTS and "-" not in text:
        return False
    digits = [int(each) for each in text if each.isdigit()]
    total = sum(digit * (13 - place) for place, digit in enumerate(digits[:12]))
    return (11 - total % 11) % 10 == digits[12]


def _is_nric(text: str) -> bool:
    """Singapore, NRIC and FIN: a letter, seven digits, a check letter by the weights 2 7 6 5 4 3 2."""
    letter, digits, check = text[0].upper(), text[1:8], text[8].upper()
    total = sum(int(digit) * weight for digit, weight in zip(digits, _SG_WEIGHTS, strict=True))
    shift = {"S": 0, "F": 0, "T": 0, "G": 0, "M": 3}[letter]
    place = (total + shift) % 11
    return _SG_LETTERS[letter][10 - place if letter == "M" else place] == check


SHIPPED: dict[str, NationalId] = {
    "vn_cccd": NationalId(r"0\d{2}[ .]?[0-3]\d{2}[ .]?\d{6}|0\d{2}[0-3][ .]?\d{4}[ .]?\d{4}", _is_cccd),
    "th_id": NationalId(r"[1-8]\d{12}|[1-8][ -]\d{4}[ -]\d{5}[ -]\d{2}[ -]\d", _is_thai),
    "sg_nric": NationalId(r"[STFGMstfgm]\d{7}[A-Za-z]", _is_nric),
    "id_nik": NationalId(
        rf"(?:1[1-9]|2[1]|3[1-6]|5[1-3]|6[1-5]|7[1-6]|8[12]|9[1-6])\d{{4}}(?:{_DATE}|[4-6]\d|7[01]){_MONTH}\d{{6}}"
    ),
    "my_nric": NationalId(rf"\d{{2}}{_MONTH}{_DATE}-\d{{2}}-\d{{4}}"),
    "us_ssn": NationalId(r"(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}"),
    "vn_cmnd": NationalId(r"[0-3]\d{8}"),
}
"""What the settings may name. The check digits of the first three (a province, in the first) keep nearly every other number out."""

SURE = ("vn_cccd", "th_id", "sg_nric")
"""Those that are looked for unless the settings say otherwise."""
