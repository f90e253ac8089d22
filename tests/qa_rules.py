"""What a session finds of the rules about identity: the calls of a page are played, and the rules that they break are given.

Calls are numbered from 1 in each visit, and a second lies between them.
"""

from __future__ import annotations

import contextlib
from hashlib import md5, sha256
from typing import TYPE_CHECKING, Any

from gateway.ledger.memory import MemoryLedger
from gateway.qa.checks import checks
from gateway.qa.session import Session
from tests.builders import make_settings
from tests.qa_sessions import call, see, session_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.qa.findings import Finding
    from gateway.qa.session import Examined
    from gateway.settings import Settings

IDENTITY_RULES = (
    "raw-identity-in-url",
    "raw-identity-in-field",
    "cid-not-hash",
    "cid-of-other-spelling",
    "cid-changed",
    "cid-contradiction",
    "uid-changed",
    "reset-missing",
    "identify-repeated",
)
FIRST, SECOND, THIRD = "111111111111", "222222222222", "333333333333"
OWN_HOST = "track.shop.example"


class Visit:
    """A page's visit: `see` lets the session see a call, `found` gives what it has found of identity, each as `(rule, call, place)`."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self.session, self.settings = session, settings
        self._before = self._next = session.calls

    def anew(self) -> Visit:
        """Give the next visit to the same gateway, which has forgotten all customers; opening one takes half a second."""
        before = self.session
        before._inner._ingest._ledger = MemoryLedger()
        session = Session(self.settings, before._inner, checks(self.settings))
        # Request ids go on: nothing of it came before.
        self._next += 1_000
        session.calls = self._next
        return Visit(session, self.settings)

    async def see(self, fields: Any = None, **more: Any) -> Examined:
        return await see(self.session, fields, **more)

    def passed(self, path: str, host: str = "www.shop.example", **more: Any) -> None:
        self.session.passed(call(self.session, host=host, path=path, **more))

    def wait(self, calls: int) -> None:
        """Let time go by: a second for each number that is left out."""
        for _ in range(calls):
            self.session.next_number()

    def end(self) -> list[tuple[str, int, str]]:
        self.session.finish()
        return self.found

    @property
    def findings(self) -> list[Finding]:
        return [each for each in self.session.findings if each.rule in IDENTITY_RULES]

    @property
    def others(self) -> list[int]:
        """Give the call that each finding does not go together with; 0 for none."""
        return [each.other and each.other - self._before for each in self.findings]

    @property
    def found(self) -> list[tuple[str, int, str]]:
        return [(each.rule, each.call - self._before, each.place) for each in self.findings]


@contextlib.asynccontextmanager
async def visit_of(folder: Path, **sections: Any) -> AsyncIterator[Visit]:
    """Open a visit with every check there is; the shop's own tracking name is `OWN_HOST`."""
    settings = make_settings(**{"qa": {"tracking_hosts": (OWN_HOST,)}, **sections})
    async with session_of(folder, checks(settings), settings) as session:
        yield Visit(session, settings)


def event(category: str, action: str, uid: str = FIRST, **fields: Any) -> dict[str, Any]:
    return {"uid": uid, "ec": category, "ea": action, **fields}


def view(uid: str = FIRST, **fields: Any) -> dict[str, Any]:
    return event("pageview", "view", uid, **fields)


def reset(old: str, new: str, uid: str = "", **fields: Any) -> dict[str, Any]:
    extra = {"reset_uid": old, "generate_uid": new}
    return event("user", "reset_anonymous_id", uid or new, extra=extra, **fields)


def of_md5(text: str) -> str:
    return md5(text.encode(), usedforsecurity=False).hexdigest()


def of_sha256(text: str) -> str:
    return sha256(text.encode()).hexdigest()
