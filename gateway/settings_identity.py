"""The sections of the configuration that say how customers are recognised, and which cookies carry the anonymous id."""

from __future__ import annotations

from typing import Literal

import phonenumbers
from pydantic import Field, ValidationInfo, field_validator

from gateway.settings_types import (
    PLACEHOLDERS,
    AliasPolicy,
    ConflictPolicy,
    CookieName,
    FieldPolicy,
    HashName,
    Keys,
    NormName,
    Section,
    host_name,
)


class Identity(Section):
    """`[identity]`: how customers are recognised."""

    # Before `derive_cid_from`, whose check needs it.
    fields: dict[str, FieldPolicy] = Field(default_factory=dict)
    # Before the hashes that need them.
    hash_keys: Keys = ()
    cid_hash: HashName = "md5"
    field_hash: Literal["sha256", "hmac-sha256"] = "sha256"
    norms: dict[str, tuple[NormName, ...]] = Field(default_factory=dict)
    derive_cid_from: tuple[str, ...] = ("email", "phone")
    verify: bool = True
    attach_known_cid: bool = True
    on_conflict: ConflictPolicy = "quarantine"
    on_alias: AliasPolicy = "warn"
    default_region: str = "VN"
    gmail_dots: Literal["keep", "drop"] = "keep"
    plus_tags: Literal["keep", "drop"] = "keep"
    placeholder_cids: tuple[str, ...] = PLACEHOLDERS

    @field_validator("default_region")
    @classmethod
    def _known_region(cls, value: str) -> str:
        if value.upper() not in phonenumbers.SUPPORTED_REGIONS:
            msg = "write a country as two letters (ISO 3166-1), such as VN, TH, ID, SG or US"
            raise ValueError(msg)
        return value.upper()

    @field_validator("fields")
    @classmethod
    def _with_defaults(cls, value: dict[str, FieldPolicy]) -> dict[str, FieldPolicy]:
        return {"email": "hash", "phone": "hash", **value}

    @field_validator("cid_hash", "field_hash")
    @classmethod
    def _has_key(cls, value: str, info: ValidationInfo) -> str:
        if value == "hmac-sha256" and not info.data.get("hash_keys"):
            msg = 'hmac-sha256 needs a secret: add identity.hash_keys = ["id:key"], the newest first'
            raise ValueError(msg)
        return value

    @property
    def field_policies(self) -> dict[str, FieldPolicy]:
        """Every identity field with its policy, `email` and `phone` always among them."""
        return {"email": "hash", "phone": "hash", **self.fields}


class Cookies(Section):
    """`[cookies]`: the first-party cookies that carry the UID."""

    name: CookieName = Field(default="_asm_uid", min_length=1)
    twin_name: CookieName = "_asm_uid_s"
    ppid_name: CookieName = ""
    domain: str = ""
    secure: bool = True
    same_site: Literal["lax", "strict", "none"] = "lax"
    lifetime_days: int = Field(default=400, ge=0, le=400)
    renew_hours: float = Field(default=24.0, ge=0, le=24 * 400)
    keys: Keys = ()

    @field_validator("twin_name", "ppid_name")
    @classmethod
    def _names_differ(cls, value: str, info: ValidationInfo) -> str:
        if value and value in {info.data.get("name"), info.data.get("twin_name")}:
            msg = "each cookie needs a name of its own"
            raise ValueError(msg)
        return value

    @field_validator("domain")
    @classmethod
    def _domain_or_host(cls, value: str) -> str:
        return value if value in {"", "host"} else host_name(value.removeprefix("."))

    @field_validator("same_site")
    @classmethod
    def _none_is_secure(cls, value: str, info: ValidationInfo) -> str:
        if value == "none" and not info.data.get("secure", True):
            msg = "browsers refuse SameSite=None without Secure: set cookies.secure = true"
            raise ValueError(msg)
        return value
