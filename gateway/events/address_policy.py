"""What leaves of a visitor's address: all of it, its network, a hash that nobody can repeat tomorrow, or nothing.

What always holds: the policy reaches every place in which the CDP or a page keeps an address (`context.ip`, `extra.ip` and their usual spellings), whoever
wrote it there; where the policy is not `full`, what stands there and can't be read as one address goes. In the header `X-Forwarded-For`
to the collector stands an address or nothing: a hash never. IPv4 in IPv6's clothes (mapped, 6to4) is cut like IPv4.

`truncate` keeps 24 bits of IPv4 and 48 of IPv6. `hash` is HMAC-SHA256 under the salt of the day (`World.salt`), cut to 128 bits, as hexadecimal text; the
portal goes into it, so that two shops can't compare their visitors.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import TYPE_CHECKING, Any

from gateway.events.remembering import remembered

if TYPE_CHECKING:
    from gateway.events.model import JsonObject
    from gateway.events.world import World
    from gateway.settings_types import AddressPolicy

_CACHED = 8_192
_LONGEST = 64
_HASH_DIGITS = 32
_6TO4 = ipaddress.ip_network("2002::/16")
# How pages, apps and servers call it, in words.
_WORDS = (
    "ip", "ipv4", "ipv6", "ip address", "ip addr", "client ip", "user ip", "visitor ip", "remote ip", "remote addr", "client address",
)  # fmt: skip


def _spellings(words: str) -> set[str]:
    first, *rest = words.split()
    names = {"".join((first, *rest)), "_".join((first, *rest)), "-".join((first, *rest))}
    for way in (str.title, str.upper):
        names |= {first + "".join(map(way, rest)), first.title() + "".join(map(way, rest))}
    return names | {name.upper() for name in names}


_SPELLINGS = frozenset(name for words in _WORDS for name in _spellings(words))
_BLOCKS = ("context", "extra")
_INNER = ("network", "device", "geo")


class AddressPolicies:
    """Applies a property's policy; made once. `hash` needs the world's salt, and is `drop` as long as there is none."""

    def __init__(self, world: World) -> None:
        self._salt = world.salt
        self._network = remembered(_CACHED, truncated, _LONGEST)
        self._read = remembered(_CACHED, read_address, _LONGEST)

    def in_header(self, policy: AddressPolicy, address: str) -> str:
        """Give what of the visitor's address goes into the request to the collector; empty for nothing."""
        if policy == "full":
            return address
        return self._own_network(address) if policy == "truncate" else ""

    def in_event(self, policy: AddressPolicy, address: str, portal_id: str, now_ms: int) -> str:
        """Give what of the visitor's address, as `ClientAddress` spells it, an event may hold; empty for nothing."""
        if policy == "full":
            return address
        if policy == "truncate":
            return self._own_network(address)
        salt = self._salt(now_ms) if policy == "hash" and address else b""
        if not salt:
            return ""
        return hmac.digest(salt, f"{portal_id}\0{address}".encode(), "sha256").hex()[:_HASH_DIGITS]

    def protect(self, policy: AddressPolicy, fields: JsonObject, portal_id: str, now_ms: int) -> None:
        """Apply a policy to the addresses that came with an event, in place."""
        if policy == "full":
            return
        for name in _BLOCKS:
            block = fields.get(name)
            if isinstance(block, dict):
                self._protect_block(policy, block, portal_id, now_ms)
                for inner in _INNER:
                    if isinstance(block.get(inner), dict):
                        self._protect_block(policy, block[inner], portal_id, now_ms)
        self._protect_block(policy, fields, portal_id, now_ms)

    def in_parameters(self, policy: AddressPolicy, carried: dict[str, str]) -> dict[str, str]:
        """Give a query string's other parameters with what the policy leaves of addresses; a hash would outlive its day there."""
        if policy == "full":
            return carried
        left = {
            name: self._network(value) if name in _SPELLINGS and policy == "truncate" else value
            for name, value in carried.items()
            if policy == "truncate" or name not in _SPELLINGS
        }
        return {name: value for name, value in left.items() if value or name not in _SPELLINGS}

    def _protect_block(
        self, policy: AddressPolicy, block: dict[str, Any], portal_id: str, now_ms: int
    ) -> None:
        if _SPELLINGS.isdisjoint(block):
            return
        for name in _SPELLINGS.intersection(block):
            value = block[name]
            read = self._read(value.strip()) if isinstance(value, str) else ""
            left = self.in_event(policy, read, portal_id, now_ms) if read else ""
            if left:
                block[name] = left
            else:
                del block[name]

    def _own_network(self, address: str) -> str:
        # An address that was read already, and most are IPv4: no need to read it again.
        if ":" in address:
            return self._network(address)
        network, dot, _ = address.rpartition(".")
        return f"{network}.0" if dot else ""


def truncated(text: str) -> str:
    """Give the first address of the network of an address: /24 for IPv4, /48 for IPv6; empty for what is no address."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    bits = 24
    if isinstance(address, ipaddress.IPv6Address):
        mapped = address.ipv4_mapped
        # Behind 16 bits of 6to4 stands the IPv4 address.
        bits = 24 if mapped else 40 if address in _6TO4 else 48
        address = mapped or address
    return str(
        ipaddress.ip_network(
            (int(address), bits) if address.version == 4 else (address.packed, bits), strict=False
        ).network_address
    )


def read_address(text: str) -> str:
    """Give the one spelling of an address; empty for what is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)
