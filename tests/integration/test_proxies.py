"""The gateway behind nginx and Caddy, each with the configuration that `docs/proxies.md` shows.

The proxies are Debian's. Without one its tests are skipped, unless TRACKING_GATEWAY_REQUIRE_PROXIES=1 says that this would hide something.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import tomllib

import aiohttp
import orjson
import pytest

from tests.builders import PORTAL_ID, PROP_ID, event
from tests.processes import ROOT, free_port, running_collector, running_gateway_process, until
from tests.tls_files import TlsFiles

NAME = "track.shop.example"
VISITOR = "127.0.0.5"
DOCS = (ROOT / "docs/proxies.md").read_text(encoding="utf-8")
SECTIONS = {
    # The visitors of these tests are on this machine, which is else exempt.
    "limits": {"exempt": [], "address_events_per_second": 1, "address_burst": 120},
    "quarantine": {"max_entries": 1},
    "server": {"max_body_bytes": 65_536},
}


def documented(section: str, language: str) -> str:
    """Give the code that stands in a section of the document."""
    text = DOCS.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)[1].replace("your-shop", "shop")


def nginx(folder, port, gateway_port, files):
    """Give the command that runs nginx with the documented server."""
    text = documented("nginx", "nginx").replace("127.0.0.1:8080", f"127.0.0.1:{gateway_port}")
    text = text.replace("listen 443 ", f"listen 127.0.0.1:{port} ")
    text = re.sub(r"(ssl_certificate) \S+;", rf"\1 {files.chain};", text)
    text = re.sub(r"(ssl_certificate_key) \S+;", rf"\1 {files.key};", text)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.getuid() == 0 else ""
    path = folder / "nginx.conf"
    path.write_text(
        f"daemon off; {user} worker_processes 1; pid {folder}/pid; error_log {folder}/proxy.log warn;"
        f"events {{ }} http {{ access_log off; {temporary}\n{text}\n}}\n"
    )
    return ["-e", str(folder / "proxy.log"), "-c", str(path)]


def caddy(folder, port, gateway_port, files):
    """Give the command that runs Caddy with the documented site."""
    text = documented("Caddy", "caddyfile").replace("127.0.0.1:8080", f"127.0.0.1:{gateway_port}")
    # The certificate is the tests' own, the port any.
    text = text.replace(f"{NAME} {{", f"{NAME}:{port} {{\n\tbind 127.0.0.1\n\ttls {files.chain} {files.key}")
    path = folder / "Caddyfile"
    path.write_text(f"{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{text}")
    return ["run", "--config", str(path), "--adapter", "caddyfile"]


PROXIES = {"nginx": nginx, "caddy": caddy}


class Front:
    """A proxy with the gateway behind it, and a visitor in front of both."""

    def __init__(self, port, gateway, collector, files):
        self.port, self.gateway, self.collector, self.files = port, gateway, collector, files
        self.url = f"https://{NAME}:{port}"
        self.query = gateway.collect_url().partition("?")[2]
        connector = aiohttp.TCPConnector(
            ssl=files.client(), local_addr=(VISITOR, 0), resolver=_Here(), force_close=False, limit=1
        )
        self.session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())

    def post(self, fields, **more):
        return self.session.post(f"{self.url}/event?{self.query}", data=orjson.dumps(fields), **more)

    async def is_up(self):
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with self.session.get(f"{self.url}/insight.js") as response:
                return response.status == 200
        return False


class _Here(aiohttp.abc.AbstractResolver):
    """Every name is this machine."""

    async def resolve(self, host, port=0, family=socket.AF_INET):
        return [
            {"hostname": host, "host": "127.0.0.1", "port": port, "family": family, "proto": 0, "flags": 0}
        ]

    async def close(self):
        """Nothing is open."""


@pytest.fixture(params=list(PROXIES))
async def front(request, tmp_path):
    name = request.param
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
    if program is None:
        missing = f"no {name} on the path: install Debian's package `{'nginx-light' if name == 'nginx' else name}` to run its tests"
        if os.environ.get("TRACKING_GATEWAY_REQUIRE_PROXIES") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    files = TlsFiles(tmp_path)
    files.put(files.issued(NAME))
    trusted = tomllib.loads(documented("nginx" if name == "nginx" else "Caddy", "toml"))["server"]
    sections = {**SECTIONS, "server": {**SECTIONS["server"], **trusted}}
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, **sections) as gateway,
    ):
        port = free_port()
        words = tmp_path / "proxy.err"
        with words.open("wb") as heard:
            process = await asyncio.create_subprocess_exec(
                program, *PROXIES[name](tmp_path, port, gateway.port, files),
                stdout=asyncio.subprocess.DEVNULL, stderr=heard,
                env={**os.environ, "HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)},
            )  # fmt: skip
        made = Front(port, gateway, collector, files)
        try:

            async def up():
                assert process.returncode is None, words.read_text()[-2000:]
                return await made.is_up()

            await until(up, f"{name} is up")
            yield made
        finally:
            await made.session.close()
            if process.returncode is None:
                process.terminate()
                await process.wait()


async def test_a_visitor_is_served_as_without_a_proxy(front):
    """The whole day of a visitor, on one connection: the script, events with the visitor's address, cookies, refusals."""
    # The script comes compressed, and need not come again.
    async with front.session.get(f"{front.url}/insight.js", headers={"Accept-Encoding": "gzip"}) as response:
        assert (200, "gzip") == (response.status, response.headers["Content-Encoding"])
        tag = {"If-None-Match": response.headers["ETag"], "Accept-Encoding": "gzip"}
    async with front.session.get(f"{front.url}/insight.js", headers=tag) as response:
        assert 304 == response.status

    # Events arrive with the address of the visitor, whatever the visitor says of it; cookies are the site's.
    spoofed = {"X-Forwarded-For": "1.2.3.4", "Forwarded": "for=1.2.3.4", "X-Real-IP": "1.2.3.4", "X-Forwarded-Host": "evil.example"}  # fmt: skip
    async with front.post(event(), headers=spoofed) as response:
        assert "accepted" == (await response.json())["outcome"]
        cookies = response.headers.getall("Set-Cookie")
    assert 2 == len([each for each in cookies if "Domain=shop.example" in each and "Secure" in each])
    for _ in range(5):
        async with front.post(event()) as response:
            assert 200 == response.status

    async def arrived():
        found = await front.collector.get("/events")
        return found if len(found) == 6 else None

    received = await until(arrived, "the events arrived")
    assert {VISITOR} == {each["body"]["context"]["ip"] for each in received}
    assert {VISITOR} == {each["headers"]["X-Forwarded-For"] for each in received}

    # A site's cookies may be many, and an event may stand in a long query string.
    many = "; ".join(f"c{index}={'x' * 200}" for index in range(60))
    async with front.post(event(), headers={"Cookie": many}) as response:
        assert 200 == response.status
    long = (
        f"{front.url}/event?{front.query}&uid=123456789&ec=a&ea=b&extra=%7B%22x%22%3A%22{'y' * 20_000}%22%7D"
    )
    async with front.session.get(long) as response:
        assert 200 == response.status

    # A body of unknown length is a body; a preflight is the gateway's to answer.
    async def in_pieces():
        content = orjson.dumps(event())
        for start in range(0, len(content), 10):
            yield content[start : start + 10]

    async with front.session.post(f"{front.url}/event?{front.query}", data=in_pieces()) as response:
        assert 200 == response.status
    asks = {"Origin": "https://www.shop.example", "Access-Control-Request-Method": "POST"}
    async with front.session.options(f"{front.url}/event?{front.query}", headers=asks) as response:
        assert (204, asks["Origin"]) == (response.status, response.headers["Access-Control-Allow-Origin"])

    # Refusals are the gateway's own, in words that a page can read.
    origin = {"Origin": "https://www.shop.example"}
    async with front.post(event(extra={"x": "y" * 100_000}), headers=origin) as response:
        assert (413, "too_large") == (response.status, (await response.json())["reason"])
        assert origin["Origin"] == response.headers["Access-Control-Allow-Origin"]
    two = event(cid="a" * 32, dims={"customers": {"customer_id": "b" * 32}})
    async with front.post(two) as response:
        assert "quarantined" == (await response.json())["outcome"]
    async with front.post(two, headers=origin) as response:
        assert (503, "unavailable") == (response.status, (await response.json())["reason"])
        assert int(response.headers["Retry-After"]) > 0

    # And whoever is too fast is told to wait, by the visitor's own address.
    async with asyncio.timeout(60):
        while True:
            async with front.post(event(), headers=origin) as response:
                if response.status != 200:
                    refused = await response.json()
                    break
    assert (429, "rate_limited") == (response.status, refused["reason"])
    assert int(response.headers["Retry-After"]) > 0


