"""Whatever a collector answers, nothing of it passes but a body of the asked kind and the cookies of the list."""

from __future__ import annotations

import httptools
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.events.model import Answer
from gateway.events.relay import Relayed
from gateway.web.fast import encode_reply
from gateway.web.security import secured
from tests.builders import QUERY, decide, event, post
from tests.unit.test_relay_policy import relaying

NASTY = st.text(
    st.one_of(st.sampled_from('\r\n\0;=,:"\\ \t\x7f\x85\xa0é'), st.characters(max_codepoint=255)), max_size=40
)
COOKIE = st.builds(
    "{}{}{}; {}={}".format,
    st.sampled_from(["seg", "__Host-c", "_asm_uid", "_asm_uid_s", "other", " seg ", "SEG"]),
    st.sampled_from(["=", "", " = "]),
    NASTY,
    st.sampled_from(["Max-Age", "Expires", "Domain", "Path", "HttpOnly", "SameSite", "x"]),
    NASTY,
)
HEADERS = st.lists(
    st.one_of(
        st.tuples(st.just("set-cookie"), st.one_of(COOKIE, NASTY)),
        st.tuples(st.just("content-type"), st.sampled_from(["application/json", "text/html"])),
        st.tuples(NASTY.map(str.lower), NASTY),
        st.tuples(
            st.sampled_from(["location", "access-control-allow-origin", "connection", "content-length", "clear-site-data"]),
            NASTY,
        ),
    ),
    max_size=8,
).map(tuple)  # fmt: skip
BODIES = st.one_of(st.binary(max_size=50), st.just(b'{"campaigns":[]}'))


class Client:
    """A client's parser: what it reads of an answer's head."""

    def __init__(self, data: bytes) -> None:
        self.headers: list[tuple[str, str]] = []
        self.is_whole = False
        httptools.HttpResponseParser(self).feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("ascii"), value.decode("latin-1")))

    def on_message_complete(self) -> None:
        self.is_whole = True


@settings(max_examples=400, deadline=None)
@given(st.sampled_from([200, 200, 200, 204, 302, 404, 500]), HEADERS, BODIES)
def test_nothing_passes_but_the_body_and_the_cookies_of_the_list(status, headers, body):
    """The status is ours; the headers are those of the made-up answer and at most one cookie of each listed name."""
    line = relaying()
    prepared, decision = decide(post(event()), pipeline=line)
    reply, how = line.relay.reply(prepared, decision, Answer(status, "", headers, body))
    made_up = decision.reply
    if how is not Relayed.RELAYED:
        assert reply == made_up
        return
    own, rest = reply.headers[: len(made_up.headers)], reply.headers[len(made_up.headers) :]
    assert (reply.status, own, rest[0]) == (200, made_up.headers, ("X-Tracking-Answer", "collector"))
    names = [value.partition("=")[0] for name, value in rest[1:] if name == "Set-Cookie"]
    assert len(names) == len(rest) - 1 == len(set(names))
    assert set(names) <= {"seg", "__Host-c"}
    for _, value in rest:
        assert value.isascii()
        assert value.isprintable()
    client = Client(encode_reply(reply))
    assert client.is_whole
    assert [each for each in client.headers if each[0] not in {"Content-Length", "Date", "Server"}] == [
        (name, value.strip()) for name, value in secured(reply.headers)
    ]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(COOKIE, NASTY), max_size=5))
def test_nothing_goes_to_the_collector_but_the_cookies_of_the_list(parts):
    """Whatever stands in the browser's header: listed names, and values that can't end a line."""
    request = post(event(), QUERY, cookie="; ".join(parts))
    cookie = decide(request, pipeline=relaying())[1].verdicts[0].record.cookie
    assert cookie.isascii()
    assert cookie == "" or cookie.isprintable()
    names = [pair.partition("=")[0] for pair in cookie.split("; ") if "=" in pair]
    assert {name for name in names if name in {"_asm_uid", "_asm_uid_s", "other", "SEG"}} == set()
    assert cookie == "" or names[0] in {"seg", "__Host-c"}
