"""A session finds the events of visitors who have not agreed: by the gateway's decision, and where it does not ask, by what the tester names."""

from __future__ import annotations

import pytest

from gateway.settings_qa import Qa
from tests.qa_traffic import traffic_of, view

GPC = (("content-type", "application/json"), ("sec-gpc", "1"))
VENDORS = "a.cdp.asia"


def cookie(value):
    return (("content-type", "application/json"), ("cookie", f"agreed={value}"))


def consents(traffic):
    return [(each.call, each.severity) for each in traffic.findings if each.rule == "event-before-consent"]


@pytest.mark.parametrize("mode", ["require", "anonymise"])
async def test_the_gateways_own_decision_says_it(tmp_path, mode):
    """At its own name it protects the visitor, and that is worth a note; at the vendor's host nobody does."""
    async with traffic_of(tmp_path, consent={"mode": mode, "cookie": "agreed"}) as traffic:
        await traffic.see(view(en="1"))
        await traffic.see(view(en="2"), host=VENDORS)
        await traffic.see(view(en="3"), headers=cookie("yes"))
        await traffic.see(view(en="4", extra={"consent": "granted", "page_type": "a", "page_category": "b"}))
        assert [(1, "note"), (2, "error")] == consents(traffic)


async def test_a_refusal_counts_where_nobody_asks(tmp_path):
    """Global Privacy Control, and the event's own word."""
    async with traffic_of(tmp_path) as traffic:
        await traffic.see(view(en="1"))
        await traffic.see(view(en="2"), headers=GPC)
        await traffic.see(view(en="3", extra={"consent": "denied", "page_type": "a", "page_category": "b"}))
        assert [(2, "error"), (3, "error")] == consents(traffic)
        assert "the visitor has refused (gpc)" == traffic.findings[0].detail


async def test_a_signal_that_does_not_count_is_not_heard(tmp_path):
    """`consent.signals` says which do."""
    async with traffic_of(tmp_path, consent={"signals": ("event",)}) as traffic:
        await traffic.see(view(), headers=GPC)
        assert [] == traffic.found


async def test_the_consent_tools_cookie_is_looked_for_where_browsers_send_it(tmp_path):
    """At the site's own name; the vendor's hosts never get it."""
    async with traffic_of(tmp_path, qa={"consent_cookie": "agreed"}) as traffic:
        await traffic.see(view(en="1"))
        await traffic.see(view(en="2"), host=VENDORS)
        await traffic.see(view(en="3"), headers=cookie("no"))
        await traffic.see(view(en="4"), headers=cookie("yes"))
        assert [(1, "error"), (3, "error")] == consents(traffic)


@pytest.mark.parametrize("path", ["/consent", "tool.example/consent"])
async def test_what_the_consent_tool_calls_tells_when_somebody_has_agreed(tmp_path, path):
    """Whatever host the events go to."""
    async with traffic_of(tmp_path, qa={"consent_paths": (path,)}) as traffic:
        await traffic.see(view(en="1"), host=VENDORS)
        traffic.passed("/consent", "tool.example")
        await traffic.see(view(en="2"), host=VENDORS)
        await traffic.see(view(en="3"), headers=GPC)
        assert [(1, "error"), (4, "error")] == consents(traffic)


@pytest.mark.parametrize(
    "wrong", ["https://tool.example/consent", "tool.example", "/consent?yes=1", "//tool/x"]
)
def test_a_place_that_no_call_can_have_is_refused(wrong):
    """Or else every event would be before consent, for a slip in the settings."""
    with pytest.raises(ValueError, match="write a path"):
        Qa(consent_paths=(wrong,))
