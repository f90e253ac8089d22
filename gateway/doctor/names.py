"""Host names as browsers compare them: in ASCII, and by their registrable domain (the public suffix and one label more).

What always holds: a name in a `Place` is lower-case ASCII without a final dot, and is no address.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

import idna
from publicsuffixlist import PublicSuffixList

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Place(NamedTuple):
    """Where something is served: the parts of an http(s) URL; `path` has no final slash."""

    scheme: str
    host: str
    port: int
    path: str = ""

    @property
    def url(self) -> str:
        """The URL, the port only where it is not the usual one."""
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.path}"

    @property
    def authority(self) -> str:
        """What stands in the `Host` header."""
        return self.url.removeprefix(f"{self.scheme}://").partition("/")[0]


class Suffixes:
    """The public suffix list, as it came with its package: its private part too, as in WebKit and in cookies' Domain.

    Source: https://publicsuffix.org/list/ ; WebKit, *Tracking Prevention in WebKit*, "registrable domain".
    """

    def __init__(self) -> None:
        self._list = PublicSuffixList()

    def registrable(self, name: str) -> str:
        """Give the registrable domain of a name (`www.shop.co.th`: `shop.co.th`); a public suffix gives itself."""
        return self._list.privatesuffix(name) or name

    def is_public(self, name: str) -> bool:
        """Whether many owners share the name: `com`, `co.th`, `github.io`. A top level that nobody listed is one, too."""
        return self._list.privatesuffix(name) is None


def read_place(text: str) -> Place:
    """Read `https://www.shop.example:8443/t`, or a bare name, which means https.

    Raises `ValueError`, which says what to write and never repeats the text: a person's address may stand in it.
    """
    example = "such as https://www.shop.example"
    full = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(full.strip())
        port = parts.port
    except ValueError:
        msg = f"write a URL whose host and port can be read, {example}"
        raise ValueError(msg) from None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        msg = f"write an http:// or https:// URL, {example}"
        raise ValueError(msg)
    if parts.username is not None or parts.query or parts.fragment:
        msg = f"write a URL without user, ?query and #fragment, {example}"
        raise ValueError(msg)
    host = ascii_name(parts.hostname)
    return Place(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme], parts.path.rstrip("/"))


def ascii_name(name: str) -> str:
    """Give a host name as DNS and cookies have it: `bücher.example` is `xn--bcher-kva.example`. Raises `ValueError`."""
    bare = name.lower().rstrip(".")
    if _is_address(bare):
        msg = "write a host name, not an address: what Safari does depends on names"
        raise ValueError(msg)
    msg = (
        "write a host name that DNS can hold: labels of letters, digits and hyphens, such as www.shop.example"
    )
    try:
        plain = bare if bare.isascii() else idna.encode(bare, uts46=True).decode("ascii")
    except idna.IDNAError:
        raise ValueError(msg) from None
    if len(plain) > 253 or not all(_LABEL.match(label) for label in plain.split(".")):
        raise ValueError(msg)
    return plain


def readable(name: str) -> str:
    """Give a name for people: one with `xn--` labels gets its letters in front."""
    if "xn--" not in name:
        return name
    try:
        return f"{idna.decode(name)} ({name})"
    except idna.IDNAError:
        return name


def covers(domain: str, name: str) -> bool:
    """Whether a cookie's `Domain` reaches a host. Source: RFC 6265, 5.1.3, domain matching."""
    return name == domain or name.endswith(f".{domain}")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True
