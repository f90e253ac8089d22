"""The cookies and the PPID over real sockets, with and without the fast path, across restarts."""

from __future__ import annotations

import asyncio
import time

import aiohttp
import pytest

from gateway.events.keyring import Keyring
from gateway.events.ppid import ppid
from gateway.events.twin import TwinSigner
from tests.builders import PORTAL_ID, PROP_ID, event
from tests.processes import running_collector, running_gateway_process

NEW, OLD = "2026b:a newer secret of the shop", "2026a:an older secret of the shop"
SITE, HOST, UID, OTHER = "shop.example", "track.shop.example", "1234567890123", "222222222"
ORIGIN = "https://www.shop.example"
DAY = 86_400
QUERY = f"portal_id={PORTAL_ID}&prop_id={PROP_ID}"


@pytest.fixture(params=[True, False], ids=["fast", "aiohttp"])
async def gateway(tmp_path, request):
    sections = {
        "server": {"fast_path": request.param},
        "cookies": {"keys": [NEW, OLD], "ppid_name": "_asm_ppid"},
    }
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, **sections) as running,
    ):
        yield running


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as opened:
        yield opened


def twin_of(uid=UID, *, age_s=60, site=SITE, key=NEW):
    return "_asm_uid_s=" + TwinSigner(Keyring([key])).sign(site, uid, int(time.time()) - age_s)


async def track(gateway, session, cookie="", **fields):
    """Send an event of the shop's page; give the `Set-Cookie` headers by cookie name."""
    headers = {"Host": HOST, "Origin": ORIGIN} | ({"Cookie": cookie} if cookie else {})
    async with session.post(
        gateway.collect_url(), json={**event(), "uid": UID, **fields}, headers=headers
    ) as response:
        assert (response.status, (await response.json())["outcome"]) == (200, "accepted")
        return {value.partition("=")[0]: value for value in response.headers.getall("Set-Cookie", [])}


def jar(written):
    return "; ".join(value.partition(";")[0] for value in written.values())


async def ask(gateway, session, query=QUERY, *, method="GET", **headers):
    """Ask for the PPID; give status, headers and text."""
    async with session.request(
        method, f"{gateway.url}/ppid?{query}", headers={"Host": HOST, **headers}
    ) as response:
        return response.status, response.headers, await response.text()


async def test_a_first_event_writes_the_three_cookies_and_a_second_one_none(gateway, session):
    """The UID and its PPID for scripts, the twin for the gateway alone."""
    written = await track(gateway, session)
    rest = "; Path=/; Max-Age=34560000; Domain=shop.example; Secure; SameSite=Lax"
    assert {"_asm_uid", "_asm_uid_s", "_asm_ppid"} == set(written)
    assert f"_asm_uid={UID}{rest}" == written["_asm_uid"]
    assert f"_asm_ppid={ppid(UID)}{rest}" == written["_asm_ppid"]
    assert written["_asm_uid_s"].startswith(f"_asm_uid_s=1.2026b.D1lGPGBsWw5d.{UID}.")
    assert written["_asm_uid_s"].endswith(f"{rest}; HttpOnly")
    assert {} == await track(gateway, session, jar(written))


async def test_cookies_are_written_anew_when_they_have_to_be(gateway, session):
    """Once a day, after a rotation, and when something is missing or wrong."""
    plain = f"_asm_uid={UID}"
    cases = {
        "fresh": (f"{plain}; {twin_of(age_s=DAY - 600)}", False),
        "of yesterday": (f"{plain}; {twin_of(age_s=DAY + 600)}", True),
        "older key": (f"{plain}; {twin_of(key=OLD)}", True),
        "another shop": (f"{plain}; {twin_of(site='other.example')}", True),
        "forged": (f"{plain}; {twin_of()[:-22]}{'A' * 22}", True),
        "no twin": (plain, True),
        "no plain cookie": (twin_of(), True),
    }
    for name, (cookie, is_written) in cases.items():
        written = await track(gateway, session, cookie)
        assert is_written is bool(written), name
        if written:
            assert UID == written["_asm_uid"].partition(";")[0].partition("=")[2], name
            assert {} == await track(gateway, session, jar(written)), name


