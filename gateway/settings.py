"""The configuration: typed, with defaults, units in the names, unknown keys refused.

One TOML file, overlaid by environment variables (`TRACKING_GATEWAY_SECTION__KEY`, lists and tables as JSON), where a variable
that ends in `_FILE` names a file that holds the value: the way secrets reach a container. It is parsed once; what this module
gives is valid. `config/reference.toml` shows every key with its default.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import phonenumbers
from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from gateway.settings_errors import Problem, SettingsError, explain, not_json, unknown_sections
from gateway.settings_paths import SOURCE_MAP, Paths
from gateway.settings_script import Script, plain_url
from gateway.settings_tls import Tls
from gateway.settings_types import (
    PLACEHOLDERS,
    AliasPolicy,
    Archive,
    ConflictPolicy,
    CookieName,
    FieldPolicy,
    HashName,
    Host,
    HttpUrl,
    IdText,
    Keys,
    NormName,
    Origin,
    RelayBudget,
    Secrets,
    Section,
    host_name,
)
from gateway.settings_web import Admin, Limits, Server

if TYPE_CHECKING:
    from collections.abc import Mapping

ENV_PREFIX = "TRACKING_GATEWAY_"


class Collector(Section):
    """`[collector]`: where accepted events go, and with how much patience."""

    url: HttpUrl = "http://127.0.0.1:9000/event"
    timeout_seconds: float = Field(default=5.0, gt=0, le=300)
    connections: int = Field(default=32, ge=1, le=1_024)
    retry_base_seconds: float = Field(default=0.5, gt=0, le=60)
    retry_cap_seconds: float = Field(default=30.0, gt=0, le=3_600)
    max_age_hours: float = Field(default=168.0, gt=0)
    max_refusals: int = Field(default=100, ge=1)
    max_refused_hours: float = Field(default=2.0, ge=0)
    mode: Literal["async", "relay"] = "async"
    relay_budget_ms: RelayBudget = 300
    relay_cookies: tuple[CookieName, ...] = Field(default=(), max_length=32)


class Spool(Section):
    """`[spool]`: how much may wait for the collector, and how safe it is there."""

    segment_bytes: int = Field(default=16 * 1_048_576, ge=65_536, le=268_435_456)
    max_bytes: int = Field(default=4 * 1_073_741_824, ge=1_048_576)
    when_full: Literal["reject", "drop_oldest"] = "reject"
    durability: Literal["fsync", "os"] = "fsync"


class Ledger(Section):
    """`[ledger]`: how many bindings are kept in memory."""

    cache_entries: int = Field(default=200_000, ge=1_000)


class Quarantine(Section):
    """`[quarantine]`: how many events may wait for a person."""

    max_entries: int = Field(default=1_000_000, ge=1)


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


class Logging(Section):
    """`[logging]`: one line for everything that happens. `auto` is `console` on a terminal, else `json`."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["info", "warning", "error"] = "info"
    file: str = ""


class Property(Section):
    """One of `[[properties]]`: a site or app that may send events."""

    portal_id: IdText
    prop_id: IdText
    site: Host
    origins: tuple[Origin, ...] = ()
    redirect_hosts: tuple[Host, ...] = ()
    # Empty: as `[identity]` says.
    on_conflict: Literal[ConflictPolicy, ""] = ""
    on_alias: Literal[AliasPolicy, ""] = ""
    s2s_secret: Secrets = ()


