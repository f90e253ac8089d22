"""libphonenumber's own knowledge, through our wiring: every example number of every region, and upstream's cases of parsing.

The examples are those of the installed package's metadata; the cases below are of `PhoneNumberUtilTest.java` (Apache License 2.0).
"""

from __future__ import annotations

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from gateway.events.addresses import normalise_phone
from gateway.events.phones import Patience, Phones

TYPES = [each for each in PhoneNumberType.values() if each != PhoneNumberType.UNKNOWN]
FORMATS = (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL, PhoneNumberFormat.RFC3966)


def examples(region):
    found = {}
    for kind in TYPES:
        number = phonenumbers.example_number_for_type(region, kind)
        if number is not None and phonenumbers.is_valid_number(number):
            found[phonenumbers.format_number(number, PhoneNumberFormat.E164)] = number
    return found


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_example_number_is_normalised_to_its_e164(region):
    """Of every type: as E.164, international, as a link, and national in its own region; seven digits and more, as phone fields have them."""
    for e164, number in examples(region).items():
        if number.extension or len(e164) < 8:
            continue
        for form in FORMATS:
            assert normalise_phone(phonenumbers.format_number(number, form), "VN") == e164
        national = phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL)
        read = normalise_phone(national, region)
        # What is written with other marks, or is another number with `00` in front, is not guessed.
        assert read in {e164, None}
        if (
            national.replace(" ", "").isdigit()
            and not national.startswith("00")
            and len(national.replace(" ", "")) >= 6
        ):
            assert read == e164


@pytest.mark.parametrize("region", sorted(phonenumbers.SUPPORTED_REGIONS))
def test_every_example_number_is_found_in_a_text(region):
    """With its plus, from anywhere: alone and grouped as libphonenumber groups it."""
    phones = Phones(("VN",))
    for e164, number in examples(region).items():
        if number.extension or len(e164) < 9:
            continue
        for form in (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL):
            written = phonenumbers.format_number(number, form)
            found = list(phones.found(f"gọi {written}, nhé", Patience(), is_id=False))
            assert found == [(4, 4 + len(written))], written


@pytest.mark.parametrize(
    ("written", "region", "expected"),
    [
        ("033316005", "NZ", "+6433316005"), ("33316005", "NZ", "+6433316005"), ("03-331 6005", "NZ", "+6433316005"), ("03 331 6005", "NZ", "+6433316005"),
        ("tel:03-331-6005", "NZ", "+6433316005"), ("03/331/6005", "NZ", "+6433316005"), ("0064 3 331 6005", "NZ", "+6433316005"), ("01164 3 331 6005", "US", "+6433316005"),
        ("+64 3 331 6005", "US", "+6433316005"), ("+64(0)64123456", "NZ", None), ("1-650-253-0000", "US", "+16502530000"), ("+1 (650) 253-0000", "VN", "+16502530000"),
        ("011 54 9 11 8765 4321", "US", "+5491187654321"), ("+54 9 11 8765 4321", "AR", "+5491187654321"), ("03715 65 4320", "AR", "+543715654320"), ("+390236618300", "IT", "+390236618300"),
        ("02-36618300", "IT", "+390236618300"), ("345 678 901", "IT", "+39345678901"), ("+49 30 123456", "VN", "+4930123456"), ("030 123456", "DE", "+4930123456"),
        ("+81 345 6789", "JP", None), ("This is not a phone number", "NZ", None), ("1 Still not a number", "NZ", None), ("01495 72553301873 810104", "GB", None),
        ("+---", "DE", None), ("+***", "DE", None), ("+ 49 30 123456", "DE", "+4930123456"), ("+ 00 210 3 331 6005", "NZ", None), ("", "US", None), ("+", "US", None), ("12", "US", None),
    ],
)  # fmt: skip
def test_upstreams_cases_of_parsing(written, region, expected):
    """Of `testParseNationalNumber`, `testParseNumbersWithPlusWithNoRegion`, `testFailedParseOnInvalidNumbers` and their neighbours, with real metadata."""
    assert normalise_phone(written, region) == expected
