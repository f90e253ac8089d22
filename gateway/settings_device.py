"""The sections of the configuration about what sends events: which device and browser, and whether it is a person's at all."""

from __future__ import annotations

from typing import Literal

from gateway.settings_types import Section

BotMode = Literal["off", "tag", "drop"]


class Device(Section):
    """`[device]`: what is read of the visitor's device and browser, beside the user agent."""

    client_hints: Literal["off", "low", "high"] = "low"


class Bots(Section):
    """`[bots]`: what becomes of the events of crawlers, monitors and other programs."""

    mode: BotMode = "tag"
