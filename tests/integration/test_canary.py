"""Ten thousand events with marked addresses, phones, cards and papers in every place: none comes out, but of the field that may pass."""

from __future__ import annotations

import asyncio
import io
import random
import sys

import aiohttp
import orjson
import pytest
from yarl import URL

from tests.canary import PASS_FIELD, PASSED, found_in, requests
from tests.command_line import run
from tests.processes import running_collector, running_gateway_process, until

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SETTINGS = {
    "archive": {"days": 7},
    "limits": {"address_events_per_second": 0, "uid_events_per_second": 0},
    "identity.fields": {"email": "hash", "phone": "hash", PASS_FIELD: "pass"},
}
RELAY = {"collector": {"mode": "relay", "relay_cookies": ["relayed", "cdp_session"], "relay_budget_ms": 500}}
SENDERS = 6


class Said:
    """What the gateway has answered."""

    def __init__(self):
        self.texts = []
        self.commands = []
        self.statuses = {}

    def add(self, response, body):
        self.statuses[response.status] = self.statuses.get(response.status, 0) + 1
        # A visitor who follows an allowed link arrives where it leads.
        headers = [f"{name}: {value}" for name, value in response.headers.items() if name != "Location"]
        self.texts.append("\n".join(headers).encode() + b"\n" + body)


async def send_all(gateway, sent, said):
    """Send requests, several at a time."""
    left = iter(sent)

    async def sender(session):
        for each in left:
            url = URL(f"{gateway.url}{each.target}", encoded=True)
            try:
                async with session.request(
                    each.method, url, headers=each.headers, data=each.body, allow_redirects=False
                ) as response:
                    said.add(response, await response.read())
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                # What can't be read in one way is refused with the connection.
                continue

    async with aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=60), cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        await asyncio.gather(*(sender(session) for _ in range(SENDERS)))


async def raw(gateway, said):
    """Send what no client library sends."""
    host, port = "127.0.0.1", gateway.port
    for text in (
        b"GET /event?email=canary.one@example.com HTTP/9.9\r\nHost: canary@example.com\r\n\r\n",
        b"POST /event HTTP/1.1\r\nHost: a\r\nContent-Length: canary.one@example.com\r\n\r\n",
        b"canary.one@example.com +84987654321\r\n\r\n",
        b"POST /canary.one@example.com HTTP/1.1\r\ncanary.one@example.com: x\r\nHost: b\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /event?a=\x00canary.one@example.com HTTP/1.1\r\nHost: canary.one@example.com\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(text)
        writer.write_eof()
        said.texts.append(await asyncio.wait_for(reader.read(), 30))
        writer.close()


async def settled(gateway, collector):
    """Wait until everything that was accepted has arrived."""

    async def drained():
        metrics = await gateway.metrics()
        accepted = sum(
            value
            for name, value in metrics.items()
            if name.startswith('tracking_gateway_events_total{outcome="accepted"')
        )
        gone = sum(
            value
            for name, value in metrics.items()
            if name.startswith("tracking_gateway_deliveries_total") and "retry" not in name
        )
        return accepted and gone >= accepted

    await until(drained, "everything was delivered", 120)
    return await collector.get("/events")


async def shown(gateway, said):
    """Ask all that people and programs may ask of it."""
    async with aiohttp.ClientSession() as session:
        for base, paths in (
            (gateway.admin_url, ("/metrics", "/readyz", "/healthz", "/canary.one@example.com", "/")),
            (gateway.url, ("/", "/healthz", "/insight.js", "/favicon.ico", "/canary.one@example.com")),
        ):
            for path in paths:
                async with session.get(f"{base}{path}") as response:
                    said.add(response, await response.read())


async def commanded(gateway, said):
    """Run the commands that show what is kept."""
    config = ("--config", str(gateway.config))
    held = await run("quarantine", "list", *config, "--json")
    said.commands.append((held.out + held.err).encode())
    ids = [each["event_id"] for each in held.json["entries"]] if "entries" in held.json else []
    for arguments in (
        ("quarantine", "list"),
        ("quarantine", "show", *ids[:1]),
        ("spool", "status"),
        ("quarantine", "show", "canary.one@example.com"),
    ):
        ended = await run(*arguments, *config)
        said.commands.append((ended.out + ended.err).encode())
    return len(ids)


def kept(gateway):
    """Give every file that the gateway has, by name, readable: the archive's unpacked."""
    files = {}
    for path in sorted(gateway.folder.rglob("*")):
        if path.is_file() and path != gateway.config:
            content = path.read_bytes()
            name = str(path.relative_to(gateway.folder))
            files[name] = content
            if name.endswith(".zst"):
                files[f"{name} unpacked"] = unpacked(content)
    return files


def unpacked(content):
    """Give what is in a file of the archive, whose frames stand one behind the other."""
    with zstd.ZstdFile(io.BytesIO(content)) as file:
        return file.read()


async def campaign(folder, count, seed, **sections):
    """Run a gateway, send `count` events, and give what was forwarded, what was said and what is kept."""
    said = Said()
    rng = random.Random(seed)
    merged = {**SETTINGS, **sections}
    async with running_collector() as collector:
        async with running_gateway_process(folder, collector.url, **merged) as gateway:
            await send_all(gateway, requests(rng, count), said)
            await raw(gateway, said)
            forwarded = await settled(gateway, collector)
            await shown(gateway, said)
            files = {f"running {name}": content for name, content in kept(gateway).items()}
            assert await gateway.stop() == 0
        held = await commanded(gateway, said)
    files |= kept(gateway)
    return forwarded, said, files, held


def leaks(forwarded, said, files):
    """Give each telling part that was found, with where."""
    found = {}

    def look(where, content):
        for needle in found_in(content):
            found.setdefault((where, needle), content)

    for each in forwarded:
        look("forwarded", orjson.dumps(each))
    for text in said.texts:
        look("answers", text)
    for text in said.commands:
        look("commands", text)
    for name, content in files.items():
        look(name, content)
    return found


def explained(found):
    """Say of the first finds what stands around them."""
    shown = []
    for (where, needle), content in list(found.items())[:12]:
        at = max(content.lower().find(needle), 0)
        shown.append(f"{where}: {needle!r} in {content[max(0, at - 300) : at + 300]!r}")
    return "\n".join(shown)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("mode", "count", "sections"), [("queue", 8_000, {}), ("relay", 2_000, RELAY)])
