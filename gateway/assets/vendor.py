"""Asks the vendor's host for an asset: what comes back is a content that can be one, word that nothing changed, or why there is neither.

What always holds: nothing of a visitor goes with the request (no cookie, no referrer, no address); a redirect is followed on the asset's own host alone,
and never from https to http; no more than `max_bytes` is unpacked; nothing is raised but cancellation.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urljoin, urlsplit

import aiohttp
import msgspec

from gateway.assets.judging import fault_of
from gateway.events.coding import expand
from gateway.events.outcome import Rejection

if TYPE_CHECKING:
    from gateway.settings_script import Kind

_MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ACCEPT_ENCODING = "br, zstd, gzip"
_LONGEST_VALIDATOR = 256


class Fetched(msgspec.Struct, frozen=True):
    """A whole content, unpacked, with the vendor's own validators, printable ASCII."""

    content: bytes
    etag: str
    last_modified: str


class Unchanged(msgspec.Struct, frozen=True):
    """The vendor still gives what it gave."""


class Failed(msgspec.Struct, frozen=True):
    """Nothing usable came: why."""

    cause: str


Fetch: TypeAlias = Fetched | Unchanged | Failed


class _Refused(Exception):
    """The vendor's answer can't be used."""


class Vendor:
    """The vendor's hosts, over HTTP. To be used in one event loop."""

    def __init__(self, *, timeout_seconds: float, max_bytes: int, user_agent: str) -> None:
        self._max_bytes = max_bytes
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=min(5.0, timeout_seconds)),
            # They are unpacked here, within a bound.
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": user_agent, "Accept": "*/*", "Accept-Encoding": _ACCEPT_ENCODING},
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def fetch(self, url: str, kind: Kind, etag: str = "", last_modified: str = "") -> Fetch:
        """Ask for an asset of this kind; `etag` and `last_modified` are those of the content that is at hand, empty without one."""
        validators = {"If-None-Match": etag, "If-Modified-Since": last_modified}
        headers = {name: value for name, value in validators.items() if value}
        try:
            return await self._fetch(url, kind, headers)
        except _Refused as refused:
            return Failed(_sayable(str(refused)))
        except TimeoutError:
            return Failed("no whole answer in time")
        except (aiohttp.ClientError, OSError, ssl.SSLError, asyncio.IncompleteReadError, ValueError) as error:
            return Failed(_sayable(f"{type(error).__name__}: {error}"))

    async def _fetch(self, url: str, kind: Kind, headers: dict[str, str]) -> Fetch:
        first = urlsplit(url)
        for _ in range(_MOST_REDIRECTS + 1):
            async with self._session.get(url, headers=headers, allow_redirects=False) as response:
                if response.status in _REDIRECTS:
                    url = urljoin(url, response.headers.get("Location", ""))
                    parts = urlsplit(url)
                    if (parts.scheme, parts.netloc) not in {
                        (first.scheme, first.netloc),
                        ("https", first.hostname),
                    }:
                        what = f"a redirect to another host, {parts.scheme}://{parts.netloc}"
                        raise _Refused(what)
                    continue
                if response.status == 304 and headers:
                    return Unchanged()
                if response.status != 200:
                    what = f"status {response.status}"
                    raise _Refused(what)
                return self._usable(response, await self._body(response), kind)
        what = f"more than {_MOST_REDIRECTS} redirects"
        raise _Refused(what)

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        packed = bytearray()
        async for chunk in response.content.iter_chunked(65_536):
            packed += chunk
            if len(packed) > self._max_bytes:
                what = f"more than {self._max_bytes} bytes (script.max_bytes)"
                raise _Refused(what)
        coding = ",".join(response.headers.getall("Content-Encoding", ()))
        content = await asyncio.to_thread(expand, bytes(packed), coding, self._max_bytes)
        if isinstance(content, Rejection):
            what = f"{content.field}: {content.detail}"
            raise _Refused(what)
        return content

    def _usable(self, response: aiohttp.ClientResponse, content: bytes, kind: Kind) -> Fetched:
        fault = fault_of(content, response.headers.get("Content-Type", ""), kind)
        if fault:
            raise _Refused(fault)
        return Fetched(content, _validator(response, "ETag"), _validator(response, "Last-Modified"))


def _validator(response: aiohttp.ClientResponse, name: str) -> str:
    """Give a validator as it can be kept and sent back; empty for one that can't, as if there were none."""
    text = response.headers.get(name, "")
    return text if len(text) <= _LONGEST_VALIDATOR and text.isascii() and text.isprintable() else ""


def _sayable(cause: str) -> str:
    """Give a cause as it can stand in a line of the log, whatever bytes of the vendor's are in it."""
    return cause[:300].encode("ascii", "backslashreplace").decode("ascii")
