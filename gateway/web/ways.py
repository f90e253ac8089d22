"""Which endpoint a request reaches, whatever brought it: a slip in its path is mended, and where nothing stands, or not for its method, it hears so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from gateway.events.model import Reply
from gateway.events.preflights import EVENT_METHODS
from gateway.web.refusals import refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.web.endpoints import Endpoint

OPTIONS_OF_ALL = Reply(204, (("Allow", EVENT_METHODS),))
_SLASHES = re.compile("//+")


class Way(NamedTuple):
    """Where a request leads: the path under which the gateway has it, and what stands there."""

    path: str
    endpoint: Endpoint


def way(table: Mapping[str, Endpoint], method: str, path: str) -> Way | Reply:
    """Give the way of a request, or what it hears when it has none."""
    if path not in table:
        path = mended(path)
    endpoint = table.get(path)
    if endpoint is None:
        # `OPTIONS *` asks about the server as a whole (RFC 9110, section 9.3.7).
        return OPTIONS_OF_ALL if path == "*" else refusal(404)
    if method in endpoint.methods:
        return Way(path, endpoint)
    allow = ", ".join(dict.fromkeys((*endpoint.methods, "OPTIONS")))
    return Reply(204, (("Allow", allow),)) if method == "OPTIONS" else refusal(405, allow)


def mended(path: str) -> str:
    """Give a path as it was meant: a slash too many, or letters that are percent-encoded, are a slip of who configured a client."""
    return path if path == "*" else "/" + _SLASHES.sub("/", unquote(path)).strip("/")
