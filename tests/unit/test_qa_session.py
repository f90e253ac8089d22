"""A session takes calls as the gateway would, and says of each what came, what was decided and what would be sent."""

from __future__ import annotations

import io

import msgspec
import orjson
import pytest

from gateway.qa.calls import Call
from gateway.qa.inner import running_inner
from gateway.qa.recognition import Known
from gateway.qa.session import Looks, Session, found
from gateway.settings import Logging, Settings
from gateway.telemetry.logging import open_log
from tests.builders import PORTAL_ID, PROP_ID, STAMP, make_settings


@pytest.fixture
async def inner(tmp_path):
    log = open_log(Logging(file=str(tmp_path / "log")), io.StringIO())
    async with running_inner(settings(), log, tmp_path) as running:
        yield running
    log.close()


def settings() -> Settings:
    return make_settings()


def call(number=1, host="a.cdp.asia", path="/event", body=None, **more):
    fields = {"ec": "pageview", "ea": "view", "uid": "123456789", **(body or {})}
    return Call(
        number=number,
        started_ms=STAMP.now_ms + number,
        method="POST",
        host=host,
        path=path,
        query=f"portal_id={PORTAL_ID}&prop_id={PROP_ID}&request_id=r{number}",
        headers=(("content-type", "application/json"),),
        body=orjson.dumps(fields),
        **more,
    )


class Everything(Looks):
    """Finds that there was an event, each time."""

    def event(self, sight):
        yield found("unknown-event", sight.call.number, "ec", "it came", event=sight.index)


async def test_an_event_is_seen_as_it_came_and_as_it_would_be_sent(inner):
    """The original is untouched; what would be sent has its address hashed."""
    session = Session(settings(), inner, [Everything()])
    seen = call(body={"dims": {"customers": {"email": "Foo@X.com"}}})
    examined = await session.examine(seen, session.recogniser.known(seen.host, seen.path))
    (sight,) = examined.events
    assert "Foo@X.com" == sight.original["dims"]["customers"]["email"]
    assert "Foo@X.com" not in str(sight.sent)
    assert "accepted" == sight.verdict.outcome
    assert ["unknown-event"] == [finding.rule for finding in session.findings]


async def test_what_is_not_tracking_is_not_known(inner):
    """A host of the site's own is no tracking call, whatever its path."""
    session = Session(settings(), inner, [])
    assert session.recogniser.known("shop.example", "/event") is None
    assert ("event", True) == session.recogniser.known("a.cdp.asia", "/event")[::2]


async def test_a_severity_that_is_off_finds_nothing(inner):
    """`qa.severity` looks away."""
    quiet = settings().model_copy(
        update={"qa": settings().qa.model_copy(update={"severity": {"unknown-event": "off"}})}
    )
    session = Session(quiet, inner, [Everything()])
    seen = call()
    await session.examine(seen, session.recogniser.known(seen.host, seen.path))
    assert [] == session.findings


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/somewhere", 404), ("PUT", "/event", 405), ("POST", "//event/", 200)],
)
async def test_a_call_goes_the_way_of_a_request_to_the_public_port(inner, method, path, status):
    """Where nothing stands it hears so, and a slash too many is mended."""
    seen = call(path=path)
    seen = msgspec.structs.replace(seen, method=method)
    session = Session(settings(), inner, [])
    examined = await session.examine(seen, Known("other", path, is_vendors=True))
    assert status == examined.taken.reply.status
    assert (status == 200) == (len(examined.events) == 1)


async def test_a_body_that_is_too_large_is_one_event_that_is_not_read(inner):
    """It is malformed, as it would be at the gateway."""
    session = Session(settings(), inner, [])
    seen = call(body={"extra": {"text": "x" * settings().server.max_body_bytes}})
    examined = await session.examine(seen, session.recogniser.known(seen.host, seen.path))
    assert 413 == examined.taken.reply.status
    assert ["too_large"] == [sight.verdict.reason for sight in examined.events]
