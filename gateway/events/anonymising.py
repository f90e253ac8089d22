"""Making nobody's event of one whose visitor has not agreed: what is left says what happened, on which page, from which campaign and kind of device.

What always holds after `clean`: nothing under a name that an id, a person, an address, a place more precise than a country, a click id or a device's id stands
under, at any depth, in any letter-case, also as a parameter of a URL or in JSON within a text; no text, number or name that equals an id that the event or the
request's cookies had, nor any with it in it; no text that is a raw e-mail address or phone number. UTM parameters stay: they name a campaign, not a person. Category
and action are there as before. What a client can make it cost is bounded: what would take longer to look through is taken out unseen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from gateway.events.campaign import CLICK_IDS
from gateway.events.forms import decoded, parts_of
from gateway.events.hashing import is_hash
from gateway.events.places import ID_NAMES
from gateway.events.ppid import ppid
from gateway.events.stripping import IDENTITY_NAMES, PEOPLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gateway.events.consent import Consent
    from gateway.events.model import JsonObject


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ADDRESS = _words(
    "ip ips ip_address ipaddress client_ip clientip user_ip visitor_ip remote_addr remote_address ipv4 ipv6 x_forwarded_for "
    "network_ip"
)
_PLACE = _words(
    "region regions region_code subdivision subdivisions province state_code city city_name town district ward lat latitude "
    "lng lon long longitude coordinates coords latlng latlon lat_lng geohash geopoint geo_point accuracy altitude postal "
    "postal_code postalcode postcode zip zip_code zipcode street address address1 address2 metro_code dma neighborhood isp "
    "asn org"
)
_CLICKS = _words(
    "gclsrc gclaw gad_source gad_campaignid srsltid igshid igsh mc_eid _hsenc _hsmi mkt_tok vero_id s_cid s_kwcid epik "
    "rdt_cid sccid sc_click_id scclid irclickid irgwc cjevent awc click_id clickid ttp _ttp ttc fbp fbc _fbp _fbc "
    "ga_client_id ga_session_id ga_session_number _ga _gid _gac _gcl_au wickedid ymclid ysclid vmcid trk_contact trk_msg "
    "trk_sid oly_enc_id oly_anon_id __hssc __hstc __hsfp hsctatracking _kx _branch_match_id"
)
_CLIENTS = _words(
    "client_id clientid session_id sessionid visitor_id visitorid anonymous_id anonymousid distinct_id distinctid "
    "ajs_anonymous_id device_id deviceid instance_id installation_id install_id app_instance_id idfa idfv gaid aaid adid "
    "oaid advertising_id advertisingid ad_id android_id imei imsi meid serial mac mac_address push_token device_token "
    "fcm_token apns_token registration_token external_id ppid fingerprint fingerprint_id request_id event_id userid "
    "username user_name login member_id memberid subscriber_id contact_id lead_id profile_id loyalty_id card_number "
    "customerid identify_id _asm_uid _asm_bridge _asm_visitor_type _asm_ss_view _cdp_fsid cdp_session cookie cookies"
)
_PERSON = _words(
    "user_data userdata traits profile person contact visitor lead first_name firstname last_name lastname full_name "
    "fullname birthday birth_date date_of_birth dob gender"
)
_STRINGS = frozenset(
    {"tcf", "tc_string", "tcstring", "gdpr_consent", "euconsent", "euconsent-v2", "addtl_consent"}
)
_GOES = (
    _ADDRESS
    | _PLACE
    | _CLICKS
    | _CLIENTS
    | _PERSON
    | _STRINGS
    | IDENTITY_NAMES
    | ID_NAMES
    | frozenset(CLICK_IDS)
)
_BEGINNINGS = ("_ga_", "_gcl_", "_gac_", "_uet", "_pk_id", "amp_", "mp_")
# Where an event says where it came from; of these only the country stays, and what is as coarse.
_WHERE = frozenset({"geo", "geoip", "geolocation", "location", "position"})
_COARSE = ("country", "continent", "timezone", "time_zone")
_DEVICES = frozenset({"device", "browser", "client", "session", "app_instance"})
_SHORTEST_ID = 6
_LONGEST_ID = 512
_LONGEST_ADDRESS = 512
# Names of what may be an address's hash: the same person's in every shop.
_HASHED = re.compile("mail|phone|msisdn")
_UNNAMED = "[masked]"
# What an event may cost: characters times ids that are looked for in them, and what a look at one more text costs beside.
_MOST_WORK = 10_000_000
_EACH_TEXT = 500
_LONGEST_CONSENT = 35
_DEEPEST_URL = 3
_GONE = object()
_NEEDED = ("ec", "ea")
_PARAMETER = re.compile(r"(?P<lead>^|[?&;#])(?P<name>[^=&?#;\s]{1,128})=(?P<value>[^&#;\s\"']*)")
_LEFT_OVER = re.compile(r"(?<=[?&;#])[&;]++|(?<![?&;])[?&;]++(?=#|$)|#$")
_USER = re.compile(r"(?<=://)[^/?#\s@]*@")


class Anonymiser:
    """Takes out of events who they are of. `is_identity` knows names of fields, `is_raw` raw addresses; `click_ids` are the settings' own."""

    def __init__(
        self,
        is_identity: Callable[[str], bool],
        is_raw: Callable[[str], bool],
        click_ids: Iterable[str] = (),
    ) -> None:
        self._is_identity = is_identity
        self._is_raw = is_raw
        self._click_ids = frozenset(name.lower() for name in click_ids)

    def clean(self, fields: JsonObject, consent: Consent, ids: Iterable[str] = ()) -> frozenset[str]:
        """Take everything out, in place; the objects in it are made anew.

        `ids` are those that are known besides, such as the cookies'. Gives all that are known now, for what is added to the event later on.
        """
        known = {*ids, *_ids_in(fields)}
        known |= {ppid(each) for each in known}
        found = frozenset(each for each in known if _SHORTEST_ID <= len(each) <= _LONGEST_ID)
        work = _Cleaning(self._goes, self._is_raw, consent.drops, found)
        needed = {name: fields[name] for name in _NEEDED if name in fields}
        kept = {name: str(work.of_text(text, 0) or _UNNAMED) for name, text in needed.items()}
        kept |= work.of_object({name: each for name, each in fields.items() if name not in needed}, "")
        fields.clear()
        fields.update(kept)
        return found

    def _goes(self, lowered: str) -> bool:
        return (
            lowered in _GOES
            or lowered in self._click_ids
            or self._is_identity(lowered)
            or lowered.startswith(_BEGINNINGS)
        )


