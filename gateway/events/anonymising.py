"""Making nobody's event of one whose visitor has not agreed: what is left says what happened, on which page, from which campaign and kind of device.

What always holds after `clean`: nothing under a name that an id, a person, an address, a place more precise than a country, a click id or a device's id stands
under, at any depth, in any letter-case, also as a parameter of a URL or in JSON within a text; no text or number that equals an id that the event or the
request's cookies had, nor any text with it in it; no text that is a raw e-mail address or phone number. UTM parameters stay: they name a campaign, not a person.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, unquote_plus

import orjson

from gateway.events.campaign import CLICK_IDS
from gateway.events.forms import parts_of
from gateway.events.places import ID_NAMES
from gateway.events.ppid import ppid
from gateway.events.stripping import IDENTITY_NAMES, PEOPLE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

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
_LONGEST_CONSENT = 35
_DEEPEST_URL = 3
_GONE = object()
_PARAMETER = re.compile(r"(?P<lead>^|[?&;#])(?P<name>[^=&?#;\s]{1,128})=(?P<value>[^&#;\s\"']*)")
_LEFT_OVER = re.compile(r"(?<=[?&;#])[&;]+|[?&;]+(?=#|$)|#$")
_USER = re.compile(r"(?<=://)[^/?#\s@]*@")


class Anonymiser:
    """Takes out of events who they are of. `is_identity` knows names of fields, `is_raw` raw addresses."""

    def __init__(self, is_identity: Callable[[str], bool], is_raw: Callable[[str], bool]) -> None:
        self._is_identity = is_identity
        self._is_raw = is_raw

    def clean(self, fields: JsonObject, consent: Consent, *ids: str) -> None:
        """Take everything out, in place; the objects in it are made anew. `ids` are those that the request's cookies name."""
        known = {*ids, *_ids_in(fields)}
        known |= {ppid(each) for each in known}
        work = _Cleaning(
            self._is_identity,
            self._is_raw,
            consent.drops,
            frozenset(each for each in known if len(each) >= _SHORTEST_ID),
        )
        kept = work.of_object(fields, "")
        fields.clear()
        fields.update(kept)


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
    def __init__(
        self,
        is_identity: Callable[[str], bool],
        is_raw: Callable[[str], bool],
        drops: frozenset[str],
        ids: Collection[str],
    ) -> None:
        self._is_identity = is_identity
        self._is_raw = is_raw
        self._drops = drops
        self._ids = ids
        parts = "|".join(re.escape(each) for each in sorted(ids, key=len, reverse=True))
        self._within = re.compile(rf"(?<![A-Za-z0-9])(?:{parts})(?![A-Za-z0-9])") if parts else None

    def of_object(self, value: JsonObject, within: str) -> JsonObject:
        found: JsonObject = {}
        for name, each in value.items():
            lowered = name.strip().lower()
            if self.goes(lowered) or (lowered == "id" and within in _DEVICES) or self._is_raw(name):
                continue
            if within in _WHERE and not lowered.startswith(_COARSE):
                continue
            if lowered == "consent" and isinstance(each, str) and len(each) > _LONGEST_CONSENT:
                continue
            kept = self.of_value(each, lowered)
            if kept is not _GONE:
                found[name] = kept
        return found

    def of_value(self, value: Any, within: str) -> Any:
        if isinstance(value, dict):
            return (
                _GONE if str(value.get("type")).strip().lower() in PEOPLE else self.of_object(value, within)
            )
        if isinstance(value, list):
            return [each for each in (self.of_value(each, within) for each in value) if each is not _GONE]
        if isinstance(value, str):
            return self.of_text(value, 0)
        if isinstance(value, int) and not isinstance(value, bool):
            return _GONE if str(value) in self._ids else value
        return value

    def of_text(self, text: str, depth: int) -> Any:
        stripped = text.strip()
        is_url = "://" in text
        if stripped in self._ids or (not is_url and self._is_raw(stripped)):
            return _GONE
        if stripped[:1] in {"{", "["} and depth < _DEEPEST_URL:
            with contextlib.suppress(orjson.JSONDecodeError):
                return orjson.dumps(self.of_value(orjson.loads(stripped), "")).decode()
        if is_url:
            text = _USER.sub("", text)
        if "=" in text:
            text = _LEFT_OVER.sub("", _PARAMETER.sub(lambda found: self._parameter(found, depth), text))
        if self._within is not None:
            text = self._within.sub("", text)
        return text

    def goes(self, lowered: str) -> bool:
        """Tell whether nothing may stand under a name."""
        return (
            lowered in _GOES
            or lowered in self._drops
            or self._is_identity(lowered)
            or lowered.startswith(_BEGINNINGS)
        )

    def _parameter(self, found: re.Match[str], depth: int) -> str:
        name, value = unquote(found["name"]).strip().lower(), found["value"]
        if any(self.goes(part) for part in parts_of(name) or (name,)):
            return found["lead"]
        plain = unquote_plus(value)
        kept = self.of_text(plain, depth + 1) if depth < _DEEPEST_URL else _GONE
        if kept is _GONE:
            return found["lead"]
        # As it was written, where nothing had to be taken out of it.
        written = value if kept == plain else quote(str(kept), safe="")
        return f"{found['lead']}{found['name']}={written}"