async def test_no_marked_person_comes_out_of_ten_thousand_events(mode, count, sections, tmp_path):
    """Files, log, metrics, answers, commands and forwarded events hold nothing raw but the field whose policy is `pass`."""
    forwarded, said, files, held = await campaign(tmp_path, count, mode, **sections)
    assert len(forwarded) > count / 2
    assert held
    assert {200, 302, 400, 404} <= set(said.statuses)
    assert any(name.endswith("unpacked") and content for name, content in files.items())
    found = leaks(forwarded, said, files)
    assert not found, explained(found)
    # What may pass does so in its own field alone, and is told nowhere.
    assert all(set(paths(each, PASSED)) <= {PASS_FIELD} for each in forwarded)
    assert sum(PASSED in orjson.dumps(each) for each in forwarded) > count / 3
    assert not [text for text in said.texts if PASSED in text]
    assert PASSED not in files["gateway.log"]
    assert PASSED not in b"".join(content for name, content in files.items() if "ledger" in name)


async def test_a_setting_that_lets_out_is_seen(tmp_path):
    """The search is not blind: without scrubbing, and with policies that let pass, it finds in events, files and archive; the log stays clean even then."""
    leaky = {"privacy": {"url_scrubbing": False}, "identity.fields": {"email": "pass", "phone": "pass"}}
    forwarded, said, files, _ = await campaign(tmp_path, 400, "leaky", **leaky)
    found = leaks(forwarded, said, files)
    places = {where.partition("/")[0] for where, _ in found}
    assert {"forwarded", "data"} <= places
    assert any(where.endswith("unpacked") for where, _ in found)
    assert {b"canary", b"912345678", b"987654321"} <= {needle for _, needle in found}
    # Of digits without a plus or a zero in front, only an event's own masks know that they are a phone number.
    quiet = {
        place: text
        for place, text in found.items()
        if place[0] in {"gateway.log", "answers"} and place[1] != b"987654321"
    }
    assert not quiet, explained(quiet)


def paths(value, needle, path=""):
    """Give the names of the fields that hold a telling part."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from paths(each, needle, name)
    elif isinstance(value, list):
        for each in value:
            yield from paths(each, needle, path)
    elif isinstance(value, str) and needle.decode() in value:
        yield path
