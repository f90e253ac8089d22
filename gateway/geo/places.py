"""From a database's record to a place: every publisher writes it otherwise.

Read here: MaxMind's (GeoIP2, GeoLite2; also DB-IP's and IP2Location's, which follow it), IPinfo's (flat, `country` a code or a name beside
`country_code`), and those of ip-location-db (`country_code`, `state1`, `city`). What always holds: a country is two capital letters or nothing, texts are
short, and a record of any other shape is no place.

Sources: MaxMind DB documentation ("GeoIP2 Binary Databases"), IPinfo's database schemas, ip-location-db's README.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from gateway.events.world import NOWHERE, Location

if TYPE_CHECKING:
    from gateway.events.model import JsonObject

_LONGEST = 100
_PLACES = 4_096


def place_of(
    record: Any, language: str, detail: Literal["country", "city"], *, with_coordinates: bool
) -> Location:
    """Give the place of a record, with names in `language` where it has them, else in English; `NOWHERE` for none."""
    if not isinstance(record, dict):
        return NOWHERE
    country = _country(record)
    if detail == "country":
        return _made(country)
    coordinates = _coordinates(record) if with_coordinates else ()
    return _made(country, *_region(record, language), _name(record.get("city"), language), coordinates)


@lru_cache(_PLACES)
def _made(
    country: str, region: str = "", code: str = "", city: str = "", coordinates: tuple[float, ...] = ()
) -> Location:
    """Give a place; many addresses are of one."""
    named = {"country": country, "region": region, "region_code": code, "city": city}
    block: JsonObject = {name: text for name, text in named.items() if text}
    block |= zip(("latitude", "longitude"), coordinates, strict=False)
    return Location(country, region, city, block) if block else NOWHERE


def _country(record: JsonObject) -> str:
    told = record.get("country")
    code = told.get("iso_code") if isinstance(told, dict) else record.get("country_code", told)
    text = code.strip().upper() if isinstance(code, str) else ""
    return text if len(text) == 2 and text.isascii() and text.isalpha() else ""


def _region(record: JsonObject, language: str) -> tuple[str, str]:
    """Give the name and, where it is told, the code within the country (the second part of ISO 3166-2)."""
    parts = record.get("subdivisions")
    if isinstance(parts, list) and parts and isinstance(parts[0], dict):
        return _name(parts[0], language), _text(parts[0].get("iso_code"))
    name = next((record[key] for key in ("region", "region_name", "state1", "state") if record.get(key)), "")
    return _name(name, language), _text(record.get("region_code"))


def _coordinates(record: JsonObject) -> tuple[float, ...]:
    """Give latitude and longitude to a hundredth of a degree: no database knows better than about a kilometre."""
    told = record.get("location")
    place: Any = told if isinstance(told, dict) else record
    try:
        latitude = round(float(place.get("latitude", place.get("lat"))), 2)
        longitude = round(float(place.get("longitude", place.get("lng"))), 2)
    except (TypeError, ValueError):
        return ()
    return (latitude, longitude) if -90 <= latitude <= 90 and -180 <= longitude <= 180 else ()


def _name(told: Any, language: str) -> str:
    if isinstance(told, dict):
        names = told.get("names")
        if not isinstance(names, dict):
            return ""
        told = names.get(language) or names.get("en") or next(iter(names.values()), "")
    return _text(told)


def _text(told: Any) -> str:
    return " ".join(told.split())[:_LONGEST] if isinstance(told, str) else ""