async def test_an_event_without_a_uid_is_the_visitors_of_the_twin(gateway, session):
    """The browser has dropped the plain cookie: it comes back with the UID of before."""
    written = await track(gateway, session, twin_of(OTHER), uid="")
    assert written["_asm_uid"].startswith(f"_asm_uid={OTHER};")
    forged = await track(gateway, session, twin_of(OTHER).replace(OTHER, UID), uid="")
    assert not forged["_asm_uid"].startswith((f"_asm_uid={OTHER};", f"_asm_uid={UID};"))


async def test_the_ppid_is_told_to_the_shops_pages_and_to_no_others(gateway, session):
    """By either cookie; nothing is set, nothing is stored, nothing counts as an event."""
    for cookie in (f"_asm_uid={UID}", twin_of()):
        status, headers, text = await ask(gateway, session, Cookie=cookie, Origin=ORIGIN)
        assert (200, f'{{"ppid":"{ppid(UID)}"}}') == (status, text)
        assert ORIGIN == headers["Access-Control-Allow-Origin"]
        assert ("no-store", "nosniff") == (headers["Cache-Control"], headers["X-Content-Type-Options"])
        assert "Set-Cookie" not in headers
    status, headers, text = await ask(gateway, session, Cookie=twin_of(), Origin="https://evil.example")
    assert (403, False) == (status, ppid(UID) in text)
    assert "Access-Control-Allow-Origin" not in headers
    assert (200, '{"ppid":null}') == (await ask(gateway, session))[::2]
    assert (200, ppid(UID)) == (await ask(gateway, session, QUERY + "&format=text", Cookie=twin_of()))[::2]
    metrics = await gateway.metrics()
    assert 0 == sum(
        value for name, value in metrics.items() if name.startswith("tracking_gateway_events_total")
    )


async def test_the_ppids_other_methods_behave(gateway, session):
    """HEAD is a GET without a body, OPTIONS a preflight, and the rest is not for it; the connection lives on."""
    status, headers, text = await ask(gateway, session, method="HEAD", Cookie=twin_of())
    assert (200, "application/json", "") == (status, headers["Content-Type"], text)
    assert str(len(f'{{"ppid":"{ppid(UID)}"}}')) == headers["Content-Length"]
    status, headers, text = await ask(gateway, session, method="OPTIONS", Origin=ORIGIN)
    assert (204, "", "GET, HEAD, OPTIONS") == (status, text, headers["Access-Control-Allow-Methods"])
    for method in ("POST", "PUT", "DELETE"):
        status, headers, _ = await ask(gateway, session, method=method)
        assert (405, "GET, HEAD, OPTIONS") == (status, headers["Allow"])
    for query, expected in (("", 400), ("portal_id=1&prop_id=1", 403), (QUERY + "&x=%zz%ff", 200)):
        assert expected == (await ask(gateway, session, query))[0]


async def test_a_client_cannot_write_headers_of_its_own(gateway, session):
    """Neither by the host nor by what it calls a UID or an origin."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(
        b"GET /event?" + QUERY.encode() + b"&ec=a&ea=b&uid=a%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: x;Domain=evil.example\r\n"
        b"Cookie: _asm_uid=a\tb; _asm_uid_s=1.2026b.\xff\r\nOrigin: https://www.shop.example\r\nConnection: close\r\n\r\n"
    )  # fmt: skip
    await writer.drain()
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 ")
    assert b"evil" not in answer.lower()


async def test_the_twin_outlives_a_restart_without_any_setting(tmp_path, session):
    """The key that the gateway made for itself is kept beside its data."""
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url) as running,
    ):
        written = await track(running, session)
        assert {"_asm_uid", "_asm_uid_s"} == set(written)
        twin = written["_asm_uid_s"].partition(";")[0]
        assert f'{{"ppid":"{ppid(UID)}"}}' == (await ask(running, session, Cookie=twin))[2]
        await running.kill()
        await running.start()
        assert f'{{"ppid":"{ppid(UID)}"}}' == (await ask(running, session, Cookie=twin))[2]
        assert {} == await track(running, session, jar(written))
