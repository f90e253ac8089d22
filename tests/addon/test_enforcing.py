"""What a page sends to the vendor leaves as the gateway would have sent it, and what the gateway would have held stays."""

from __future__ import annotations

import hashlib

import pytest

from tests.addon.conftest import EVENT, VENDOR, ask
from tests.builders import ORIGIN, event
from tests.mitmdump import Mitmdump, running_mitmdump
from tests.processes import running_collector, until

ADDRESS = "Lan.Nguyen@Example.com"
RAW = {"dims": {"customers": {"email": ADDRESS}}}


@pytest.fixture
async def collector():
    async with running_collector() as running:
        yield running


def sign_in(uid, cid):
    return {**event("user", "sign_in", cid=cid), "uid": uid}


async def test_what_leaves_is_what_the_gateway_would_have_sent(collector, config, tmp_path):
    """Hashed, with what the gateway adds, and the page hears the vendor's own answer under the gateway's headers."""
    page = (("Origin", ORIGIN), ("Cookie", "other=1"), ("User-Agent", "Tester/1"))
    names = {VENDOR: collector.url.removeprefix("http://")}
    mitmdump = Mitmdump.with_addon(tmp_path, config(), names=names, mode="enforce")
    async with running_mitmdump(mitmdump):
        answer = await ask(mitmdump.proxy, EVENT, event(**RAW), headers=page)
        conflict = await ask(mitmdump.proxy, EVENT, sign_in("1790000000001", "a" * 32), headers=page)
        again = await ask(mitmdump.proxy, EVENT, sign_in("1790000000001", "b" * 32), headers=page)
        bad = await ask(mitmdump.proxy, EVENT, b"{nothing", headers=page)
        preflight = await ask(
            mitmdump.proxy,
            EVENT,
            method="OPTIONS",
            headers=(*page, ("Access-Control-Request-Method", "POST")),
        )
        batch = await ask(
            mitmdump.proxy, EVENT, [event(en="one"), event(en="two"), event(en="three")], headers=page
        )

        async def has_all():
            return len(await collector.get("/events")) >= 5

        await until(has_all, "the batch has gone on")
        got = await collector.get("/events")
    assert [200, 200, 200, 400, 204, 200] == [
        each.status for each in (answer, conflict, again, bad, preflight, batch)
    ]
    assert (ORIGIN, "collector") == (
        answer.header("access-control-allow-origin"),
        answer.header("x-tracking-answer"),
    )
    assert "_asm_uid=" in answer.header("set-cookie")
    assert "" == again.header("x-tracking-answer")
    assert 5 == len(got), "the conflict and the broken one went nowhere"
    assert hashlib.sha256(ADDRESS.lower().encode()).hexdigest() in str(got[0]["body"])
    assert ("Tester/1", "127.0.0.1") == tuple(
        got[0]["headers"][name] for name in ("User-Agent", "X-Forwarded-For")
    )
    assert ["one", "two", "three"] == [each["body"]["en"] for each in got[2:]]
    assert all(each["query"]["request_id"] for each in got)
    assert ADDRESS not in str(got) + mitmdump.output()
