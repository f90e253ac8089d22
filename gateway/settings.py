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

from pydantic import Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from gateway.settings_consent import Consent
from gateway.settings_delivery import Collector, Ledger, Quarantine, Spool
from gateway.settings_device import Bots, Device
from gateway.settings_duplicates import Duplicates
from gateway.settings_errors import Problem, SettingsError, explain, not_json, unknown_sections
from gateway.settings_identity import Cookies, Identity
from gateway.settings_network import Geo, Network
from gateway.settings_paths import SOURCE_MAP, Paths
from gateway.settings_plan import TrackingPlan
from gateway.settings_plugins import Plugins
from gateway.settings_privacy import Privacy
from gateway.settings_property import Property, with_consent
from gateway.settings_qa import Qa
from gateway.settings_script import Script, plain_url
from gateway.settings_tls import Tls
from gateway.settings_transformations import Transformation, one_for_all
from gateway.settings_types import Archive, Section
from gateway.settings_visits import Campaign, Clock, Session, cookies_differ
from gateway.settings_web import Admin, Limits, Server

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Archive",
    "Collector",
    "Cookies",
    "Identity",
    "Ledger",
    "Logging",
    "Property",
    "Quarantine",
    "Settings",
    "SettingsError",
    "Spool",
    "load",
]

ENV_PREFIX = "TRACKING_GATEWAY_"


class Logging(Section):
    """`[logging]`: one line for everything that happens. `auto` is `console` on a terminal, else `json`."""

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["info", "warning", "error"] = "info"
    file: str = ""


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
    network: Network = Network()
    device: Device = Device()
    geo: Geo = Geo()
    bots: Bots = Bots()
    admin: Admin = Admin()
    collector: Collector = Collector()
    spool: Spool = Spool()
    archive: Archive = Archive()
    ledger: Ledger = Ledger()
    quarantine: Quarantine = Quarantine()
    identity: Identity = Identity()
    transformations: tuple[Transformation, ...] = ()
    tracking_plan: TrackingPlan = TrackingPlan()
    plugins: Plugins = Plugins()
    privacy: Privacy = Privacy()
    duplicates: Duplicates = Duplicates()
    # Also the default one must not be among the cookies that are relayed.
    cookies: Cookies = Field(default=Cookies(), validate_default=True)
    campaign: Campaign = Field(default=Campaign(), validate_default=True)
    session: Session = Field(default=Session(), validate_default=True)
    clock: Clock = Clock()
    logging: Logging = Logging()
    consent: Consent = Consent()
    qa: Qa = Qa()
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

    @field_validator("campaign", "session")
    @classmethod
    def _cookies_differ(cls, value: Campaign | Session, info: ValidationInfo) -> Campaign | Session:
        cookies_differ(value, info.data)
        return value

    @field_validator("transformations")
    @classmethod
    def _join_nobody(
        cls, value: tuple[Transformation, ...], info: ValidationInfo
    ) -> tuple[Transformation, ...]:
        identity = info.data.get("identity")
        names = (
            {*identity.field_policies, *identity.derive_cid_from} if isinstance(identity, Identity) else ()
        )
        if problem := one_for_all(value, names):
            raise ValueError(problem)
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
        value = with_consent(value, info.data.get("consent"))
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
