"""A long session stays within bounds: what it lets go of was counted, and no report would show it."""

from __future__ import annotations

import msgspec

from gateway.qa.calls import Heard
from gateway.qa.checks import checks
from gateway.qa.findings import RULES
from gateway.qa.keeping import Keeping
from gateway.qa.reports import gather
from gateway.qa.reports.gathering import Bounds
from gateway.qa.running import running_session
from gateway.qa.session import Session
from tests.builders import make_settings
from tests.unit.test_qa_session import call

EVERYTHING = 10
PAGE = {"context": {"navigation": {"url": "https://www.shop.example/tea"}}}


async def told(keeping, settings, calls):
    """Give the session and its report; the gateway inside is a fresh one."""
    async with running_session(settings) as running:
        session = Session(settings, running._inner, checks(settings), keeping)
        for each in calls:
            known = session.recogniser.known(each.host, each.path)
            examined = await session.examine(each, known)
            session.heard(examined, Heard(status=200, body=b"x" * 10_000, took_ms=3))
        session.finish()
        return session, gather(session, settings, bounds=Bounds(calls=EVERYTHING))


def strict_about_addresses():
    """Give settings under which nothing else is found: the calls are bare."""
    return make_settings(qa={"severity": dict.fromkeys(RULES.keys() - {"raw-identity-in-field"}, "off")})


def visits(number):
    """Calls of which each tenth has an address in the clear."""
    for index in range(1, number + 1):
        raw = {"dims": {"customers": {"email": f"lan{index}@example.com"}}} if index % 10 == 0 else {}
        yield call(
            number=index, body={"uid": str(10**9 + index), **PAGE, **raw, "extra": {"pad": "x" * 3_000}}
        )


async def test_a_report_is_the_same_for_what_was_let_go_of():
    """Counts, findings, names, pages and hosts; the rows that it shows are those that stay."""
    settings = strict_about_addresses()
    _, whole = await told(None, settings, visits(60))
    session, trimmed = await told(Keeping(EVERYTHING, 5), settings, visits(60))
    assert msgspec.to_builtins(whole) == msgspec.to_builtins(trimmed)
    assert trimmed.counts.severities["error"] == 6
    late = session.examined[40]
    assert (b"", None, None) == (late.call.body, late.heard.body, late.events[0].sent)


async def test_what_stays_of_a_call_is_small():
    """A few hundred bytes where it came with kilobytes."""
    session, _ = await told(Keeping(1, 2), strict_about_addresses(), visits(8))
    kept, gone = session.examined[0], session.examined[4]
    assert len(kept.call.body) > 3_000
    assert "x" * 3_000 not in str(gone)
    assert len(msgspec.json.encode([gone.call, gone.heard])) < 1_000
