"""A head that the fast path reads by itself is one that llhttp reads, to the same method, target and fields."""

from __future__ import annotations

import httptools
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.web.plain_heads import read_head

NAMES = st.sampled_from(
    ["Host", "host", "HOST", "Cookie", "Coo\u212aie", "X-A", "x_b", "Connection", "Content-Length", "Folded", "Bad Name", "", "\u017fec",
     "Transfer-Encoding", "TE", "Caf\u00e9", "Tab\t", "(x)", "Origin"]
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(
        ["x", "", " x \t", "7", "+7", "\u0667", "keep-alive", "Keep-Alive", "close", "a: b", "\u1ec7", "a\x00", "a\x7f", "a\nb", "a\r\n b",
         "a\r\nX: y", "\u00a0x", "\x0bx", "\x85x"]
    ),
    st.text(max_size=8),
)  # fmt: skip
SEPARATORS = st.sampled_from([": ", ":", " : ", ":\t", "", "="])
LINES = st.tuples(NAMES, SEPARATORS, VALUES).map("".join)
TARGETS = st.one_of(
    st.sampled_from(["/event?a=b", "/", "//", "/#x", "/\t", "/a b", "/\u1ec7", "x", "*", "http://x/", "/?\x7f", '/"<>{}|\\^`']),
    st.text(max_size=6).map(lambda text: f"/{text}"),
)  # fmt: skip
START = st.tuples(
    st.sampled_from(["POST", "GET", "post", "PUT", "HEAD", " GET", "\r\nGET", ""]),
    st.sampled_from([" ", "  ", "\t"]),
    TARGETS,
    st.sampled_from([" HTTP/1.1", " HTTP/1.0", " HTTP/1.1 ", "  HTTP/1.1", " http/1.1", ""]),
).map("".join)
USUAL = st.sampled_from(["GET /event?a=b HTTP/1.1", "POST /event HTTP/1.1"])


class Heard:
    """What llhttp says of a head, each field as often as it stands there."""

    def __init__(self):
        self.target, self.fields = b"", []

    def on_url(self, url):
        self.target += url

    def on_header(self, name, value):
        # RFC 9112, section 5.1: the blanks behind a value are no part of it; llhttp leaves them to who hears it.
        self.fields.append((name.decode().lower(), value.decode("utf-8", "replace").strip(" \t")))


@given(
    st.one_of(USUAL, START),
    st.lists(st.one_of(LINES, st.sampled_from(["Host: x", "Content-Length: 3", "User-Agent: \udcff\udcfe"])), max_size=5),
    st.integers(0, 400),
    st.one_of(st.none(), st.integers(0, 255)),
)  # fmt: skip
@example("GET / HTTP/1.1", ["Host: x", "Coo\u212aie: a"], 0, None)
@example("GET / HTTP/1.1", ["Host: x", "Nocolon"], 0, None)
@example("POST / HTTP/1.1", ["Host: x", "Content-Length: \u0663"], 0, None)
@settings(max_examples=1_500)
def test_what_is_read_as_plain_is_what_a_parser_reads(start, lines, place, byte):
    """One byte of it may be any other: what is no head of HTTP is never taken for a plain one, and no field is read differently."""
    text = "\r\n".join([start, *lines]).encode("utf-8", "surrogateescape")
    if byte is not None and place < len(text):
        text = text[:place] + bytes([byte]) + text[place + 1 :]
    data = text + b"\r\n\r\n"
    head = read_head(data, data.find(b"\r\n\r\n") + 4)
    if head is None:
        return
    heard = Heard()
    parser = httptools.HttpRequestParser(heard)
    parser.feed_data(data[: data.find(b"\r\n\r\n") + 4])
    assert head.method.encode() == parser.get_method()
    assert head.target.encode() == heard.target
    assert sorted(head.fields.items()) == sorted(heard.fields)
    assert parser.get_http_version() == "1.1"
    assert parser.should_keep_alive()


@given(
    st.lists(
        st.sampled_from(
            ["Cookie: a=\u1ec7", "Origin: https://shop.example", "X-Empty:", "user-agent:\t x \t"]
        ),
        unique=True,
    )
)
def test_usual_heads_are_plain(lines):
    """Whatever their fields, their blanks and their bytes beyond ASCII: the usual ones need nobody else to read them."""
    data = (
        "\r\n".join(["POST /event?a=b HTTP/1.1", "Host: x", "Content-Length: 2", *lines]).encode()
        + b"\r\n\r\n"
    )
    head = read_head(data, len(data))
    assert head is not None
    assert 2 == head.body_bytes
    assert 2 + len(lines) == len(head.fields)
