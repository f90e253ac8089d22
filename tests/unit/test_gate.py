"""The gate before aiohttp: what passes can be read in one way only, however its bytes were cut."""

from __future__ import annotations

import itertools

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.web.crowd import Crowd
from gateway.web.gate import Gate
from gateway.web.heads import MALFORMED, Bounds, Refused, inspect

BOUNDS = Bounds(head_bytes=2_000, head_fields=5, target_bytes=300)
GET = b"GET /event?a=b HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /event HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
CHUNKED = b"POST /event HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"
LAST = b"GET /last HTTP/1.0\r\n\r\n"
ODD = b"GET http://u/\xe1\xbb\x87?x#y HTTP/1.1\r\nHost: x\r\n\r\n"
BROKEN = [
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a\r\nabc\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
    b"GET /" + b"x" * 400 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 6 + b"\r\n",
    b"GET / HTTP/1.1\r\nX: " + b"y" * 3_000 + b"\r\n\r\n",
    b"\x16\x03\x01",
]
PARTS = st.sampled_from([GET, POST, CHUNKED, ODD, b"\r\n" + GET, LAST, *BROKEN])


def through(data, cuts=()):
    """Give all that passes, why it ended, and the gate."""
    gate, passed, why = Gate(BOUNDS), b"", None
    places = [0, *sorted(cuts), len(data)]
    for start, end in itertools.pairwise(places):
        more, refused = gate.feed(data[start:end])
        passed += more
        why = why or refused
    return passed, why, gate


@given(
    st.lists(PARTS, min_size=1, max_size=4).map(b"".join),
    st.lists(st.integers(0, 3_000), max_size=40),
    st.booleans(),
)
@example(b"\r\n" + GET, [1], False)
@example(POST + GET, [len(POST) + 1], False)
@settings(max_examples=400)
def test_how_bytes_are_cut_changes_nothing(data, cuts, is_each):
    """The same passes and the same is refused, were it byte by byte."""
    whole = through(data)
    cut = through(data, range(1, len(data)) if is_each else [each for each in cuts if each < len(data)])
    assert (whole[1] is None) == (cut[1] is None)
    if whole[1] is None:
        assert whole[0] == cut[0]
        assert (whole[2].is_in_head, whole[2].is_in_body) == (cut[2].is_in_head, cut[2].is_in_body)
    else:
        assert cut[2].is_shut
        assert (b"", None) == cut[2].feed(GET)


@given(
    st.lists(PARTS, max_size=3).map(b"".join), st.integers(0, 3_000), st.binary(max_size=3), st.integers(0, 3)
)
@settings(max_examples=600)
def test_what_passes_a_parser_reads_to_the_same_requests(data, place, other, gone):
    """A few bytes of it may be any others: a second parser finds no fault, and as many requests as the gate saw end."""
    data = data[:place] + other + data[place + gone :]
    passed, _, gate = through(data)
    heard = Heard()
    parser = httptools.HttpRequestParser(heard)
    try:
        parser.feed_data(passed)
    except httptools.HttpParserUpgrade:
        return
    assert heard.is_open == gate.is_in_body or gate.is_shut


class Heard:
    """Whether a request has begun and not ended."""

    is_open = False

    def on_headers_complete(self):
        self.is_open = True

    def on_message_complete(self):
        self.is_open = False


@pytest.mark.parametrize(
    ("target", "plain"),
    [
        (b"/event?a=b", b"/event?a=b"),
        (b"/event#x?y", b"/event"),
        (b"/\xe1\xbb\x87?\xff", b"/%E1%BB%87?%FF"),
        (b"http://track.shop.example/event?x", b"/event?x"),
        (b"HTTPS://[::1]:443/event", b"/event"),
        (b"http://x", b"/"),
        (b"http://x?y", b"/?y"),
    ],
)
def test_a_target_is_made_plain(target, plain):
    """Without a fragment, a scheme or bytes that no target has."""
    plan = inspect(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n", BOUNDS)
    assert not isinstance(plan, Refused)
    assert b"GET " + plain + b" HTTP/1.1\r\nHost: x\r\n\r\n" == plan.head


@pytest.mark.parametrize(
    "target", [b"*", b"event", b"http:///x", b"ftp://x/", b"http://a@b/", b"//", b"http:x"]
)
def test_what_is_no_target_of_ours_is_malformed(target):
    """But for a path of nothing but slashes."""
    found = inspect(b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n", BOUNDS)
    assert (MALFORMED == found) == (target != b"//")


def test_a_crowd_counts_who_is_in():
    """In all, and of each client; who has no name is counted in the whole only."""
    crowd: Crowd[int] = Crowd(3, 2)
    assert "" == crowd.excess("a")
    for member, client in enumerate(["a", "a", ""]):
        crowd.enter(member, client)
    assert ["address", "process", "process"] == [crowd.excess(each) for each in ("a", "b", "")]
    assert [0, 1] == crowd.of("a")
    for _ in range(2):
        crowd.leave(0)
        crowd.leave(2)
    assert ["", ""] == [crowd.excess("a"), crowd.excess("")]
    assert [1] == crowd.members()
    crowd.leave(1)
    assert (0, {}) == (len(crowd), crowd._of_client)
    assert "" == Crowd[int](1, 0).excess("a")
