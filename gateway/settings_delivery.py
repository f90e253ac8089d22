"""The sections of the configuration that say where events go, and how much may wait for the collector or for a person."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateway.settings_types import CookieName, CountryCode, HttpUrl, RelayBudget, Section


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
    regions: dict[CountryCode, HttpUrl] = Field(default={}, max_length=300)
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