SMUGGLED = f"GET /event?portal_id={PORTAL_ID}&prop_id={PROP_ID}&uid=666&ec=smuggled&ea=x HTTP/1.1\r\nHost: {NAME}\r\n\r\n"
SHAPES = [
    "Content-Length: {after}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding : chunked\r\nContent-Length: {after}\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding: xchunked\r\nContent-Length: {after}\r\n\r\n0\r\n\r\n",
    "Transfer-Encoding:\x0bchunked\r\nContent-Length: {after}\r\n\r\n0\r\n\r\n",
    "Content-Length: 5\r\nContent-Length: {after}\r\n\r\n0\r\n\r\n",
    "Content-Length: +5\r\n\r\n0\r\n\r\n",
]


async def test_no_request_hides_in_another_on_the_way_through_the_proxy(front):
    """What proxy and gateway could read in two ways is refused by one of them, or is one request for both."""
    for shape in SHAPES:
        body = "0\r\n\r\n" + SMUGGLED
        head = f"POST /event?{front.query} HTTP/1.1\r\nHost: {NAME}\r\n"
        request = head + shape.replace("{after}", str(len(body))) + SMUGGLED
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", front.port, ssl=front.files.client(), server_hostname=NAME, local_addr=(VISITOR, 0)
        )
        writer.write(request.encode("latin-1"))
        with contextlib.suppress(ConnectionError, TimeoutError):
            await asyncio.wait_for(reader.read(65_536), 10)
        writer.close()
        # What the proxy did not see as a request would be answered to whoever comes next on the gateway's connection.
        async with front.post(event("probe", "after")) as response:
            assert "accepted" == (await response.json())["outcome"], shape

    async def arrived():
        found = await front.collector.get("/events")
        return (
            found if len(SHAPES) == len([each for each in found if each["body"]["ec"] == "probe"]) else None
        )

    received = await until(arrived, "the events after each shape arrived")
    # Behind a body that the proxy sees to its end it is a request like any other, with the address that the proxy saw.
    assert {VISITOR} == {each["body"]["context"]["ip"] for each in received}


