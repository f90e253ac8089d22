"""The sections of the configuration that say how the gateway meets its clients: where it listens, what stands where."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.settings_types import Network, Port, Section, http_url


class Server(Section):
    """`[server]`: where events are taken. Port 0 takes any free port."""

    host: str = "127.0.0.1"
    port: Port = 8080
    workers: int = Field(default=1, ge=1, le=256)
    trusted_proxies: tuple[Network, ...] = ()
    public_url: Annotated[str, AfterValidator(lambda value: http_url(value) if value else value)] = ""
    max_body_bytes: int = Field(default=1_048_576, ge=1_024, le=64 * 1_048_576)
    max_keys: int = Field(default=2_000, ge=10)
    max_depth: int = Field(default=32, ge=4, le=200)
    max_batch: int = Field(default=100, ge=1, le=10_000)
    drain_seconds: float = Field(default=10.0, ge=0, le=600)
    fast_path: bool = True


class Admin(Section):
    """`[admin]`: `/healthz`, `/readyz` and `/metrics`, on a port that the internet does not see."""

    host: str = "127.0.0.1"
    port: Port = 9090
