"""The connection's reading of answers does not depend on how the network cuts them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.delivery.answers import Fault
from gateway.delivery.heads import KnownHeads
from gateway.delivery.http1 import Connection, Exchange
from gateway.events.model import Answer


class Wire:
    """A transport that keeps what was written; its loop calls nobody back."""

    def __init__(self) -> None:
        self.written = b""
        self._is_closing = False

    def write(self, data: bytes) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        self._is_closing = True

    abort = close


ANSWERS = {
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok": (Answer(200), True),
    b"HTTP/1.1 204 No Content\r\n\r\n": (Answer(204), True),
    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok": (Answer(200), False),
    b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok": (Answer(200), False),
    b"HTTP/1.1 503 No\r\nReTrY-aFtEr: 7\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n": (
        Answer(503, "7"),
        True,
    ),
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nRetry-After: 1\r\n\r\n"
    b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n": (Answer(429), True),
    b"HTTP/1.1 404 \r\nContent-Length: 5\r\n\r\nHTTP/": (Answer(404), True),
}


class Line:
    """A connection on a `Wire`, and the results that it told."""

    def __init__(self, heads: KnownHeads) -> None:
        self.results: list[Answer | Fault] = []
        self.connection = Connection(lambda _, __, result: self.results.append(result), lambda _: None, heads)
        self.connection.connection_made(Wire())

    def exchange(self, pieces: list[bytes], heard=None) -> tuple[Answer | Fault | None, bool]:
        """Give the result of one exchange, if there is one, and whether the connection is kept."""
        self.results.clear()
        self.connection.begin(Exchange(b"POST / HTTP/1.1\r\n\r\n", lambda _: None, 0.0, 1.0, heard))
        for piece in pieces:
            self.connection.data_received(piece)
        assert len(self.results) <= 1
        return (self.results[0] if self.results else None), self.connection.is_usable


def exchanged(pieces: list[bytes]) -> tuple[Answer | Fault | None, bool]:
    return Line(KnownHeads()).exchange(pieces)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if end > start]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(ANSWERS)), st.lists(st.integers(0, 1000), max_size=30))
def test_an_answer_is_the_same_however_it_is_cut(answer, places):
    """Any cutting of the bytes gives the same answer, and the same view of whether the connection is kept."""
    assert exchanged(cut(answer, places)) == ANSWERS[answer]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(ANSWERS)), st.lists(st.integers(0, 1000), max_size=30))
def test_a_kept_answer_is_the_same_however_it_is_cut(answer, places):
    """With its headers and its body, and with the same meaning as one that is let go."""
    whole, is_kept = Line(KnownHeads()).exchange([answer], heard=lambda _: None)
    assert Line(KnownHeads()).exchange(cut(answer, places), heard=lambda _: None) == (whole, is_kept)
    assert isinstance(whole, Answer)
    assert (Answer(whole.status, whole.retry_after), is_kept) == ANSWERS[answer]
    assert answer.endswith((whole.body, b"\r\nabc\r\n0\r\n\r\n"))


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(ANSWERS)), st.integers(1, 200), st.lists(st.integers(0, 1000), max_size=5))
def test_a_part_of_an_answer_is_no_answer(answer, missing, places):
    """As long as a byte is missing there is no answer."""
    part = answer[: max(0, len(answer) - missing)]
    assert exchanged(cut(part, places))[0] is None


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(ANSWERS)), st.binary(min_size=1, max_size=50))
def test_bytes_after_the_answer_spoil_the_connection(answer, surplus):
    """More than was asked for: the answer stands, but the connection is not used again."""
    result, is_usable = exchanged([answer + surplus])
    assert result == ANSWERS[answer][0]
    assert not is_usable or surplus.strip(b"\r\n") == b""


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=10))
def test_noise_never_raises(pieces):
    """Whatever arrives, the connection gives an answer, a fault, or waits; it never raises."""
    result, _ = exchanged(pieces)
    assert result is None or isinstance(result, Answer | Fault)


class Forgetful(KnownHeads):
    """A memory that keeps nothing: every answer is read by the parser."""

    def learn(self, data: bytes, body_bytes: int, answer: Answer) -> None:
        pass


STATUS_LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 304 -",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 503 No",
    b"HTTP/1.1 100 Continue",
    b"HTTP/1.1 200",
    b"HTTP/1.1 200 OK\n",
    b"\r\n\r\nHTTP/1.1 200 OK",
]
HEADERS = [
    b"Content-Length: 0",
    b"Content-Length: 2",
    b"content-length:2 ",
    b"Content-Length: 9",
    b"Content-Length: +2",
    b"Transfer-Encoding: chunked",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Retry-After: 7",
    b"Date: Mon",
    b"X: y\n",
    b"X: a\r\n b",
    b"Set-Cookie: " + b"c" * 2_100,
    b"Upgrade: h2c",
    b"",
]
BODIES = [
    b"",
    b"ok",
    b"no",
    b"\r\n",
    b"012345678",
    b"2\r\nok\r\n0\r\n\r\n",
    b"0\r\n\r\n",
    b"\r\n\r\n",
    b"okHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 204 -\r\n\r\n",
]


@st.composite
def messages(draw) -> bytes:
    """Bytes as a server may send them: mostly sound, sometimes broken, often the same head as before."""
    if draw(st.booleans()):
        message = draw(st.sampled_from(sorted(ANSWERS)))
    else:
        headers = draw(st.lists(st.sampled_from(HEADERS), max_size=3))
        head = b"\r\n".join([draw(st.sampled_from(STATUS_LINES)), *headers])
        message = head + b"\r\n\r\n" + draw(st.sampled_from(BODIES))
    if draw(st.integers(0, 9)) == 0:
        place = draw(st.integers(0, len(message)))
        message = message[:place] + draw(st.binary(max_size=3)) + message[place + draw(st.integers(0, 3)) :]
    return message


@settings(max_examples=500, deadline=None)
@given(st.lists(messages(), min_size=1, max_size=4), st.data())
def test_a_head_that_was_read_before_means_what_the_parser_says(stock, data):
    """Through any sequence of answers, cut anywhere, remembered heads give the same results as the parser alone."""
    heads = KnownHeads()
    remembering, parsing = Line(heads), Line(Forgetful())
    for _ in range(data.draw(st.integers(1, 10))):
        message = data.draw(st.sampled_from(stock))
        places = data.draw(st.one_of(st.just([]), st.lists(st.integers(0, 1000), max_size=3)))
        expected = parsing.exchange(cut(message, places))
        assert expected == remembering.exchange(cut(message, places))
        if expected[0] is None or not expected[1]:
            remembering, parsing = Line(heads), Line(Forgetful())


def test_a_known_head_is_read_without_the_parser_and_with_any_body_of_its_length():
    """The second answer with the same head is taken from memory; one byte more or less in its body is not."""
    heads = KnownHeads()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"
    assert heads.answer(head + b"ok") is None
    assert (Answer(200), True) == Line(heads).exchange([head + b"ok"])
    assert Answer(200) == heads.answer(head + b"no")
    assert [None, None] == [heads.answer(head + b"o"), heads.answer(head + b"ok!")]


def test_the_memory_of_heads_is_bounded():
    """However many heads a server says, only a few are kept, and none that is long."""
    heads = KnownHeads()
    for number in range(1000):
        line = b"HTTP/1.1 200 OK\r\nX-Id: %d\r\nContent-Length: 0\r\n\r\n" % number
        assert (Answer(200), True) == Line(heads).exchange([line])
        assert 1 <= len(heads) <= 64
    kept = len(heads)
    long = b"HTTP/1.1 200 OK\r\nX: %s\r\nContent-Length: 0\r\n\r\n" % (b"x" * 3000)
    assert (Answer(200), True) == Line(heads).exchange([long])
    assert kept == len(heads)
