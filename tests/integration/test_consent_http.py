"""Consent over real sockets, with and without the fast path: what a shop's engineer, and who answers for the data, would look at."""

from __future__ import annotations

import aiohttp
import pytest

from tests.builders import PORTAL_ID, PROP_ID, event
from tests.processes import running_collector, running_gateway_process, until

HOST, UID, ORIGIN = "track.shop.example", "1234567890123", "https://www.shop.example"
CONSENT = {"cookie": "choice", "signals": ["gpc", "cookie", "event", "tcf"]}
MARK = "a-mark-of-one-visitor"


@pytest.fixture(params=[True, False], ids=["fast", "aiohttp"])
def fast_path(request):
    return request.param


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as opened:
        yield opened


async def track(gateway, session, cookie="", fields=None, **headers):
    """Send an event of the shop's page; give its reason, and the cookies that its answer sets, by name, and ends."""
    headers = {"Host": HOST, "Origin": ORIGIN, **headers} | ({"Cookie": cookie} if cookie else {})
    async with session.post(
        gateway.collect_url(), json=fields or event(uid=UID), headers=headers
    ) as response:
        assert response.status == 200
        answer = await response.json()
        written = {each.partition("=")[0]: each for each in response.headers.getall("Set-Cookie", [])}
        return answer["reason"], written


def jar(written):
    return "; ".join(value.partition(";")[0] for value in written.values())


async def test_without_consent_nothing_is_kept_and_a_refusal_ends_the_cookies(tmp_path, session, fast_path):
    """`require`: unknown, granted, refused by the browser; no file has a byte of what was refused, and no log line whose it was."""
    async with (
        running_collector() as collector,
        running_gateway_process(
            tmp_path, collector.url, server={"fast_path": fast_path}, consent={**CONSENT, "mode": "require"}
        ) as gateway,
    ):
        refused = event(uid="999888777666", cid=MARK, extra={"note": MARK})
        assert ("consent_denied", {}) == await track(gateway, session, fields=refused)
        reason, written = await track(gateway, session, "choice=granted")
        assert ("ok", {"_asm_uid", "_asm_uid_s"}) == (reason, set(written))
        has = f"{jar(written)}; choice=granted"
        reason, ended = await track(gateway, session, has, refused, **{"Sec-GPC": "1"})
        assert ("consent_denied", {"_asm_uid", "_asm_uid_s"}) == (reason, set(ended))
        assert all("Max-Age=0" in each for each in ended.values())

        async def delivered():
            return gateway.log_lines("delivery")

        await until(delivered, "the granted event was delivered")
        lines = [line for line in gateway.log_lines("event") if line["reason"] == "consent_denied"]
        assert [("unknown", "none"), ("denied", "gpc")] == [
            (line["consent"], line["consent_source"]) for line in lines
        ]
        assert not any({"uid", "cid", "request_id"} & set(line) for line in lines)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert MARK.encode() not in content, path
            assert b"999888777666" not in content, path


async def test_an_anonymised_event_arrives_as_nobodys(tmp_path, session, fast_path):
    """`anonymise`: the collector gets the event without UID and address, and the browser no cookie."""
    async with (
        running_collector() as collector,
        running_gateway_process(
            tmp_path, collector.url, server={"fast_path": fast_path}, consent={**CONSENT, "mode": "anonymise"}
        ) as gateway,
    ):
        fields = event(uid=UID, extra={"gclid": "Cj0secret", "page_type": "home"})
        assert ("anonymised", {}) == await track(gateway, session, fields=fields)
        assert ("anonymised", {}) == await track(gateway, session, "choice=denied", fields)

        async def delivered():
            return len(gateway.log_lines("delivery")) >= 2

        await until(delivered, "both were delivered")
        url = f"{gateway.url}/ppid?portal_id={PORTAL_ID}&prop_id={PROP_ID}"
        for choice, names in (("denied", False), ("granted", True)):
            headers = {"Host": HOST, "Cookie": f"_asm_uid={UID}; choice={choice}"}
            async with session.get(url, headers=headers) as response:
                assert names is bool((await response.json())["ppid"])
        for line in gateway.log_lines("event"):
            assert ("", "none") == (line["uid"], line["uid_source"])
    for path in tmp_path.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert UID.encode() not in content, path
            assert b"Cj0secret" not in content, path


async def test_a_page_has_the_cookies_ended_by_a_head(tmp_path, session, fast_path):
    """In every mode, and it is no event."""
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, server={"fast_path": fast_path}) as gateway,
    ):
        _, written = await track(gateway, session)
        url = f"{gateway.url}/event?portal_id={PORTAL_ID}&prop_id={PROP_ID}&consent=denied"
        headers = {"Host": HOST, "Origin": ORIGIN, "Cookie": jar(written)}
        async with session.head(url, headers=headers) as response:
            ended = response.headers.getall("Set-Cookie")
            assert ORIGIN == response.headers["Access-Control-Allow-Origin"]
        assert {"_asm_uid", "_asm_uid_s"} <= {each.partition("=")[0] for each in ended}
        assert all("Max-Age=0" in each for each in ended)
    assert len(gateway.log_lines("event")) == 1
