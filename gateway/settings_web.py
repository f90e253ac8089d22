"""The sections of the configuration that say how the gateway meets its clients: where it listens, what stands where."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.settings_types import Network, Port, Section, http_url

# Who comes from one of these is no visitor from the internet, but a proxy, a balancer or a container's bridge in front of many.
PRIVATE_NETWORKS = (
    "127.0.0.0/8",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "::1/128",
    "fc00::/7",
    "fe80::/10",
)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}\Z")


def _header_name(value: str) -> str:
    if not _HEADER_NAME.match(value):
        msg = "write the name of a request header, such as X-Forwarded-For or CF-Connecting-IP"
        raise ValueError(msg)
    return value


HeaderName = Annotated[str, AfterValidator(_header_name)]


class Server(Section):
    """`[server]`: where events are taken. Port 0 takes any free port."""

    host: str = "127.0.0.1"
    port: Port = 8080
    workers: int = Field(default=1, ge=1, le=256)
    trusted_proxies: tuple[Network, ...] = ()
    client_address_header: HeaderName = "X-Forwarded-For"
    public_url: Annotated[str, AfterValidator(lambda value: http_url(value) if value else value)] = ""
    max_body_bytes: int = Field(default=1_048_576, ge=1_024, le=64 * 1_048_576)
    max_keys: int = Field(default=2_000, ge=10)
    max_depth: int = Field(default=32, ge=4, le=200)
    max_batch: int = Field(default=100, ge=1, le=10_000)
    drain_seconds: float = Field(default=10.0, ge=0, le=600)
    fast_path: bool = True


class Limits(Section):
    """`[limits]`: what one client may take of the gateway: time, room, connections, events. A number of 0 sets no bound where it says so."""

    head_seconds: float = Field(default=20.0, gt=0, le=3_600)
    body_seconds: float = Field(default=20.0, gt=0, le=3_600)
    unread_seconds: float = Field(default=30.0, gt=0, le=3_600)
    idle_seconds: float = Field(default=75.0, gt=0, le=3_600)
    bytes_per_second: int = Field(default=1_000, ge=1)
    head_bytes: int = Field(default=98_304, ge=4_096, le=1_048_576)
    head_fields: int = Field(default=128, ge=100, le=1_000)
    target_bytes: int = Field(default=65_536, ge=2_048, le=1_048_576)
    bodies_bytes: int = Field(default=256 * 1_048_576, ge=1_048_576)
    connections: int = Field(default=10_000, ge=1, le=1_000_000)
    connections_per_address: int = Field(default=1_000, ge=0)
    address_events_per_second: float = Field(default=500.0, ge=0)
    address_burst: int = Field(default=5_000, ge=1)
    uid_events_per_second: float = Field(default=20.0, ge=0)
    uid_burst: int = Field(default=600, ge=1)
    exempt: tuple[Network, ...] = PRIVATE_NETWORKS


class Admin(Section):
    """`[admin]`: `/healthz`, `/readyz` and `/metrics`, on a port that the internet does not see."""

    host: str = "127.0.0.1"
    port: Port = 9090