def _ids_in(fields: JsonObject) -> set[str]:
    """Give the texts and numbers that stand under the names of ids."""
    found: set[str] = set()
    holders: list[Any] = [fields]
    while holders:
        holder = holders.pop()
        for name, value in holder.items() if isinstance(holder, dict) else (("", each) for each in holder):
            if isinstance(value, dict | list):
                holders.append(value)
            elif name and isinstance(value, str | int) and not isinstance(value, bool):
                lowered = name.strip().lower()
                if lowered in ID_NAMES or lowered in _CLIENTS:
                    found.add(str(value).strip())
    return found


class _Cleaning:
    """One event's; `left` is how much work may still be done for it."""

    def __init__(
        self,
        goes: Callable[[str], bool],
        is_raw: Callable[[str], bool],
        drops: frozenset[str],
        ids: frozenset[str],
    ) -> None:
        self._goes = goes
        self._is_raw = is_raw
        self._drops = drops
        self._ids = ids
        # The longest first: another may be a part of it.
        self._by_length = sorted(ids, key=len, reverse=True)
        self._left = _MOST_WORK

    def of_object(self, value: JsonObject, within: str) -> JsonObject:
        found: JsonObject = {}
        for name, each in value.items():
            lowered = name.strip().lower()
            if self.goes(lowered) or (lowered == "id" and within in _DEVICES) or self._tells(name):
                continue
            if within in _WHERE and not lowered.startswith(_COARSE):
                continue
            if isinstance(each, str):
                if lowered == "consent" and len(each) > _LONGEST_CONSENT:
                    continue
                if is_hash(each.strip()) and _HASHED.search(lowered):
                    continue
            kept = self.of_value(each, lowered)
            if kept is not _GONE:
                found[name] = kept
        return found

    def of_value(self, value: Any, within: str, depth: int = 0) -> Any:
        if isinstance(value, dict):
            return (
                _GONE if str(value.get("type")).strip().lower() in PEOPLE else self.of_object(value, within)
            )
        if isinstance(value, list):
            return [
                each for each in (self.of_value(each, within, depth) for each in value) if each is not _GONE
            ]
        if isinstance(value, str):
            text = self.of_text(value, depth)
            return _GONE if text is None else text
        if isinstance(value, int) and not isinstance(value, bool):
            return _GONE if str(value) in self._ids else value
        return value

    def of_text(self, text: str, depth: int) -> str | None:
        """Give what is left of a text; `None` for nothing."""
        self._left -= (len(text) + _EACH_TEXT) * (len(self._ids) + 1)
        if self._left < 0:
            return None
        stripped = text.strip()
        is_url = "://" in text
        if stripped in self._ids or (not is_url and self._is_address(stripped)):
            return None
        if stripped[:1] in {"{", "["} and depth < _DEEPEST_URL:
            try:
                inner = orjson.loads(stripped)
            except orjson.JSONDecodeError:
                inner = None
            if inner is not None:
                return self._of_json(inner, depth)
        if is_url:
            text = _USER.sub("", text)
        if "=" in text:
            text = _LEFT_OVER.sub("", _PARAMETER.sub(lambda found: self._parameter(found, depth), text))
        return self._without_ids(text)

    def goes(self, lowered: str) -> bool:
        """Tell whether nothing may stand under a name."""
        plain = lowered.replace("-", "_")
        return (
            lowered in self._drops
            or self._goes(lowered)
            or (plain != lowered and (plain in self._drops or self._goes(plain)))
        )

    def _of_json(self, inner: Any, depth: int) -> str | None:
        try:
            kept = self.of_value(inner, "", depth + 1)
            return None if kept is _GONE else orjson.dumps(kept).decode()
        except (orjson.JSONEncodeError, RecursionError):
            # Deeper than anybody nests it.
            return None

    def _is_address(self, text: str) -> bool:
        return self._is_raw(text) if len(text) <= _LONGEST_ADDRESS else "@" in text

    def _tells(self, name: str) -> bool:
        """Tell whether a name is, or holds, what is to be taken out."""
        self._left -= (len(name) + _EACH_TEXT) * (len(self._ids) + 1)
        return self._left < 0 or self._is_address(name) or self._without_ids(name) is not name

    def _without_ids(self, text: str) -> str:
        for each in self._by_length:
            if each in text:
                text = re.sub(rf"(?<![A-Za-z0-9]){re.escape(each)}(?![A-Za-z0-9])", "", text)
        return text

    def _parameter(self, found: re.Match[str], depth: int) -> str:
        if self._left < 0:
            return found["lead"]
        name, value = decoded(found["name"]).strip().lower(), found["value"]
        if any(self.goes(part) for part in parts_of(name) or (name,)):
            return found["lead"]
        plain = decoded(value)
        kept = self.of_text(plain, depth + 1) if depth < _DEEPEST_URL else None
        if kept is None:
            return found["lead"]
        # As it was written, where nothing had to be taken out of it.
        written = value if kept == plain else quote(kept, safe="")
        return f"{found['lead']}{found['name']}={written}"
