"""`[privacy]`: raw identity in the URLs and texts of events, found and masked before anything is kept."""

from __future__ import annotations

from typing import Annotated

import phonenumbers
import re2  # type: ignore[import-untyped]
from pydantic import AfterValidator, Field, field_validator

from gateway.settings_types import Section

NATIONAL_IDS = ("vn_cccd", "th_id", "sg_nric", "id_nik", "my_nric", "us_ssn", "vn_cmnd")
"""The national ids that can be looked for by name."""

MASKED_PARAMETERS = (
    "email", "e_mail", "mail", "user_email", "customer_email", "email_address", "phone", "phone_number", "mobile", "mobile_number", "tel", "telephone",
    "msisdn", "sdt", "customer_phone", "password", "passwd", "pwd", "pass", "otp", "pin", "token", "access_token", "id_token", "refresh_token",
    "auth", "auth_token", "authorization", "api_key", "apikey", "secret", "client_secret", "session", "session_id", "sessionid", "jsessionid", "phpsessid",
    "reset_token", "card_number", "cardnumber", "cvv", "cvc", "cccd", "cmnd", "ssn", "national_id", "passport",
)  # fmt: skip
"""Parameters of links whose values are masked, whatever they are."""

_MOST = 256
_LONGEST = 64


def _region(value: str) -> str:
    if value.upper() not in phonenumbers.SUPPORTED_REGIONS:
        msg = "write countries as two letters (ISO 3166-1), such as VN, TH, ID, SG or US"
        raise ValueError(msg)
    return value.upper()


def _known_id(value: str) -> str:
    if value not in NATIONAL_IDS:
        msg = f"write one of {', '.join(NATIONAL_IDS)}; others go into [privacy.id_patterns]"
        raise ValueError(msg)
    return value


def _parameter(value: str) -> str:
    name = value.strip()
    if not name or len(name) > _LONGEST or any(mark in name for mark in "=&?#;/ "):
        msg = "write the bare name of a parameter, such as email or reset_token"
        raise ValueError(msg)
    return name


def _pattern(value: str) -> str:
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(value, options)
    except re2.error as error:
        cause = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else error
        msg = f"write a regular expression of RE2's syntax, without look-around ({cause})"
        raise ValueError(msg) from None
    if compiled.search("") is not None:
        msg = "write a regular expression that matches no empty text"
        raise ValueError(msg)
    return value


Names = Annotated[tuple[Annotated[str, AfterValidator(_parameter)], ...], Field(max_length=_MOST)]


class Privacy(Section):
    """`[privacy]`: what is masked in events besides the identity fields."""

    url_scrubbing: bool = True
    mask_parameters: Names = MASKED_PARAMETERS
    drop_parameters: Names = ()
    keep_parameters: Names = ()
    id_fields: Names = ()
    # Empty: identity.default_region alone.
    phone_regions: tuple[Annotated[str, AfterValidator(_region)], ...] = ()
    national_ids: tuple[Annotated[str, AfterValidator(_known_id)], ...] = ("vn_cccd", "th_id", "sg_nric")
    id_patterns: dict[str, Annotated[str, AfterValidator(_pattern)]] = Field(default_factory=dict)

    @field_validator("phone_regions")
    @classmethod
    def _few(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > 16:
            msg = "name at most 16 countries: each is asked about every number"
            raise ValueError(msg)
        return tuple(dict.fromkeys(value))
