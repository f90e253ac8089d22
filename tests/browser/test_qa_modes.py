"""What the vendor and the page get of a real browser's calls when the QA addon acts: hashed and repaired, or from the gateway in its place."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import orjson
import pytest

from tests.browser.intercepted import OWN, VENDOR, VENDORS_SCRIPT
from tests.browser.qa_pages import (
    LAN,
    MINH,
    STEPS,
    live_a_day,
    make_mistakes,
    md5,
    put_hand_written_site,
    put_right_site,
    request_of,
    settings_of,
)
from tests.processes import until

if TYPE_CHECKING:
    from tests.browser.intercepted import Machine

# The calls of each page of which the gateway sends nothing on, by the number of the call.
HELD = {
    "another customer under the same id": {2},
    "two customers in one event": {1},
    "not asked yet": {1},
    "half of an event": {1},
    "another shop's property": {1},
}
# What the gateway refuses, so that the page hears of it.
REFUSED = {"half of an event": "400", "another shop's property": "403"}


@pytest.mark.timeout(180)
async def test_the_vendor_gets_what_the_gateway_would_have_sent(machine: Machine):
    """No raw address and no conflict reaches it, the hash of another spelling is the right one, and each page hears an answer."""
    world, steps = machine.world, tuple(step for step in STEPS if not step.behaviour)
    put_hand_written_site(world, VENDOR)
    async with machine.mitmdump(machine.settings(**settings_of(machine)), mode="enforce") as mitmdump:
        async with machine.page(mitmdump.proxy) as page:
            answers = await make_mistakes(page, world, steps)
        assert 0 == await mitmdump.stop(), mitmdump.output()
    sent = world.events()
    assert {VENDOR} == {each.host for each in sent}
    everything = b"\n".join(b"%s %s" % (each.target.encode(), each.body) for each in sent).lower()
    assert [] == [raw for raw in (LAN, MINH, "lan.nguyen%40", "minh.tran%40") if raw.encode() in everything]
    assert _expected(steps) == sorted(each.query["request_id"] for each in sent)
    by_id = {each.query["request_id"]: each.fields for each in sent}
    mended = by_id[request_of("the hash of another spelling", 1)]["dims"]["customers"]
    assert (md5(MINH), hashlib.sha256(MINH.encode()).hexdigest()) == (mended["customer_id"], mended["email"])
    heard = {name: {answer.partition(" ")[0] for answer in told} for name, told in answers.items() if told}
    assert {name: {REFUSED.get(name, "200")} for name in heard} == heard


def _expected(steps) -> list[str]:
    """Give the request ids of what is sent on."""
    calls = {step.name: step.script.count("track(") + step.script.count("view(") for step in steps}
    return sorted(
        request_of(name, number)
        for name, count in calls.items()
        for number in range(1, count + 1)
        if number not in HELD.get(name, set())
    )


@pytest.mark.parametrize(("host", "expected"), [(VENDORS_SCRIPT, {"third-party-host"}), (OWN, set())])
@pytest.mark.timeout(180)
async def test_a_live_site_is_tried_with_the_gateway_before_any_name_points_at_it(
    machine: Machine, host: str, expected: set[str]
):
    """The gateway answers the page's tracking calls, the script included; nothing reaches the host that they name, and the collector has every event of the day."""
    world, file = machine.world, machine.folder / "day.json"
    world.script = b"throw Error('this is the vendor')"
    put_right_site(world, host)
    config = machine.settings(**settings_of(machine))
    # The site's own tracking name leads nowhere yet.
    async with machine.mitmdump(config, mode="redirect", json=str(file), unknown=(OWN,)) as mitmdump:
        async with machine.page(mitmdump.proxy) as page:
            names = await live_a_day(page)

        async def is_delivered() -> bool:
            return len(world.events()) >= len(names)

        await until(is_delivered, "the collector has every event")
        assert 0 == await mitmdump.stop(), mitmdump.output()
    assert [] == [each for each in world.arrived if each.host in {VENDOR, VENDORS_SCRIPT, OWN}]
    sent = world.events()
    assert names == [f"{each.fields['ec']}/{each.fields['ea']}" for each in sent]
    # Enriched, as the gateway does.
    assert all(each.fields["context"]["userAgent"] for each in sent)
    report = orjson.loads(file.read_bytes())
    assert expected == {each["rule"] for each in report["findings"]}, report["findings"]
    book = await world.collector.get("/profiles")
    assert ({md5(LAN), md5(MINH)}, []) == (
        {each["customer_id"] for each in book["profiles"]},
        book["violations"],
    )
