"""The kinds of value that settings are made of: each is checked when it is read, and says what to write instead."""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import idna
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
    ValidationInfo,
)

HashName = Literal["md5", "sha256", "hmac-sha256"]
FieldPolicy = Literal["hash", "hash_and_pass", "pass", "mask", "drop"]
NormName = Literal["meta", "google", "tiktok"]
ConflictPolicy = Literal["quarantine", "new_uid", "strip"]
AliasPolicy = Literal["warn", "quarantine"]
BotMode = Literal["off", "tag", "drop"]
AddressPolicy = Literal["full", "truncate", "hash", "drop"]

_KEY = re.compile(r"(?P<id>[a-z0-9][a-z0-9_-]{0,15}):(?P<secret>.{16,256})\Z", re.DOTALL)
_COOKIE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}\Z")


def http_url(value: str) -> str:
    """Give the URL back when it is a full http(s) one. Raises `ValueError`, which says what to write."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = "write a full http:// or https:// URL, such as https://a.cdp.asia/event"
        raise ValueError(msg)
    if "@" in parts.netloc:
        msg = "leave out the user and password: a URL is shown and logged"
        raise ValueError(msg)
    if parts.fragment:
        msg = "leave out the #fragment"
        raise ValueError(msg)
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value, strict=True)
    except ValueError as error:
        msg = f"write an address or a network such as 10.0.0.0/8 ({error})"
        raise ValueError(msg) from None
    return value


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.path
        or parts.query
        or parts.fragment
    ):
        msg = "write scheme and host without a path, such as https://www.shop.example"
        raise ValueError(msg)
    return value.lower()


def host_name(value: str) -> str:
    """Give the host name in lower case. Raises `ValueError` for anything but a bare name or `*.name`."""
    host = value.lower().rstrip(".")
    bare = host.removeprefix("*.")
    if not bare or any(character in bare for character in "/:@ *\\") or bare.startswith("."):
        msg = "write a bare host name such as shop.example, or *.shop.example for its sub-domains"
        raise ValueError(msg)
    if not bare.isascii():
        # As browsers send it.
        try:
            host = host.removesuffix(bare) + idna.encode(bare, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            msg = f"write a host name that browsers know ({error})"
            raise ValueError(msg) from None
    return host


def _id_text(value: Any) -> Any:
    # `portal_id = 33167` without quotes means the same to a person.
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Section(BaseModel):
    """What all sections share: they are frozen and refuse unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Archive(Section):
    """`[archive]`: for how many days delivered events are kept, to be sent again. 0: not at all."""

    days: int = Field(default=0, ge=0, le=3_650)
    max_bytes: int = Field(default=10 * 1_073_741_824, ge=16 * 1_048_576)


HttpUrl = Annotated[str, AfterValidator(http_url)]
Network = Annotated[str, AfterValidator(_network)]
Origin = Annotated[str, AfterValidator(_origin)]
Host = Annotated[str, AfterValidator(host_name)]
IdText = Annotated[
    str, BeforeValidator(_id_text), Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")
]
Port = Annotated[int, Field(ge=0, le=65535)]


def _secret_key(value: SecretStr) -> SecretStr:
    if not _KEY.match(value.get_secret_value()):
        msg = "write id:key, such as 2026a:… : an id of lower-case letters and digits, a colon, a key of 16 to 256 characters"
        raise ValueError(msg)
    return value


def _shown(value: SecretStr, info: SerializationInfo) -> str:
    is_revealed = bool(info.context and info.context.get("reveal"))
    return value.get_secret_value() if is_revealed else "••••"


def _cookie_name(value: str) -> str:
    if value and not _COOKIE_NAME.match(value):
        msg = "write a cookie's name: letters, digits and -_. only, at most 64"
        raise ValueError(msg)
    return value


def _time_zone(value: str) -> str:
    try:
        zoneinfo.ZoneInfo(value)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        msg = "write a time zone of the IANA database, such as Asia/Ho_Chi_Minh, Asia/Bangkok or UTC"
        raise ValueError(msg) from None
    return value


Key = Annotated[
    SecretStr, AfterValidator(_secret_key), PlainSerializer(_shown, return_type=str, when_used="json")
]
"""A named secret, `id:key`. Shown as dots everywhere but where `context={"reveal": True}` asks for it."""


def _each_id_once(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    ids = [key.get_secret_value().partition(":")[0] for key in keys]
    if len(set(ids)) != len(ids):
        msg = "each key needs an id of its own"
        raise ValueError(msg)
    return keys


def _within_an_attempt(value: int, info: ValidationInfo) -> int:
    longest_ms = int(info.data.get("timeout_seconds", 300) * 1_000)
    if value > longest_ms:
        msg = f"an attempt is over after collector.timeout_seconds: write at most {longest_ms}, or raise that"
        raise ValueError(msg)
    return value


_SECRET = re.compile(r"[!-~]{16,256}\Z")


def _secret_text(value: SecretStr) -> SecretStr:
    if not _SECRET.match(value.get_secret_value()):
        msg = "write a secret of 16 to 256 letters, digits and signs, without blanks, such as `openssl rand -hex 32` makes"
        raise ValueError(msg)
    return value


def _one_or_several(value: Any) -> Any:
    return ((value,) if value else ()) if isinstance(value, str) else value


Secret = Annotated[
    SecretStr, AfterValidator(_secret_text), PlainSerializer(_shown, return_type=str, when_used="json")
]
"""A secret that a client sends as it is. Shown as dots, like a `Key`."""

Secrets = Annotated[tuple[Secret, ...], BeforeValidator(_one_or_several)]
"""A secret, or several while one takes the place of the other."""

Keys = Annotated[tuple[Key, ...], AfterValidator(_each_id_once)]
"""Named secrets, each id once."""

RelayBudget = Annotated[int, Field(ge=10, le=10_000), AfterValidator(_within_an_attempt)]
"""Milliseconds that a client may wait for the collector; no longer than an attempt, whose `timeout_seconds` stand before it."""


def _country(value: str) -> str:
    if not re.fullmatch(r"[A-Z]{2}", value):
        msg = "write a country as ISO 3166-1 has it, two capital letters, such as VN"
        raise ValueError(msg)
    return value


CountryCode = Annotated[str, AfterValidator(_country)]

CookieName = Annotated[str, AfterValidator(_cookie_name)]

TimeZone = Annotated[str, AfterValidator(_time_zone)]
"""A time zone of the IANA database."""

PLACEHOLDERS = (
    "0", "-1", "undefined", "null", "none", "nil", "true", "false", "unknown", "anonymous", "guest", "n/a",
    "[object Object]", "NaN", "not_authenticated", "00000000-0000-0000-0000-000000000000",
)  # fmt: skip
"""What pages and phones send when nobody is signed in."""
