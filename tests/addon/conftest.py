"""What the tests of the addon share: a configuration, and a client behind a proxy."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import orjson
import pytest

from tests.builders import COOKIE_KEY, PORTAL_ID, PROP_ID, QUERY
from tests.processes import PATIENCE_SECONDS

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path

VENDOR = "a.cdp.asia"
EVENT = f"http://{VENDOR}/event?{QUERY}"
CONFIG = f"""
[cookies]
keys = ["{COOKIE_KEY}"]

[[properties]]
portal_id = "{PORTAL_ID}"
prop_id = "{PROP_ID}"
site = "shop.example"
origins = ["https://www.shop.example"]
redirect_hosts = ["shop.example"]
makes_sessions = false
"""


class Answer(NamedTuple):
    """What a client behind the proxy heard."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """Give a field's first line; empty where there is none."""
        return next((value for key, value in self.headers if key.lower() == name), "")


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Write a configuration; more TOML may stand before and behind the shop's."""

    def write(before: str = "", behind: str = "") -> Path:
        path = tmp_path / "gateway.toml"
        path.write_text(before + CONFIG + behind, encoding="utf-8")
        return path

    return write


async def ask(
    proxy: str, url: str, body: Any = None, *, method: str = "", headers: tuple[tuple[str, str], ...] = (),
    tls: ssl.SSLContext | None = None,
) -> Answer:  # fmt: skip
    """Send a request through a proxy, of bytes or an object as JSON, and give its answer. HTTPS goes through CONNECT, and needs `tls`."""
    parts, at = urlsplit(url), urlsplit(proxy)
    content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    reader, writer = await asyncio.open_connection(at.hostname, at.port)
    try:
        if tls is not None:
            writer.write(
                f"CONNECT {parts.hostname}:443 HTTP/1.1\r\nHost: {parts.hostname}:443\r\n\r\n".encode()
            )
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            await writer.start_tls(tls, server_hostname=parts.hostname)
        else:
            target = f"http://{parts.netloc}{target}"
        lines = [f"{method or ('POST' if content else 'GET')} {target} HTTP/1.1", f"Host: {parts.netloc}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if content and not any(
            name.lower() in {"content-length", "transfer-encoding"} for name, _ in headers
        ):
            lines.append(f"Content-Length: {len(content)}")
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode() + content)
        answer = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    finally:
        writer.close()
    head, _, rest = answer.partition(b"\r\n\r\n")
    first, *fields = head.decode("latin-1").split("\r\n")
    pairs = [(name, value.strip()) for name, _, value in (line.partition(":") for line in fields)]
    return Answer(int(first.split(" ")[1]), pairs, rest)
