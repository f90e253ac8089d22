"""The visitor's address, device and campaign."""

from __future__ import annotations

import pytest

from gateway.events.enrichment import Enricher
from gateway.events.model import Head
from gateway.events.occasion import Occasion
from gateway.events.world import NO_WORLD


def enriched(fields, **head):
    occasion = Occasion(Head(method="POST", path="/event", **head), received_at="t")
    Enricher(NO_WORLD).enrich(fields, occasion, "e")
    return fields


@pytest.mark.parametrize(
    ("agent", "kind", "system", "browser"),
    [
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
            "mobile",
            "iOS",
            "Mobile Safari",
        ),
        (
            "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148 Safari/604.1",
            "tablet",
            "iOS",
            "Mobile Safari",
        ),
        (
            "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
            "mobile",
            "Android",
            "Chrome Mobile",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:127.0) Gecko/20100101 Firefox/127.0",
            "desktop",
            "Mac OS X",
            "Firefox",
        ),
    ],
)
def test_the_user_agent_is_read(agent, kind, system, browser):
    """Device, system and browser, as ua-parser's rules name them."""
    context = enriched({}, user_agent=agent)["context"]
    assert (context["device"]["type"], context["os"]["name"], context["browser"]["name"]) == (
        kind,
        system,
        browser,
    )


@pytest.mark.parametrize(
    "context", [{"navigation": "x"}, {"navigation": {"url": 5}}, {"userAgent": 5}, {"page": []}]
)
def test_a_context_of_unusual_shape_is_kept_as_it_is(context):
    """Other clients fill it as they like."""
    kept = dict(context)
    result = enriched({"context": context}, user_agent="x", accept_language="%%")["context"]
    assert {name: result[name] for name in kept} == kept
    assert "locale" not in result