class Settings(BaseSettings):
    """Everything that can be set. Made by `load`, never by hand outside tests."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        frozen=True,
        extra="forbid",
        nested_model_default_partial_update=True,
    )

    data_dir: Path = Path("data")
    server: Server = Server()
    tls: Tls = Tls()
    paths: Paths = Paths()
    script: Script = Script()
    limits: Limits = Limits()
    admin: Admin = Admin()
    collector: Collector = Collector()
    spool: Spool = Spool()
    archive: Archive = Archive()
    ledger: Ledger = Ledger()
    quarantine: Quarantine = Quarantine()
    identity: Identity = Identity()
    # Also the default one must not be among the cookies that are relayed.
    cookies: Cookies = Field(default=Cookies(), validate_default=True)
    logging: Logging = Logging()
    properties: tuple[Property, ...] = ()

    def revealed(self) -> dict[str, Any]:
        """Give everything as JSON values, secrets too: for the gateway's own processes, never for people."""
        return self.model_dump(mode="json", context={"reveal": True})

    @field_validator("cookies")
    @classmethod
    def _not_relayed(cls, value: Cookies, info: ValidationInfo) -> Cookies:
        collector = info.data.get("collector")
        relayed = set(collector.relay_cookies) if isinstance(collector, Collector) else set()
        for name in sorted(relayed & {value.name, value.twin_name, value.ppid_name} - {""}):
            msg = f"{name} is the gateway's own cookie, not the collector's: take it out of collector.relay_cookies"
            raise ValueError(msg)
        return value

    @field_validator("script")
    @classmethod
    def _has_a_name(cls, value: Script, info: ValidationInfo) -> Script:
        server, paths = info.data.get("server"), info.data.get("paths")
        if isinstance(paths, Paths):
            paths.check_beside(value.sources() or (SOURCE_MAP,))
        if value.source == "upstream" and not value.public_urls and isinstance(server, Server):
            try:
                plain_url(server.public_url or "https://track.example")
            except ValueError as error:
                msg = f"server.public_url can't stand in a script: set script.public_urls, or there {error}"
                raise ValueError(msg) from None
        return value

    @field_validator("properties")
    @classmethod
    def _each_once(cls, value: tuple[Property, ...], info: ValidationInfo) -> tuple[Property, ...]:
        seen: set[tuple[str, str]] = set()
        for property_ in value:
            key = (property_.portal_id, property_.prop_id)
            if key in seen:
                msg = (
                    f"portal_id {key[0]}, prop_id {key[1]} stands twice; keep one [[properties]] table for it"
                )
                raise ValueError(msg)
            seen.add(key)
        script, server = info.data.get("script"), info.data.get("server")
        if isinstance(script, Script) and isinstance(server, Server) and not server.public_url:
            script.check_sites({each.site for each in value})
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file, whose content arrives as `init_settings`."""
        del env_settings, dotenv_settings, file_secret_settings
        return (_Environment(settings_cls), init_settings)


class _Environment(EnvSettingsSource):
    """The environment, where `…__KEY_FILE` names a file whose content, stripped, is the value of `…__KEY`."""

    def _load_env_vars(self) -> Mapping[str, str | None]:
        values = dict(super()._load_env_vars())
        for name, path in list(values.items()):
            if (
                name.startswith(ENV_PREFIX.lower())
                and "__" in name
                and name.endswith("_file")
                and not name.endswith("__file")
            ):
                del values[name]
                try:
                    values[name.removesuffix("_file")] = Path(path or "").read_text(encoding="utf-8").strip()
                except OSError as error:
                    problem = Problem(name.upper(), repr(path), f"name a readable file ({error.strerror})")
                    raise SettingsError("the environment", [problem]) from None
        return values


def load(path: Path | None) -> Settings:
    """Read the settings of a TOML file (`None`: defaults) and the environment.

    A relative `data_dir` is relative to the working directory. Raises `SettingsError`, which names each wrong key, what
    stands there and what to write instead.
    """
    where = str(path) if path else "the environment"
    content: dict[str, Any] = {}
    if path is not None:
        try:
            content = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SettingsError(where, [Problem("--config", where, "name a file that exists")]) from None
        except IsADirectoryError:
            raise SettingsError(where, [Problem("--config", where, "name a file, not a folder")]) from None
        except OSError as error:
            hint = f"name a readable file ({error.strerror})"
            raise SettingsError(where, [Problem("--config", where, hint)]) from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(where, [Problem("--config", where, f"mend the TOML: {error}")]) from None
    stray = unknown_sections(os.environ, ENV_PREFIX, tuple(Settings.model_fields))
    if stray:
        raise SettingsError("the environment", stray)
    try:
        settings = Settings(**content)
    except ValidationError as error:
        raise SettingsError(where, explain(error, Settings)) from None
    except SourceError:
        # It does not say which variable it was, and its cause quotes the value.
        raise SettingsError("the environment", not_json(os.environ, ENV_PREFIX, Settings)) from None
    if not settings.properties:
        hint = (
            "add a [[properties]] table with portal_id, prop_id and site: without one every event is dropped"
        )
        raise SettingsError(where, [Problem("properties", "nothing", hint)])
    return settings
