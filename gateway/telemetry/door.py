"""What is said of those who were turned away: each counted, and together one line for each kind in ten seconds.

A flood of bad connections must not become a flood of lines. Whom they came from is told as a network (an IPv4 /24, an IPv6 /48), which is
enough for a firewall's rule and is nobody's own address.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from gateway.telemetry.logging import Log
    from gateway.telemetry.metrics import Metrics

_SECONDS = 10.0
_LINES = 10
_NETWORKS = 3
# Browsers open connections that they then don't need: no news.
_UNSAID = frozenset({"silent"})
_HINTS = {
    ("connection_refused", "address"): "if it is a proxy or CDN in front of the gateway, name it in server.trusted_proxies; else see limits.connections_per_address",
    ("connection_refused", "process"): "see limits.connections and the descriptors that a process may have",
    ("cut_off", "memory"): "bodies that have not come whole hold more than limits.bodies_bytes; if their senders are honest, raise it",
    ("cut_off", "room"): "more clients than limits.connections or limits.connections_per_address; see server.trusted_proxies",
}  # fmt: skip


class Sparing:
    """Lets a few lines of a kind through in each stretch of time, and counts the others."""

    def __init__(self) -> None:
        self._said = 0
        self._unsaid = 0

    def may_say(self) -> bool:
        """Tell whether another line may be written now; one that may not is counted."""
        if self._said < _LINES:
            self._said += 1
            return True
        self._unsaid += 1
        return False

    def begin_anew(self) -> int:
        """Begin another stretch; gives how many lines were not written in the last one."""
        unsaid, self._said, self._unsaid = self._unsaid, 0, 0
        return unsaid


class _Turned(NamedTuple):
    """How many of a kind were turned away, and from which networks, as far as they are told."""

    number: int
    networks: tuple[str, ...]


class DoorBook:
    """Keeps the book of the public port's door (`gateway.web.watch.Door`)."""

    def __init__(self, log: Log, metrics: Metrics, limited: Sparing) -> None:
        self._logger = log.logger
        self._metrics = metrics
        self._limited = limited
        self._turned: dict[tuple[str, str], _Turned] = {}
        self._due = 0.0

    def refused_connection(self, why: str, client: str) -> None:
        """Count a connection that was not taken."""
        self._metrics.connections_refused(why).inc()
        self._note("connection_refused", why, client)

    def refused_request(self, why: str, client: str) -> None:
        """Count a request that was not read."""
        self._metrics.requests_refused(why).inc()
        self._note("request_refused", why, client)

    def cut_off(self, why: str, client: str) -> None:
        """Count a connection that was closed on its client."""
        self._metrics.connections_cut(why).inc()
        if why not in _UNSAID:
            self._note("cut_off", why, client)

    def connected(self, number: int) -> None:
        """Note how many connections there are."""
        self._metrics.connections.set(number)

    def summarise(self, now: float) -> None:
        """Write the lines that are due: one for each kind that was turned away since the last ones."""
        if now < self._due:
            return
        self._due = now + _SECONDS
        turned, self._turned = self._turned, {}
        for (what, why), each in turned.items():
            fields: dict[str, object] = {"why": why, "count": each.number, "networks": list(each.networks)}
            if (what, why) in _HINTS:
                fields["hint"] = _HINTS[what, why]
            self._logger.warning(what, **fields)
        unsaid = self._limited.begin_anew()
        if unsaid:
            self._logger.warning(
                "rate_limited",
                count=unsaid,
                hint="so many more events were refused without a line of their own",
            )

    def _note(self, what: str, why: str, client: str) -> None:
        count, networks = self._turned.get((what, why), _Turned(0, ()))
        if len(networks) < _NETWORKS and client:
            network = network_of(client)
            if network not in networks:
                networks = (*networks, network)
        self._turned[what, why] = _Turned(count + 1, networks)


def network_of(client: str) -> str:
    """Give the network that an address, or a /64, is part of: its /24, or /48."""
    address = ipaddress.ip_address(client.partition("/")[0])
    return str(ipaddress.ip_network((address, 24 if address.version == 4 else 48), strict=False))
