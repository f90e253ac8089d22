"""The sections of the configuration about what sends events: which device and browser, and whether it is a person's at all."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.settings_paths import PARTS, SOURCE_MAP, Name
from gateway.settings_types import BotMode, Section


def _no_part(value: str) -> str:
    if value in {*PARTS.values(), SOURCE_MAP}:
        msg = "that path is one of the gateway's own: write another, such as /members/list"
        raise ValueError(msg)
    return value


class Device(Section):
    """`[device]`: what is read of the visitor's device and browser, beside the user agent."""

    client_hints: Literal["off", "low", "high"] = "low"


class Bots(Section):
    """`[bots]`: what becomes of the events of crawlers, monitors and other programs."""

    mode: BotMode = "tag"
    verify_crawlers: bool = False
    honeypot_path: Annotated[Name, AfterValidator(_no_part)] | Literal[""] = ""
    honeypot_hours: float = Field(default=24.0, gt=0, le=720)
