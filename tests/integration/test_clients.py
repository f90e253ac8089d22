"""Real clients over real sockets, each as it sends by itself: curl, wget, aiohttp and the standard library."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gzip
import shutil
import urllib.request
import zlib
from urllib.parse import quote, urlencode

import aiohttp
import brotli
import orjson
import pytest

from tests.builders import event
from tests.encodings import zstd
from tests.processes import Gateway, running_collector, until

SECRET = "clients-0123456789abcdef"
TITLE = "Áo dài + nón 🙂 & =%41"
FIELDS = event("product", "view", extra={"title": TITLE}, items=[{"type": "product", "id": "SKU-1"}])
TEXT = orjson.dumps(FIELDS).decode()
FORM = {"uid": FIELDS["uid"], "ec": "product", "ea": "view"} | {
    name: orjson.dumps(FIELDS[name]).decode() for name in ("extra", "items")
}


@pytest.fixture(scope="module", params=["fast", "plain"])
def world(request, tmp_path_factory):
    """Run a collector and a gateway whose property has a secret, with and without the fast path, in a loop of its own."""
    loop = asyncio.new_event_loop()
    stack = contextlib.AsyncExitStack()

    async def start():
        collector = await stack.enter_async_context(running_collector())
        settings = {"fast_path": request.param == "fast"}
        gateway = Gateway(tmp_path_factory.mktemp("clients"), collector.url, server=settings)
        gateway.config.write_text(f"{gateway.config.read_text()}s2s_secret = '{SECRET}'\n")
        await gateway.start()
        stack.push_async_callback(gateway.stop)
        return collector, gateway

    yield loop, *loop.run_until_complete(start())
    loop.run_until_complete(stack.aclose())
    loop.close()


async def program(*command, stdin=b""):
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 60)
    assert 0 == process.returncode, err
    return out


def curl(*options):
    return lambda url: program("curl", "--silent", "--max-time", "50", *options, url, stdin=TEXT.encode())


def by_library(headers, body):
    def send(url):
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=50) as answer:
            return answer.read()

    return lambda url: asyncio.to_thread(send, url)


def by_aiohttp(make=None, **options):
    async def send(url):
        # What is used up by sending is made for each.
        data = {"data": make()} if make else {}
        async with aiohttp.ClientSession() as session, session.post(url, **options, **data) as answer:
            return await answer.read()

    return send


def parts(*, as_file=False):
    form = aiohttp.FormData(default_to_multipart=True)
    if as_file:
        form.add_field("event", TEXT.encode(), filename="blob", content_type="application/json")
    else:
        for name, value in FORM.items():
            form.add_field(name, value)
    return form


async def pieces():
    body = gzip.compress(TEXT.encode())
    for start in range(0, len(body), 20):
        yield body[start : start + 20]


CLIENTS = {
    "curl -d": curl("--data-binary", TEXT),
    "curl --json": curl("--json", "@-"),
    "curl -T": curl("--request", "POST", "--upload-file", "-"),
    "curl -F": curl(*(word for pair in FORM.items() for word in ("--form-string", "=".join(pair)))),
    "curl -F file": curl("--form", "data=@-;type=application/json"),
    "curl --data-urlencode": curl(
        *(word for pair in FORM.items() for word in ("--data-urlencode", "=".join(pair)))
    ),
    "curl -G": curl(
        "--get", *(word for pair in FORM.items() for word in ("--data-urlencode", "=".join(pair)))
    ),
    "curl --http1.0": curl("--http1.0", "--data-binary", TEXT),
    "wget": lambda url: program(
        "wget", "--quiet", "--output-document=-", f"--post-data={urlencode(FORM)}", url
    ),
    "urllib form": by_library({}, urlencode(FORM).encode()),
    "urllib JSON called a form": by_library({}, TEXT.encode()),
    "urllib escaped JSON": by_library({}, quote(TEXT).encode()),
    "urllib utf-16": by_library({"Content-Type": "application/json; charset=utf-16"}, TEXT.encode("utf-16")),
    "urllib gzip": by_library({"Content-Encoding": "gzip"}, gzip.compress(TEXT.encode())),
    "urllib deflate": by_library({"Content-Encoding": "deflate"}, zlib.compress(TEXT.encode())),
    "urllib br": by_library({"Content-Encoding": "br"}, brotli.compress(TEXT.encode())),
    "urllib zstd": by_library({"Content-Encoding": "zstd"}, zstd.compress(TEXT.encode())),
    "aiohttp json": by_aiohttp(json=FIELDS),
    "aiohttp form": by_aiohttp(data=FORM),
    "aiohttp multipart": by_aiohttp(parts),
    "aiohttp blob": by_aiohttp(functools.partial(parts, as_file=True)),
    "aiohttp compress": by_aiohttp(data=TEXT.encode(), compress="gzip"),
    "aiohttp chunked gzip": by_aiohttp(pieces, headers={"Content-Encoding": "gzip"}),
}


@pytest.mark.parametrize("name", CLIENTS)
def test_a_client_s_event_is_taken_as_it_sends_it(world, name):
    """Whatever its library makes of the event, the collector gets the same fields."""
    if shutil.which(name.partition(" ")[0]) is None and name.startswith(("curl", "wget")):
        pytest.skip(f"{name.partition(' ')[0]} is not installed")
    loop, collector, gateway = world
    id_ = f"client-{list(CLIENTS).index(name)}-x"

    async def sent():
        answer = orjson.loads(await CLIENTS[name](gateway.collect_url(id_)))
        assert ("accepted", id_) == (answer["outcome"], answer["request_id"]), answer

        async def arrived():
            return id_ in await collector.request_ids()

        await until(arrived, "the event has arrived")
        return next(each for each in await collector.get("/events") if each["query"]["request_id"] == id_)

    fields = loop.run_until_complete(sent())["body"]
    fields = orjson.loads(fields) if isinstance(fields, str) else fields
    assert (TITLE, "SKU-1", FIELDS["uid"]) == (
        fields["extra"]["title"],
        fields["items"][0]["id"],
        fields["uid"],
    )


def test_a_server_sends_a_night_s_events_in_one_request(world):
    """A hundred lines, compressed, with the secret; without it the whole night is refused, and told why."""
    loop, _, gateway = world
    lines = b"\n".join(
        orjson.dumps({"uid": f"crm-{number}", "ec": "crm", "ea": "call", "request_id": f"crm-{number}-x"})
        for number in range(100)
    )
    head = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}

    async def sent(**more):
        options = {"data": gzip.compress(lines), "headers": {**head, **more}}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{gateway.collect_url()}&is_s2s=true", **options) as answer,
        ):
            return answer.status, answer.headers, await answer.json()

    status, headers, body = loop.run_until_complete(sent(Authorization=f"Bearer {SECRET}"))
    assert (200, 100, {"accepted"}) == (
        status,
        len(body["results"]),
        {each["outcome"] for each in body["results"]},
    )
    assert "Set-Cookie" not in headers
    status, headers, body = loop.run_until_complete(sent())
    assert (401, "Bearer") == (status, headers["WWW-Authenticate"].partition(" ")[0])
    assert {"unauthorized"} == {each["reason"] for each in body["results"]}
    assert SECRET not in gateway.log()


def test_a_bomb_is_refused_and_the_gateway_goes_on(world):
    """A gigabyte of zeros in a kilobyte or two: 413, and the next event is taken."""
    loop, _, gateway = world

    async def sent(coding, body):
        headers = {"Content-Encoding": coding, "Content-Type": "application/json"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(gateway.collect_url(), data=body, headers=headers) as answer,
        ):
            return answer.status, (await answer.json()).get("reason")

    zeros = gzip.compress(gzip.compress(b"\0" * 200_000_000))
    assert (413, "too_large") == loop.run_until_complete(sent("gzip, gzip", zeros))
    assert (413, "too_large") == loop.run_until_complete(sent("zstd", zstd.compress(b"\0" * 200_000_000)))
    assert (415, "unknown_coding") == loop.run_until_complete(sent("lzma", b"x"))
    assert (400, "bad_body") == loop.run_until_complete(sent("br", b"x"))
    assert (200, "ok") == loop.run_until_complete(sent("gzip", gzip.compress(TEXT.encode())))
