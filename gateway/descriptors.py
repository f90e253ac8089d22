"""How many files and sockets this process may have open: as many as its connections need, where the system lets it.

A process that runs out of descriptors can open neither a connection nor a file of the spool. So connections are fewer than descriptors,
and what the stores, the log and the collector's connections need is never given to a visitor.
"""

from __future__ import annotations

import resource
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.settings import Settings

# Files of the spool, the stores, the archive and the log, sockets of the feed and the admin port, and what libraries open.
_OWN = 200
_LEAST_HANDSHAKES = 64


def raise_limit(settings: Settings) -> int:
    """Let this process have the descriptors that its settings need, as far as the hard limit goes; gives how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _needed(settings)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return soft if soft != resource.RLIM_INFINITY else needed
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def most_connections(settings: Settings) -> int:
    """Give how many clients' connections this process can hold: `limits.connections`, or fewer where descriptors are."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return settings.limits.connections
    return max(1, min(settings.limits.connections, soft - (_needed(settings) - settings.limits.connections)))


def most_handshakes(settings: Settings) -> int:
    """Give how many handshakes of TLS may be under way beside the connections; 0 without TLS."""
    if not settings.tls.is_on:
        return 0
    return max(_LEAST_HANDSHAKES, settings.limits.connections // 10)


def shortage(settings: Settings) -> str:
    """Say what is too few, and the repair; nothing when there are enough."""
    most = most_connections(settings)
    if most >= settings.limits.connections:
        return ""
    return (
        f"room for {most} connections only (limits.connections = {settings.limits.connections}): "
        f"raise the hard limit of open files to {_needed(settings)} (ulimit -Hn, LimitNOFILE=)"
    )


def _needed(settings: Settings) -> int:
    clients = settings.limits.connections + most_handshakes(settings)
    return clients + settings.collector.connections + _OWN
