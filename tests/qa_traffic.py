"""What a session finds of the rules about traffic: the calls of a page are played, and everything that is found is given."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from gateway.qa.checks import checks
from tests.builders import make_settings
from tests.qa_sessions import call, pageview, see, session_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.qa.findings import Finding
    from gateway.qa.session import Examined, Session

OWN_HOST = "track.shop.example"
PAGE = "https://www.shop.example/"


class Traffic:
    """The calls of a page to the site's own tracking name. `found` is everything that is wrong, each as `(rule, call, place)`."""

    def __init__(self, session: Session) -> None:
        self.session = session

    async def see(self, fields: Any = None, **more: Any) -> Examined:
        return await see(self.session, fields, **{"host": OWN_HOST, **more})

    async def view(self, **more: Any) -> Examined:
        """See a page view that has all that it needs."""
        return await self.see(view(), **more)

    def passed(self, path: str, host: str = "www.shop.example") -> None:
        self.session.passed(call(self.session, host=host, path=path))

    @property
    def findings(self) -> list[Finding]:
        return self.session.findings

    @property
    def found(self) -> list[tuple[str, int, str]]:
        return [(each.rule, each.call, each.place) for each in self.findings]


def view(**fields: Any) -> dict[str, Any]:
    return {**pageview(), "context": {"navigation": {"url": PAGE}}, **fields}


@contextlib.asynccontextmanager
async def traffic_of(folder: Path, **sections: Any) -> AsyncIterator[Traffic]:
    """Open a session with every check there is."""
    qa = {"tracking_hosts": (OWN_HOST,), **sections.pop("qa", {})}
    settings = make_settings(**{"data_dir": folder / "data", **sections, "qa": qa})
    async with session_of(folder, checks(settings), settings) as session:
        yield Traffic(session)
