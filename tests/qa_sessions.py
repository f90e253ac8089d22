"""Sessions to make reports of: the calls of a shop that does much wrong, taken by the gateway without its sockets."""

from __future__ import annotations

import contextlib
import io
from hashlib import md5
from typing import TYPE_CHECKING, Any

import orjson

from gateway.qa.calls import Call, Heard
from gateway.qa.inner import running_inner
from gateway.qa.reports import gather
from gateway.qa.session import Looks, Session, found
from gateway.settings import Logging, Settings
from gateway.telemetry.logging import open_log
from tests.builders import PORTAL_ID, PROP_ID, STAMP, make_settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from pathlib import Path

    from gateway.qa.findings import Finding
    from gateway.qa.reports import SessionModel
    from gateway.qa.session import Check, Examined, Sight

RAW_EMAIL = "Lan.Nguyen@Example.com"
RAW_PHONE = "0912345678"
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"


class Scripted(Looks):
    """Finds what it is told to, when it comes to the call and event."""

    def __init__(self, findings: Iterable[Finding] = ()) -> None:
        self._findings = list(findings)

    def request(self, examined: Examined) -> Iterable[Finding]:
        return [each for each in self._findings if each.call == examined.call.number and each.event < 0]

    def event(self, sight: Sight) -> Iterable[Finding]:
        return [
            each for each in self._findings if each.call == sight.call.number and each.event == sight.index
        ]


@contextlib.asynccontextmanager
async def session_of(
    folder: Path, checks: Sequence[Check] = (), settings: Settings | None = None
) -> AsyncIterator[Session]:
    """Open a session over a gateway without its sockets."""
    log = open_log(Logging(file=str(folder / "log")), io.StringIO())
    settings = settings or make_settings()
    async with running_inner(settings, log, folder) as inner:
        yield Session(settings, inner, list(checks))
    log.close()


def call(session: Session, fields: Any = None, **more: Any) -> Call:
    """Give the next call of a session: the POST of an event, or a GET where there are no fields; a second after the one before it."""
    number = session.next_number()
    values: dict[str, Any] = {
        "host": "a.cdp.asia",
        "path": "/event",
        "method": "GET" if fields is None else "POST",
        "query": f"portal_id={PORTAL_ID}&prop_id={PROP_ID}&request_id=r{number}",
        "headers": (("content-type", "application/json"), ("user-agent", "Chrome/141.0")),
        "page": "https://www.shop.example/",
        **more,
    }
    body = fields if isinstance(fields, bytes) else b"" if fields is None else orjson.dumps(fields)
    return Call(number=number, started_ms=STAMP.now_ms + 1000 * number, body=body, **values)


async def see(session: Session, fields: Any = None, *, heard: Heard | None = None, **more: Any) -> Examined:
    """Let a session see one call of a page, and its answer."""
    seen = call(session, fields, **more)
    known = session.recogniser.known(seen.host, seen.path)
    assert known is not None
    examined = await session.examine(seen, known)
    session.heard(examined, heard or Heard(status=200, took_ms=30.0 + seen.number))
    return examined


def pageview(uid: str = "111111111111") -> dict[str, Any]:
    return {
        "uid": uid,
        "ec": "pageview",
        "ea": "view",
        "extra": {"page_type": "home", "page_category": "shop"},
    }


def sign_in(uid: str, email: str, **customer: Any) -> dict[str, Any]:
    cid = md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()
    return {
        "uid": uid,
        "ec": "user",
        "ea": "sign_in",
        "dims": {"customers": {"customer_id": cid, "email": email, **customer}},
    }


async def messy_visit(session: Session) -> None:
    """Play a visit that comes to every outcome but one, with addresses wherever they should not be, and markup as an event's name."""
    session.passed(call(session, host="www.shop.example", path="/"))
    await see(session, host="st-a.cdp.asia", path="/insight.js")
    await see(session, pageview())
    await see(
        session,
        sign_in("111111111111", RAW_EMAIL, phone=RAW_PHONE),
        page=f"https://www.shop.example/login?email={RAW_EMAIL}",
    )
    await see(session, sign_in("111111111111", "someone.else@example.com"))
    await see(session, {"uid": "111111111111", "ec": HOSTILE, "ea": HOSTILE, "extra": {RAW_EMAIL: RAW_PHONE}})
    await see(session, b"{broken", heard=Heard(failure="timed out"))
    await see(session, {**pageview(), "extra": {"url": f"https://www.shop.example/?e={RAW_EMAIL}"}})
    session.finish()


def messy_findings() -> list[Finding]:
    """Give what is found in `messy_visit`; the texts are as bad as checks could ever make them."""
    return [
        found("third-party-host", 2, "url", "st-a.cdp.asia is called"),
        found("raw-identity-in-field", 4, "dims.customers.email", f"it holds {RAW_EMAIL} {HOSTILE}", event=0),
        found("cid-changed", 5, "dims.customers.customer_id", "another CID", event=0, other=4),
        found("unknown-event", 6, HOSTILE, "no such event", event=0),
        found("malformed-event", 7, "", "bad JSON", event=0),
        found("raw-identity-in-url", 8, "extra.url", "an e-mail address", event=0),
    ]


async def messy_model(folder: Path) -> SessionModel:
    """Give the model of `messy_visit` with `messy_findings`."""
    async with session_of(folder, [Scripted(messy_findings())]) as session:
        await messy_visit(session)
    return gather(session, make_settings(), source="visit.har", mode="recording")
