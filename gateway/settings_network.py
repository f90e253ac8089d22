"""The sections of the configuration about the visitor's address: what leaves of it, and which place it tells."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.settings_types import AddressPolicy, Section

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}(-[A-Za-z]{2,4})?")


def _language(text: str) -> str:
    if _LANGUAGE.fullmatch(text) is None:
        raise ValueError("write the code of a language, such as vi, en or pt-BR")
    return text


class Network(Section):
    """`[network]`: what leaves of a visitor's address. A property may say otherwise."""

    client_address: AddressPolicy = "full"


class Geo(Section):
    """`[geo]`: from which database the place of an address is read, and how much of it events get."""

    enabled: bool = True
    database: str = ""
    language: Annotated[str, AfterValidator(_language)] = "en"
    detail: Literal["country", "city"] = "city"
    coordinates: bool = False
    max_age_days: int = Field(default=60, ge=1)
