"""Which endpoint a request is for, told from its method and its path alone."""

from __future__ import annotations

import pytest

from gateway.events.model import Reply
from gateway.web.ways import Way, way


class Here:
    """An endpoint that takes what a script's does."""

    methods: tuple[str, ...] = ("GET", "HEAD")
    max_body_bytes = 0

    def answer(self, request, answer):
        """Is not asked."""


HERE = Here()
TABLE = {"/event": HERE, "/p//q": HERE}


@pytest.mark.parametrize("path", ["/event", "//event", "/event/", "/%65vent", "//event//"])
def test_a_slip_in_a_path_leads_to_what_was_meant(path):
    """A slash too many, or letters that are percent-encoded."""
    assert Way("/event", HERE) == way(TABLE, "GET", path)


def test_a_path_that_stands_there_is_not_mended():
    """A name with two slashes that is served is that name."""
    assert Way("/p//q", HERE) == way(TABLE, "GET", "/p//q")


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("PUT", "/event", 405, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "/event", 204, "GET, HEAD, OPTIONS"),
        ("OPTIONS", "*", 204, "GET, HEAD, POST, OPTIONS"),
        ("GET", "*", 204, "GET, HEAD, POST, OPTIONS"),
    ],
)
def test_what_nothing_takes_hears_why(method, path, status, allow):
    """Of a wrong method, which are right."""
    reply = way(TABLE, method, path)
    assert isinstance(reply, Reply)
    assert (status, allow) == (reply.status, dict(reply.headers).get("Allow"))
