"""Whose address a request has: the peer's, or the one that a trusted proxy or CDN tells in a header of the configured name.

What always holds: only a peer of `server.trusted_proxies` is believed; lists are read from the right, where our own proxies write, so that
what a visitor puts in front is never reached; whatever is no address is as if it had not been said. IPv4 in IPv6's clothes is IPv4.
"""

from __future__ import annotations

import ipaddress
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from gateway.events.remembering import remembered

if TYPE_CHECKING:
    from collections.abc import Sequence

LIST, FORWARDED = "x-forwarded-for", "forwarded"
# `198.51.100.7:4711`, and for IPv6 the same without brackets: the port is always there.
_ALWAYS_WITH_PORT = "cloudfront-viewer-address"
_CACHED = 8_192
_LONGEST_HOP = 256
# A port may be hidden like a name (RFC 7239, section 6).
_WITH_PORT = re.compile(r"(?:\[([^\[\]]*)\]|([^:]*)(?=:))(?::(?:[0-9]{1,5}|_[0-9A-Za-z._-]+))?\Z")
# RFC 7239, section 4: one hop. A comma or semicolon in quotes would be no address's, and is not looked for.
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR = rf'{_WORD}=(?:{_WORD}|"[^",;\\]*")'
_HOP = re.compile(rf"[ \t]*{_PAIR}(?:[ \t]*;[ \t]*{_PAIR})*[ \t]*\Z")
_FOR = re.compile(r'(?:^|;)[ \t]*for="?([^";]*)', re.IGNORECASE)


class ClientAddress:
    """Gives the visitor's address of a peer's and the raw value of the header that is called `header`."""

    def __init__(self, trusted_proxies: Sequence[str], header: str = LIST) -> None:
        self._trusted = tuple(ipaddress.ip_network(each) for each in trusted_proxies)
        self.header = name = header.lower()
        # In the order from the visitor to us; a header that is no list has one hop, which it tells for sure.
        self._is_list = name in {LIST, FORWARDED}
        read = {FORWARDED: _forwarded, _ALWAYS_WITH_PORT: _with_port}.get(name, _address)
        self._read = remembered(_CACHED, read, _LONGEST_HOP)
        self._is_trusted = lru_cache(_CACHED)(self._in_trusted_network)

    def __call__(self, peer: str, told: str) -> str:
        """Give the address; the peer's own where it is not trusted, where nothing was told, or nothing that is an address."""
        address = peer if ":" not in peer else _address(peer) or peer
        if not self._trusted or not told or not self._is_trusted(peer):
            return address
        if not self._is_list:
            return self._read(told.strip()) or address
        for hop in reversed(told.split(",")):
            parsed = self._read(hop.strip())
            if parsed is None:
                break
            address = parsed
            if not self._is_trusted(parsed):
                break
        return address

    def _in_trusted_network(self, text: str) -> bool:
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return any(address in network for network in self._trusted)


def _address(hop: str) -> str | None:
    """Read an address, an address with a port, or `[v6]:port`. One with a zone (`%eth0`) is no visitor's: it is another's on each machine."""
    found = _WITH_PORT.match(hop)
    text = (found[1] or found[2]) if found else hop
    if "%" in text:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _with_port(hop: str) -> str | None:
    return _address(hop.rpartition(":")[0].strip("[]"))


def _forwarded(hop: str) -> str | None:
    """Read one hop of `Forwarded`; `unknown` and names that hide an address are none."""
    found = _FOR.search(hop) if _HOP.match(hop) else None
    return _address(found[1]) if found else None
