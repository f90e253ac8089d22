"""The gateway without its sockets answers as the public port answers, also what is no event."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from gateway.qa.recognition import Recogniser
from tests.builders import make_settings
from tests.qa_sessions import call, session_of

PATHS = {"event": ("/x/collect",), "script": ("/x/s.js",), "default_names": False}
OWN = {"server": {"public_url": "https://Track.shop.example:8443/t"}, "paths": PATHS}


@pytest.fixture
async def session(tmp_path):
    async with session_of(tmp_path, settings=make_settings(server={"max_body_bytes": 1_024})) as opened:
        yield opened


async def taken(session, fields=None, **more):
    return await session._inner.take(call(session, fields, **more))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/event", 200),
        ("HEAD", "/event", 200),
        ("OPTIONS", "/event", 204),
        ("PUT", "/event", 405),
        ("POST", "/insight.js", 405),
        ("GET", "/nothing", 404),
        ("OPTIONS", "*", 204),
        ("GET", "//insight.js/", 200),
        ("GET", "/%69nsight.js", 200),
    ],
)
async def test_a_method_and_a_path_are_answered_as_at_the_public_port(session, method, path, status):
    """Wrong methods are told the right ones; slips in a path are mended."""
    query = "" if method in {"GET", "HEAD"} else "portal_id=1"
    assert status == (await taken(session, method=method, path=path, query=query)).reply.status


async def test_a_body_that_is_too_large_is_one_event_that_was_not_read(session):
    """Its fate is that of the public port: malformed, for its size."""
    seen = await taken(session, b"x" * 1_025)
    assert 413 == seen.reply.status
    assert ["too_large"] == [each.reason for each in seen.decision.verdicts]


async def test_a_target_that_is_too_long_is_refused(session):
    """With the bound of `[limits]`."""
    assert 414 == (await taken(session, query="q=" + "x" * 70_000)).reply.status


async def test_a_fault_inside_is_answered_without_a_word_of_it(session):
    """And the next call is taken as if nothing had been."""
    ingest, broken = session._inner._ingest, {"answer": None}

    def glance(_):
        raise RuntimeError(broken)

    ingest.glance = glance
    seen = await taken(session, method="HEAD", query="")
    assert (500, b'{"error":"error"}') == (seen.reply.status, seen.reply.body)
    del ingest.glance
    assert 200 == (await taken(session, {"uid": "1234567890", "ec": "a", "ea": "b"})).reply.status


async def test_a_page_reaches_the_gateway_by_its_own_names_alone(tmp_path):
    """Whatever the port; with and without the path that a proxy in front of it takes away; under the names of `[paths]`."""
    settings = make_settings(**OWN)
    async with session_of(tmp_path, settings=settings) as session:
        known = session.recogniser.known
        assert ("event", "/x/collect", False) == known("track.shop.example", "/t/x/collect")
        assert ("event", "/x/collect", False) == known("track.shop.example", "/x/collect")
        assert known("track.shop.example", "/event") is None
        assert known("track.shop.example", "/t/cart") is None
        assert known("shop.example", "/x/collect") is None


async def test_the_vendors_paths_are_known_by_the_gateways_names(tmp_path):
    """So that a redirected call reaches what stands under another name."""
    async with session_of(tmp_path, settings=make_settings(**OWN)) as session:
        known = session.recogniser.known
        assert ("event", "/x/collect", True) == known("ap2-a.cdp.asia", "/event")
        assert ("script", "/other.js", True) == known("st-a.cdp.asia", "/other.js")
        assert ("other", "/anything", True) == known("a.cdp.asia", "/anything")


async def test_the_settings_own_collector_is_the_vendors_as_far_as_its_path_goes(tmp_path):
    """What else stands at that host is none of ours."""
    settings = make_settings(collector={"url": "https://eu.collector.example/v2/event"})
    async with session_of(tmp_path, settings=settings) as session:
        assert ("event", "/event", True) == session.recogniser.known("eu.collector.example", "/v2/event")
        assert session.recogniser.known("eu.collector.example", "/") is None


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_stand_in_on_this_machine_does_not_make_its_calls_tracking(tmp_path, host):
    """A shop that is developed there has an `/event` of its own."""
    async with session_of(
        tmp_path, settings=make_settings(collector={"url": f"http://{host}:9000/event"})
    ) as session:
        assert session.recogniser.known(host, "/event") is None


async def test_names_that_rotate_are_known_for_as_long_as_they_are_served(tmp_path):
    """Beside the usual ones."""
    key = SecretStr("2026a:" + "k" * 32)
    settings = make_settings(paths={"keys": (key,), "rotate_days": 7, "rotate_script": True, "prefix": "/r"})
    async with session_of(tmp_path, settings=settings) as session:
        path = session._inner.told("/event")
        assert ("event", path, False) == Recogniser(settings, session._inner).known(
            "track.shop.example", path
        )
