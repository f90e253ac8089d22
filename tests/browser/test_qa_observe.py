"""A tester's browser through the QA addon that only looks: what is right passes without a word, each mistake is found once, and nothing is changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import pytest_asyncio

from tests.browser.intercepted import OWN, SHOP, VENDORS_SCRIPT
from tests.browser.qa_pages import (
    LAN,
    MINH,
    SLOW_MS,
    STEPS,
    live_a_day,
    make_mistakes,
    path_of,
    put_hand_written_site,
    put_right_site,
    settings_of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.browser.intercepted import Arrived, Machine, World

pytestmark = pytest.mark.timeout(300)

_TRACKING = ("/event", "/insight.js")
# Nobody waits for it twice.
_QUICK = tuple(step for step in STEPS if step.rule != "collector-slow")


@pytest.mark.parametrize(("host", "expected"), [(OWN, set()), (VENDORS_SCRIPT, {"third-party-host"})])
async def test_a_site_that_does_everything_right_is_left_in_peace(
    machine: Machine, host: str, expected: set[str]
):
    """A day of two people on one device: nothing is found, but that the vendor's own name is called where it is."""
    world, file = machine.world, machine.folder / "day.json"
    put_right_site(world, host)
    async with machine.mitmdump(machine.settings(**settings_of(machine)), json=str(file)) as mitmdump:
        async with machine.page(mitmdump.proxy) as page:
            names = await live_a_day(page)
        assert 0 == await mitmdump.stop(), mitmdump.output()
    report = orjson.loads(file.read_bytes())
    assert expected == {each["rule"] for each in report["findings"]}, report["findings"]
    assert names == [f"{each.fields['ec']}/{each.fields['ea']}" for each in world.events()]
    counts = report["counts"]
    assert (len(names), len(names)) == (counts["events"], counts["outcomes"]["accepted"])


@dataclass(frozen=True)
class Observed:
    """What came of the site of the mistakes, first without a proxy and then through the addon.

    `sent` and `answers` are what the servers got and what the pages heard; `calls` says of each tracking call of the session, by its number, which page made it
    and which of that page's calls it was.
    """

    sent: tuple[list[Arrived], list[Arrived]]
    answers: tuple[dict[str, list[str]], dict[str, list[str]]]
    calls: dict[int, tuple[str, int]]
    report: dict[str, Any]
    html: Path
    exit_code: int


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def observed(testers: Machine, tmp_path_factory: pytest.TempPathFactory) -> Observed:
    """Every mistake, made once without a proxy and once before the eyes of the addon."""
    machine = replace(testers, folder=tmp_path_factory.mktemp("observed"))
    world = machine.world
    await world.forget()
    put_hand_written_site(world)
    async with machine.page() as page:
        directly = await make_mistakes(page, world, _QUICK)
    sent = [arrived for _, _, arrived in _tracking(world)]
    await world.forget()

    put_hand_written_site(world)
    config = machine.settings(**settings_of(machine, SLOW_MS))
    file, html = machine.folder / "report.json", machine.folder / "report.html"
    async with machine.mitmdump(config, json=str(file), report=str(html), fail_on="error") as mitmdump:
        async with machine.page(mitmdump.proxy) as page:
            through = await make_mistakes(page, world)
        exit_code = await mitmdump.stop()
    report = orjson.loads(file.read_bytes())
    numbers = sorted({each["call"] for each in report["calls"]})
    made = _tracking(world)
    return Observed(
        (sent, [arrived for name, _, arrived in made if name in directly]),
        (directly, {name: heard for name, heard in through.items() if name in directly}),
        {number: (name, count) for number, (name, count, _) in zip(numbers, made, strict=True)},
        report,
        html,
        exit_code,
    )


def test_each_mistake_is_found_once_and_nothing_else(observed: Observed):
    """Every page that is written by hand makes one; the report names the rule, the call and the place."""
    found = {
        (*observed.calls[each["call"]], each["rule"], each["place"]): each["detail"]
        for each in observed.report["findings"]
    }
    wanted = {(step.name, step.call, step.rule, step.place) for step in STEPS if step.rule}
    wrong = [f"not found: {each}" for each in sorted(wanted - set(found))]
    wrong += [f"too much: {each}: {found[each]}" for each in sorted(set(found) - wanted)]
    assert not wrong, "\n".join(wrong)
    assert len(wanted) == len(observed.report["findings"])
    assert 1 == observed.exit_code


def test_nothing_is_changed(observed: Observed):
    """The servers get the very bytes that they get without the proxy, fields and bodies, and the pages hear the same answers."""
    without, through = observed.sent
    assert without == through
    without_proxy, through_proxy = observed.answers
    assert without_proxy == through_proxy


async def test_the_report_of_a_session_is_opened_from_its_file(observed: Observed, machine: Machine):
    """It says what was found and on which page, quotes no address, and asks for nothing."""
    asked: list[str] = []
    async with machine.page() as page:
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(observed.html.as_uri())
        assert "Not yet." == await page.text_content(".answer")
        said = await page.content()
        for step in STEPS:
            assert step.rule is None or await page.locator(f"#rule-{step.rule}").is_visible()
            # Of what can't be read nobody knows the page.
            assert path_of(step) in said or step.rule in {"malformed-event", "script-changed"}
        assert [] == [raw for raw in (LAN, MINH) if raw in said.lower()]
    assert [observed.html.as_uri()] == asked


def _tracking(world: World) -> list[tuple[str, int, Arrived]]:
    """Give every tracking call that arrived, with the name of the page that made it and which of that page's calls it was."""
    names = {path_of(step): step.name for step in STEPS}
    made: list[tuple[str, int, Arrived]] = []
    name, count = "", 0
    for each in world.arrived:
        path = each.target.partition("?")[0]
        if each.host == SHOP and path in names:
            name, count = names[path], 0
        elif path in _TRACKING:
            count += 1
            made.append((name, count, each))
    return made
