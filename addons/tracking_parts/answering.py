"""The gateway's replies as answers to a page: as the public port gives them, in mitmproxy's form.

A vendor's host is not a host of the site: there the gateway's cookies are the host's alone, and a browser would keep none of them, because the page is
another site's. So they leave as cookies of a third party that are kept apart for each site (`SameSite=None; Partitioned`), which is as near as a browser lets it
come to the site's own. At the site's own tracking name nothing is changed.
"""

from __future__ import annotations

import re
import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from mitmproxy.http import Headers, Response

from gateway.web.public import SERVER
from gateway.web.security import secured

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.events.model import Reply

_SAME_SITE = re.compile(r";\s*SameSite=\w+", re.IGNORECASE)
_NO_LENGTH = frozenset({204, 304})


def answer_of(
    reply: Reply, method: str, always: Iterable[tuple[str, str]], *, is_vendors: bool, is_secure: bool
) -> Response:
    """Give the answer that a client of the gateway would get; `always` are fields of every answer.

    `is_vendors`: it is to come from a vendor's host; `is_secure`: over HTTPS, without which no browser takes a third party's cookies.
    """
    fields = [*secured(reply.headers), *always, ("Server", SERVER)]
    if is_vendors and is_secure:
        fields = [(name, _third_partys(value) if name == "Set-Cookie" else value) for name, value in fields]
    if reply.status not in _NO_LENGTH and (reply.body or method != "HEAD"):
        fields.append(("Content-Length", str(len(reply.body))))
    now = time.time()
    return Response(
        http_version=b"HTTP/1.1",
        status_code=reply.status,
        reason=HTTPStatus(reply.status).phrase.encode(),
        headers=Headers(
            [(name.encode(), value.encode("utf-8", "surrogateescape")) for name, value in fields]
        ),
        # As it is: it has the codings that its fields tell.
        content=b"" if method == "HEAD" else reply.body,
        trailers=None,
        timestamp_start=now,
        timestamp_end=now,
    )


def _third_partys(cookie: str) -> str:
    bare = _SAME_SITE.sub("", cookie)
    return f"{bare}{'' if '; secure' in bare.lower() else '; Secure'}; SameSite=None; Partitioned"
