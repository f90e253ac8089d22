"""The model of a session: all is counted, what is kept is bounded, and nobody's address is in it."""

from __future__ import annotations

import msgspec
import orjson
import pytest

from gateway.qa.reports import gather
from gateway.qa.reports.gathering import Bounds
from gateway.qa.session import found
from tests.builders import make_settings
from tests.qa_sessions import (
    RAW_EMAIL,
    RAW_PHONE,
    Scripted,
    messy_findings,
    messy_visit,
    pageview,
    see,
    session_of,
)


@pytest.fixture
async def messy(tmp_path):
    async with session_of(tmp_path, [Scripted(messy_findings())]) as session:
        await messy_visit(session)
        yield session


async def test_everything_that_came_is_counted(messy):
    """Calls, tracking calls, events by outcome, findings by severity; each sum is right."""
    model = gather(messy, make_settings(), source="visit.har")
    assert (8, 7, 7, 1) == (
        model.counts.calls,
        model.counts.tracking,
        model.counts.vendors,
        model.counts.scripts,
    )
    assert {"accepted": 4, "quarantined": 1, "dropped": 0, "malformed": 1} == model.counts.outcomes
    assert model.counts.events == sum(model.counts.outcomes.values())
    assert {"error": 4, "warning": 2, "note": 0} == model.counts.severities
    assert 6 == sum(each.found for each in model.rules)


async def test_no_address_is_in_a_model(messy):
    """Not the ones that were sent, not those in names of fields, in URLs or in a check's own words; not their parts."""
    written = orjson.dumps(msgspec.to_builtins(gather(messy, make_settings()))).decode().lower()
    for raw in (RAW_EMAIL.lower(), RAW_PHONE, "example.com"):
        assert raw not in written


async def test_nothing_in_a_model_acts_on_a_terminal(messy):
    """Escapes and marks of direction that a page put into names are written as their codes."""
    model = gather(messy, make_settings())
    assert all(each.name.isprintable() and each.place.isprintable() for each in model.findings)
    assert any("\\u202e" in each.name for each in model.findings)


async def test_an_identity_is_told_by_kind_before_and_after(messy):
    """A raw e-mail address becomes a hash, and the CID stays the hash that it was."""
    row = next(each for each in gather(messy, make_settings()).calls if each.call == 4)
    changes = {each.place: (each.before, each.after) for each in row.changes}
    assert ("raw e-mail", "sha256") == changes["dims.customers.email"]
    assert ("raw phone", "sha256") == changes["dims.customers.phone"]
    assert ("md5", "md5") == changes["dims.customers.customer_id"]
    assert ("nothing", "md5") == changes["cid"]


async def test_a_mask_is_told_where_it_was_put(messy):
    """A link with an address in it is a place of identity, for it was changed."""
    row = next(each for each in gather(messy, make_settings()).calls if each.call == 8)
    (change,) = [each for each in row.changes if each.place == "extra.url"]
    assert ("text with an address", "text, masked") == (change.before, change.after)


@pytest.mark.parametrize(
    ("severity", "answer"),
    [("error", "not_ready"), ("warning", "with_care"), ("note", "ready")],
)
async def test_the_gravest_finding_decides_whether_the_site_may_go_live(tmp_path, severity, answer):
    """An error says no, a warning says with care, a note says yes; by the settings' severity, not the rule's."""
    settings = make_settings(qa={"severity": {"unknown-event": severity}})
    async with session_of(
        tmp_path, [Scripted([found("unknown-event", 1, "ec", "it", event=0)])], settings
    ) as session:
        await see(session, pageview())
    model = gather(session, settings)
    assert (answer, severity) == (model.answer, next(each.severity for each in model.broken))


async def test_a_session_without_events_says_nothing_of_a_site(tmp_path):
    """Silence is no yes."""
    async with session_of(tmp_path) as session:
        pass
    model = gather(session, make_settings())
    assert "nothing_seen" == model.answer
    assert ("a page view", "a sign-in", "a sign-out", "a purchase") == model.not_tried


async def test_a_rule_is_as_grave_as_the_gravest_of_its_cases(tmp_path):
    """So the summary, JUnit and the exit code say the same of it."""
    cases = [
        found("cid-not-hash", call, "cid", "it", event=0, severity=each)
        for call, each in ((1, "note"), (2, "warning"))
    ]
    async with session_of(tmp_path, [Scripted(cases)]) as session:
        await see(session, pageview())
        await see(session, pageview())
    model = gather(session, make_settings())
    assert ["warning"] == [each.severity for each in model.broken]
    assert "with_care" == model.answer


async def test_a_sign_out_without_its_reset_was_seen_all_the_same(tmp_path):
    """What is found of it is not said to be untried."""
    missing = found("reset-missing", 1, "uid", "it", event=0)
    async with session_of(tmp_path, [Scripted([missing])]) as session:
        await see(session, pageview())
    assert ("a sign-in", "a purchase") == gather(session, make_settings()).not_tried


async def test_a_page_is_told_as_its_event_tells_it(tmp_path):
    """Browsers tell other hosts the origin alone; the event knows the path, and its query stays out."""
    url = "https://www.shop.example/shoe/42?mail=lan@shop.example#top"
    async with session_of(tmp_path) as session:
        await see(session, {**pageview(), "context": {"navigation": {"url": url}}})
        await see(session, {**pageview(), "context": {"navigation": {"url": 7}}})
    model = gather(session, make_settings())
    pages = ["https://www.shop.example/shoe/42", "https://www.shop.example/"]
    assert pages == [each.page for each in model.calls]
    assert set(pages) == {each.page for each in model.flows}


async def test_what_finds_no_room_is_counted_and_findings_come_first(tmp_path):
    """A call with a finding is kept before those without, in the order of the calls; what is left out is said."""
    findings = [found("unknown-event", number, "ec", "it", event=0) for number in (4, 5, 6)]
    async with session_of(tmp_path, [Scripted(findings)]) as session:
        for _ in range(6):
            await see(session, pageview())
    model = gather(session, make_settings(), bounds=Bounds(findings_of_a_rule=2, calls=4))
    assert [1, 4, 5, 6] == [each.call for each in model.calls]
    assert (2, 1) == (model.left_out.calls, model.left_out.findings)
    assert (2, 3) == (len(model.findings), model.of_rule("unknown-event") and model.broken[0].found)
