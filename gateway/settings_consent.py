"""`[consent]`: whether events need the visitor's consent, and where it is read. Each property may say otherwise in `[properties.consent]`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from gateway.settings_types import CookieName, Section

ConsentMode = Literal["off", "require", "anonymise"]
ConsentSignal = Literal["gpc", "dnt", "cookie", "header", "event", "tcf"]

_HEADER_NAME = re.compile(r"[A-Za-z0-9-]{1,64}\Z")
# TCF Policies, chapter II: these are never a legitimate interest.
_CONSENT_ONLY = frozenset({1, 3, 4, 5, 6})


def _header_name(value: str) -> str:
    if value and not _HEADER_NAME.match(value):
        msg = "write a header's name, such as X-Consent: letters, digits and dashes"
        raise ValueError(msg)
    return value.lower()


HeaderName = Annotated[str, AfterValidator(_header_name)]
Purpose = Annotated[int, Field(ge=1, le=24)]
Text = Annotated[str, Field(min_length=1, max_length=256)]


class Consent(Section):
    """`[consent]`: what holds for all properties that don't say otherwise."""

    mode: ConsentMode = "off"
    cookie: CookieName = ""
    header: HeaderName = ""
    granted_texts: tuple[Text, ...] = ()
    denied_texts: tuple[Text, ...] = ()
    categories: tuple[Text, ...] = ("analytics_storage", "analytics", "statistics")
    tcf_cookie: CookieName = "euconsent-v2"
    tcf_header: HeaderName = ""
    tcf_purposes: tuple[Purpose, ...] = (1, 8)
    tcf_vendor: int = Field(default=0, ge=0, le=65_535)
    tcf_legitimate_interests: tuple[Purpose, ...] = ()
    tcf_out_of_scope: Literal["unknown", "granted"] = "unknown"
    servers: Literal["unknown", "granted"] = "unknown"
    anonymise_drop: tuple[Text, ...] = ()
    # Behind those whose presence it checks.
    signals: tuple[ConsentSignal, ...] = ("gpc", "cookie", "header", "event", "tcf")

    @field_validator("signals")
    @classmethod
    def _once(cls, value: tuple[ConsentSignal, ...], info: ValidationInfo) -> tuple[ConsentSignal, ...]:
        if len(set(value)) != len(value):
            msg = "name each signal once, the first one first"
            raise ValueError(msg)
        if not value and info.data.get("mode") != "off":
            msg = 'name at least one signal, such as ["event"]: without one nobody could ever agree'
            raise ValueError(msg)
        return value

    @field_validator("tcf_purposes")
    @classmethod
    def _some(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value:
            msg = "name at least one purpose, such as [1, 8]: without one each string would be a consent"
            raise ValueError(msg)
        return value

    @field_validator("tcf_legitimate_interests")
    @classmethod
    def _may_be_interests(cls, value: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        wrong = sorted(_CONSENT_ONLY & set(value))
        if wrong:
            msg = f"purpose {wrong[0]} needs consent: TCF allows no legitimate interest for 1, 3, 4, 5 and 6"
            raise ValueError(msg)
        strange = sorted(set(value) - set(info.data.get("tcf_purposes", value)))
        if strange:
            msg = (
                f"purpose {strange[0]} is not one of consent.tcf_purposes: add it there, or take it out here"
            )
            raise ValueError(msg)
        return value

    def overlaid(self, own: Consent | None) -> Consent:
        """Give what holds for a property: its own words, and these for what it does not say. Raises `ValidationError` where they don't fit together."""
        if own is None:
            return self
        said: dict[str, Any] = {name: getattr(own, name) for name in own.model_fields_set}
        return Consent.model_validate({**self.model_dump(), **said})
