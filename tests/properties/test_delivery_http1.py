"""The connection's reading of answers does not depend on how the network cuts them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.delivery.answers import Answer, Fault
from gateway.delivery.http1 import Connection, Exchange


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

    def __init__(self) -> None:
        self.results: list[Answer | Fault] = []
        self.connection = Connection(lambda _, __, result: self.results.append(result), lambda _: None)
        self.connection.connection_made(Wire())

    def exchange(self, pieces: list[bytes]) -> tuple[Answer | Fault | None, bool]:
        """Give the result of one exchange, if there is one, and whether the connection is kept."""
        self.results.clear()
        self.connection.begin(Exchange(b"POST / HTTP/1.1\r\n\r\n", lambda _: None, 0.0, 1.0))
        for piece in pieces:
            self.connection.data_received(piece)
        assert len(self.results) <= 1
        return (self.results[0] if self.results else None), self.connection.is_usable


def exchanged(pieces: list[bytes]) -> tuple[Answer | Fault | None, bool]:
    return Line().exchange(pieces)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(edges) if end > start]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(ANSWERS)), st.lists(st.integers(0, 1000), max_size=30))
def test_an_answer_is_the_same_however_it_is_cut(answer, places):
    """Any cutting of the bytes gives the same answer, and the same view of whether the connection is kept."""
    assert exchanged(cut(answer, places)) == ANSWERS[answer]


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
