"""The HTML report as people open it: from a file, on a phone, by keyboard, on paper; nothing runs and nothing is asked for that its policy does not name."""

from __future__ import annotations

import msgspec
import pytest
import pytest_asyncio

from gateway.qa.reports import write_reports
from tests.qa_sessions import messy_model

VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation", (event) => violations.push(event.violatedDirective + " " + event.blockedURI));
"""


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def model(tmp_path_factory):
    return await messy_model(tmp_path_factory.mktemp("session"))


@pytest.fixture
def report(model, tmp_path):
    (path,) = write_reports(model, html=tmp_path / "report.html")
    return path.as_uri()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_asks_for_nothing_breaks_no_policy_and_fits(visitor, report, width, scheme):
    """On a phone and on a screen, light and dark: one request, no violation, no error, nothing that stands out to the right."""
    asked = []
    visitor.on("request", lambda request: asked.append(request.url))
    await visitor.add_init_script(VIOLATIONS)
    await visitor.set_viewport_size({"width": width, "height": 900})
    await visitor.emulate_media(color_scheme=scheme)
    await visitor.goto(report)
    assert [report] == asked
    assert [] == await visitor.evaluate("violations")
    assert await visitor.evaluate("document.documentElement.scrollWidth") <= width
    assert "Not yet." == await visitor.text_content(".answer")


async def test_calls_are_filtered_by_words_outcome_and_findings(visitor, report):
    """Each narrows what the others leave; how many are shown is said."""
    await visitor.goto(report)
    shown = visitor.locator("#calls-table tbody tr:visible")
    every = await shown.count()
    await visitor.select_option("select", "quarantined")
    assert 1 == await shown.count()
    assert f"1 of {every} shown" == await visitor.text_content("#filter output")
    await visitor.select_option("select", "")
    await visitor.fill("input[type=search]", "SIGN_IN 111111111111")
    assert 2 == await shown.count()
    await visitor.fill("input[type=search]", "")
    await visitor.check("input[type=checkbox]")
    assert 0 < await shown.count() < every


async def test_a_finding_leads_to_its_call_though_the_filter_hides_it(visitor, report):
    """What somebody clicks on is shown."""
    await visitor.goto(report)
    await visitor.fill("input[type=search]", "nothing is called so")
    await visitor.click("#rule-cid-changed .places a >> nth=0")
    assert await visitor.locator("#call-5").is_visible()


async def test_it_is_read_by_keyboard(visitor, report):
    """The first stop leads past the head; a rule opens with Enter; a slash goes to the search."""
    await visitor.goto(report)
    await visitor.keyboard.press("Tab")
    assert "#findings" == await visitor.evaluate("document.activeElement.getAttribute('href')")
    rule = visitor.locator("#rule-third-party-host")
    assert await rule.get_attribute("open") is None
    await rule.locator("summary").first.focus()
    await visitor.keyboard.press("Enter")
    assert await rule.get_attribute("open") is not None
    await visitor.keyboard.press("/")
    assert "words" == await visitor.evaluate("document.activeElement.name")
    assert "" == await visitor.input_value("input[type=search]")


async def test_on_paper_everything_is_open(visitor, report):
    """What is folded on a screen is printed, and folded again behind it."""
    await visitor.goto(report)
    folded = visitor.locator("details:not([open])")
    before = await folded.count()
    await visitor.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert 0 == await folded.count()
    await visitor.evaluate("dispatchEvent(new Event('afterprint'))")
    assert before == await folded.count()


async def test_without_scripts_everything_is_there(chromium, report, model):
    """A mail program that shows the file without its script shows all calls, and no filter that would do nothing."""
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(report)
    assert len(model.calls) == await page.locator("#calls-table tbody tr").count()
    assert not await page.locator("#filter").is_visible()
    await context.close()


async def test_a_large_session_stays_usable(visitor, model, tmp_path):
    """Two thousand rows, the most that a report holds, are a few megabytes and are filtered while one types."""
    rows = tuple(
        msgspec.structs.replace(model.calls[at % len(model.calls)], call=at + 1, event=0)
        for at in range(2_000)
    )
    (path,) = write_reports(msgspec.structs.replace(model, calls=rows), html=tmp_path / "report.html")
    assert path.stat().st_size < 5_000_000
    await visitor.goto(path.as_uri())
    await visitor.fill("input[type=search]", "quarantined")
    assert "286 of 2000 shown" == await visitor.text_content("#filter output")
