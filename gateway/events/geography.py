"""Codes of countries and of the states of the US, for the names that people write in forms.

Sources: ISO 3166-1 (alpha-2), ANSI INCITS 38 (the two-letter codes of the states). What always holds: a name that is not in these
tables has no code here; none is guessed. Names are compared in lower case without blanks and marks.
"""

from __future__ import annotations

import phonenumbers

# Short names in English, alpha-3 codes, and what the countries of South-East Asia call themselves.
_COUNTRIES = {
    name: code
    for code, names in (
        ("ae", "unitedarabemirates uae are"), ("at", "austria aut"), ("au", "australia aus"), ("be", "belgium bel"),
        ("bn", "brunei bruneidarussalam brn"), ("br", "brazil brasil bra"), ("ca", "canada can"),
        ("ch", "switzerland che"), ("cn", "china peoplesrepublicofchina chn 中国"), ("de", "germany deutschland deu"),
        ("dk", "denmark dnk"), ("es", "spain españa esp"), ("fi", "finland fin"), ("fr", "france fra"),
        ("gb", "unitedkingdom greatbritain england scotland wales northernireland uk gbr"), ("hk", "hongkong hkg 香港"),
        ("id", "indonesia idn"), ("ie", "ireland irl"), ("in", "india ind"), ("it", "italy italia ita"),
        ("jp", "japan jpn 日本"), ("kh", "cambodia kampuchea khm កម្ពុជា"),
        ("kr", "southkorea korea republicofkorea kor 대한민국 한국"), ("la", "laos laopdr lao ລາວ"), ("lk", "srilanka lka"),
        ("mm", "myanmar burma mmr မြန်မာ"), ("mx", "mexico méxico mex"), ("my", "malaysia mys"),
        ("nl", "netherlands thenetherlands holland nld"), ("no", "norway nor"), ("nz", "newzealand nzl"),
        ("ph", "philippines thephilippines pilipinas phl"), ("pl", "poland polska pol"), ("pt", "portugal prt"),
        ("ru", "russia russianfederation rus"), ("se", "sweden swe"), ("sg", "singapore singapura sgp 新加坡"),
        ("th", "thailand tha ไทย ประเทศไทย"), ("tl", "timorleste easttimor tls"), ("tw", "taiwan twn 台灣 台湾"),
        ("us", "unitedstates unitedstatesofamerica theunitedstates america usa"), ("vn", "vietnam việtnam vnm"),
        ("za", "southafrica zaf"),
    )
    for name in names.split()
}  # fmt: skip

_STATES = {
    "alabama": "al", "alaska": "ak", "arizona": "az", "arkansas": "ar", "california": "ca",
    "colorado": "co", "connecticut": "ct", "delaware": "de", "districtofcolumbia": "dc",
    "washingtondc": "dc", "florida": "fl", "georgia": "ga", "hawaii": "hi", "idaho": "id", "illinois": "il",
    "indiana": "in", "iowa": "ia", "kansas": "ks", "kentucky": "ky", "louisiana": "la", "maine": "me",
    "maryland": "md", "massachusetts": "ma", "michigan": "mi", "minnesota": "mn", "mississippi": "ms",
    "missouri": "mo", "montana": "mt", "nebraska": "ne", "nevada": "nv", "newhampshire": "nh",
    "newjersey": "nj", "newmexico": "nm", "newyork": "ny", "northcarolina": "nc", "northdakota": "nd",
    "ohio": "oh", "oklahoma": "ok", "oregon": "or", "pennsylvania": "pa", "rhodeisland": "ri",
    "southcarolina": "sc", "southdakota": "sd", "tennessee": "tn", "texas": "tx", "utah": "ut",
    "vermont": "vt", "virginia": "va", "washington": "wa", "westvirginia": "wv", "wisconsin": "wi",
    "wyoming": "wy", "americansamoa": "as", "guam": "gu", "northernmarianaislands": "mp",
    "puertorico": "pr", "usvirginislands": "vi",
}  # fmt: skip


def country_code(bare: str) -> str | None:
    """Give the ISO 3166-1 alpha-2 code, in lower case, of a code or a name; `None` for what is neither."""
    if bare in _COUNTRIES:
        return _COUNTRIES[bare]
    return bare if len(bare) == 2 and bare.upper() in phonenumbers.SUPPORTED_REGIONS else None


def state_code(bare: str) -> str | None:
    """Give the ANSI code, in lower case, of a state or territory of the US by its code or name; `None` for what is neither."""
    return _STATES.get(bare) or (bare if bare in _STATES.values() else None)
