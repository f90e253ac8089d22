"""How often is too often: a bucket for each client and each UID, as the generic cell rate algorithm, in bounded memory.

Of each key one number is kept: the moment at which its bucket would be full again. Time is an argument. What always holds: somebody
who stays within `rate` and `burst` is never refused; a key that was not seen for as long as its bucket takes to fill costs no memory; when
more keys come than fit, the longest unseen are forgotten, so that a flood of addresses takes nothing from those that it does not come from.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.settings_web import Limits

_MOST_KEYS = 50_000
_CACHED = 8_192
# Of an IPv6 network one household or phone has all.
_HOUSEHOLD_BITS = 64


class Buckets:
    """Buckets by key: each holds `burst` and fills at `rate` a second. Without a rate (0) nobody is ever refused."""

    def __init__(self, rate: float, burst: int, most_keys: int = _MOST_KEYS) -> None:
        self._step_ms = 1000 / rate if rate else 0.0
        self._burst_ms = burst * self._step_ms
        self._most_keys = most_keys
        # By key, when its bucket is full again; those that were touched in this stretch of time, and in the one before.
        self._young: dict[str, float] = {}
        self._old: dict[str, float] = {}
        self._turn_ms = 0.0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, key: str, now_ms: int, count: int = 1) -> float:
        """Take `count` out of a key's bucket; gives 0, or how many seconds to wait when there is not so much as one in it.

        What is taken at once may be more than there is: then the key waits the longer for the next.
        """
        step = self._step_ms
        if not step:
            return 0.0
        if now_ms >= self._turn_ms or len(self._young) >= self._most_keys:
            self._turn(now_ms)
        full_at = self._young.get(key) or self._old.get(key, 0.0)
        if full_at < now_ms:
            full_at = float(now_ms)
        elif full_at > now_ms + 2 * self._burst_ms:
            # A clock that was set back, or a debt without end, keeps nobody out for longer than filling takes.
            full_at = self._young[key] = now_ms + 2 * self._burst_ms
        wait = full_at + step - self._burst_ms - now_ms
        if wait > 0:
            return wait / 1000
        self._young[key] = full_at + count * step
        return 0.0

    def charge(self, key: str, now_ms: int, count: int) -> None:
        """Take more out of a bucket that something was taken of just now, though it may not be in it."""
        if self._step_ms and count:
            self._young[key] = max(self._young.get(key, 0.0), float(now_ms)) + count * self._step_ms

    def _turn(self, now_ms: int) -> None:
        """Forget who was not seen since the turn before: their buckets are full."""
        self._old, self._young = self._young, {}
        self._turn_ms = now_ms + self._burst_ms


class Rates:
    """The bounds of `[limits]` on how often events come, of each client and each UID."""

    def __init__(self, limits: Limits, trusted_proxies: Sequence[str]) -> None:
        self.of_address = Buckets(limits.address_events_per_second, limits.address_burst)
        self.of_uid = Buckets(limits.uid_events_per_second, limits.uid_burst)
        networks = tuple(ipaddress.ip_network(each) for each in (*limits.exempt, *trusted_proxies))
        self._exempt = (
            tuple(each for each in networks if each.version == 4),
            tuple(each for each in networks if each.version == 6),
        )
        self.client_of = lru_cache(_CACHED)(self._client_of)

    def _client_of(self, address: str) -> str:
        """Give what an address is counted as: itself, or its /64; `""` for one that is not bounded, or none."""
        try:
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return ""
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
            parsed = parsed.ipv4_mapped
        if any(parsed in network for network in self._exempt[parsed.version == 6]):
            return ""
        if parsed.version == 4:
            return str(parsed)
        return str(ipaddress.ip_network((parsed, _HOUSEHOLD_BITS), strict=False))
