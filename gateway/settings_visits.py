"""The sections of the configuration that say how visits are told apart, where they came from, and when things happened."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, field_validator

from gateway.settings_types import CookieName, Host, Section

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARAMETER = re.compile(r"[A-Za-z0-9_.~-]{1,64}\Z")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,31}\Z")
_SAID = re.compile(r"(search|social|email|ai_assistant|ad|unknown):\s*(.{1,64})\Z")
_HOST = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)+\Z", re.IGNORECASE)


def _parameter(value: str) -> str:
    if not _PARAMETER.match(value):
        msg = "write a URL parameter's name, such as gclid: letters, digits and _.~- only, at most 64"
        raise ValueError(msg)
    return value


class Campaign(Section):
    """`[campaign]`: where visits come from, and what is remembered of it."""

    parameters: dict[str, str] = Field(default_factory=dict)
    click_ids: tuple[Annotated[str, AfterValidator(_parameter)], ...] = ()
    referrers: dict[str, str] = Field(default_factory=dict)
    internal_hosts: tuple[Host, ...] = ()
    touch_cookie: CookieName = "_asm_touch"
    touch_lifetime_days: int = Field(default=90, ge=1, le=400)
    meta_ids: bool = False

    @field_validator("parameters")
    @classmethod
    def _names(cls, value: dict[str, str]) -> dict[str, str]:
        for name, field in value.items():
            _parameter(name)
            if not _FIELD.match(field):
                msg = f"{name}: write the field of context.campaign that it is, such as source, medium, name, term or content"
                raise ValueError(msg)
        return value

    @field_validator("referrers")
    @classmethod
    def _said(cls, value: dict[str, str]) -> dict[str, str]:
        for host, said in value.items():
            if not _HOST.match(host):
                msg = f"{host}: write a host or an app's package, such as news.example or com.example.app"
                raise ValueError(msg)
            if not _SAID.match(said):
                msg = f"{host}: write kind and name, such as social:Zalo; the kinds are search, social, email, ai_assistant, ad, unknown"
                raise ValueError(msg)
        return value

    @property
    def known_referrers(self) -> dict[str, tuple[str, str]]:
        """The settings' own referrers: host to kind and name."""
        found = {host: _SAID.match(said) for host, said in self.referrers.items()}
        return {host: (match[1], match[2]) for host, match in found.items() if match}


class Session(Section):
    """`[session]`: the sessions that the gateway makes where the client sends none."""

    cookie: CookieName = "_asm_visit"
    inactivity_minutes: float = Field(default=30.0, ge=1, le=24 * 60)
    new_at_midnight: bool = False
    new_on_campaign: bool = True


class Clock(Section):
    """`[clock]`: how far a client's clock may be off, and how late an event may come, before it is said."""

    max_clock_skew_seconds: int = Field(default=300, ge=1, le=86_400)
    max_event_age_days: int = Field(default=30, ge=1, le=3_650)


def cookies_differ(section: Campaign | Session, others: Mapping[str, object]) -> None:
    """Check that no other cookie has this section's name. Raises `ValueError`, which says what to do.

    `others` are the sections that were read before, by name.
    """
    cookies, collector, campaign = others.get("cookies"), others.get("collector"), others.get("campaign")
    own = {getattr(cookies, name, "") for name in ("name", "twin_name", "ppid_name")}
    own |= {"_fbp", "_fbc", *getattr(collector, "relay_cookies", ())}
    name = section.touch_cookie if isinstance(section, Campaign) else section.cookie
    if isinstance(section, Session):
        own.add(getattr(campaign, "touch_cookie", ""))
    if name and name in own:
        key = "campaign.touch_cookie" if isinstance(section, Campaign) else "session.cookie"
        msg = f"{key} = {name!r}: each cookie needs a name of its own, and another has this one"
        raise ValueError(msg)