@pytest.mark.parametrize("fast_path", [True, False], ids=["fast", "aiohttp"])
async def test_a_cdns_header_is_believed_where_it_is_named_and_no_other(tmp_path, fast_path):
    """`client_address_header`: from a trusted peer, in one line; everybody's own `X-Forwarded-For` says nothing then."""
    server = {
        "client_address_header": "CF-Connecting-IP",
        "trusted_proxies": ["127.0.0.1/32"],
        "fast_path": fast_path,
    }
    asked = [
        ({"CF-Connecting-IP": "198.51.100.7", "X-Forwarded-For": "1.2.3.4"}, "198.51.100.7"),
        ({"cf-connecting-ip": "2A00::7"}, "2a00::7"),
        ({"X-Forwarded-For": "1.2.3.4"}, "127.0.0.1"),
        ({"CF-Connecting-IP": "no address"}, "127.0.0.1"),
        ([("CF-Connecting-IP", "1.2.3.4"), ("CF-Connecting-IP", "198.51.100.7")], "127.0.0.1"),
    ]
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, server=server) as gateway,
        aiohttp.ClientSession() as session,
    ):
        for number, (headers, _) in enumerate(asked):
            async with session.post(
                gateway.collect_url(f"r{number}"), json=event(), headers=headers
            ) as response:
                assert 200 == response.status

        async def arrived():
            found = await collector.get("/events")
            return found if len(found) == len(asked) else None

        told = {
            each["query"]["request_id"]: each["body"]["context"]["ip"]
            for each in await until(arrived, "all arrived")
        }
        assert [address for _, address in asked] == [told[f"r{number}"] for number in range(len(asked))]
