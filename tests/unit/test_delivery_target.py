"""How a record becomes the bytes of a request."""

from __future__ import annotations

import msgspec
import pytest

from gateway.delivery.target import BadCollectorUrl, Target
from gateway.events.model import Record

RECORD = Record(
    "e1", "1", "2", "u", 0, "a=1&request_id=e1", b'{"ec":"x"}', "203.0.113.9", "Mozilla/5.0 (X11)"
)


def head_of(request: bytes) -> list[bytes]:
    return request.partition(b"\r\n\r\n")[0].split(b"\r\n")


def test_a_request_carries_the_record_as_it_is():
    """Query, body, user agent and address go out unchanged, with the length of the body."""
    request = Target.of("https://collector.example/event?key=k").render(RECORD)
    assert request == (
        b"POST /event?key=k&a=1&request_id=e1 HTTP/1.1\r\n"
        b"Host: collector.example\r\n"
        b"Content-Type: application/json\r\n"
        b"Accept: */*\r\n"
        b"User-Agent: Mozilla/5.0 (X11)\r\n"
        b"X-Forwarded-For: 203.0.113.9\r\n"
        b"Content-Length: 10\r\n"
        b"\r\n"
        b'{"ec":"x"}'
    )


def test_what_the_record_lacks_is_not_made_up():
    """Without a user agent and an address there is no header for them."""
    bare = msgspec.structs.replace(RECORD, user_agent="", client_ip="")
    names = [line.split(b":")[0] for line in head_of(Target.of("http://c.example").render(bare))[1:]]
    assert names == [b"Host", b"Content-Type", b"Accept", b"Content-Length"]


@pytest.mark.parametrize(
    ("url", "host", "port", "is_tls", "start", "named"),
    [
        ("http://c.example", "c.example", 80, False, "POST /?", "Host: c.example\r\n"),
        ("http://c.example:8080/e", "c.example", 8080, False, "POST /e?", "Host: c.example:8080\r\n"),
        ("https://c.example:443/e", "c.example", 443, True, "POST /e?", "Host: c.example\r\n"),
        ("http://[::1]:81/e?x=%20y", "::1", 81, False, "POST /e?x=%20y&", "Host: [::1]:81\r\n"),
        ("http://bücher.example/ü", "xn--bcher-kva.example", 80, False, "POST /%C3%BC?", "xn--bcher-kva"),
    ],
)
def test_urls_are_read(url, host, port, is_tls, start, named):
    """Scheme, host, port, path and query of the collector's url are used."""
    target = Target.of(url)
    assert (target.host, target.port, target.is_tls, target.start) == (host, port, is_tls, start)
    assert named in target.constant


@pytest.mark.parametrize(
    "url",
    [
        "",
        "c.example/e",
        "ftp://c.example",
        "http://",
        "http://u:secret@c.example",
        "http://c.example/#f",
        "http://c:99999",
    ],
)
def test_an_unusable_url_is_refused_without_being_quoted(url):
    """A url that can't work is refused at the start, and a secret in it is not repeated."""
    with pytest.raises(BadCollectorUrl) as caught:
        Target.of(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "nasty",
    [
        "a\r\nX-Evil: 1",
        "a\nX-Evil: 1\n\nGET / HTTP/1.1",
        "a\x00b",
        "a b#c",
        "\udcff\udce9",
        "\ud800",
        "phở\u2028\x85",
    ],
)
def test_no_text_of_a_visitor_can_add_a_line(nasty):
    """Control characters in the query, the user agent or the address never change the request's shape."""
    record = msgspec.structs.replace(RECORD, query=f"q={nasty}", user_agent=nasty, client_ip=nasty)
    request = Target.of("http://c.example/e").render(record)
    lines = head_of(request)
    names = [line.split(b":")[0] for line in lines[1:]]
    assert names == [
        b"Host",
        b"Content-Type",
        b"Accept",
        b"User-Agent",
        b"X-Forwarded-For",
        b"Content-Length",
    ]
    assert len(lines[0].split(b" ")) == 3
    assert b"\n" not in b"".join(lines)
    assert b"\r" not in b"".join(lines)
    assert b"\x00" not in request
    assert request.endswith(b"\r\n\r\n" + RECORD.body)


def test_only_what_could_break_a_query_is_percent_encoded():
    """Visible ASCII but `#` goes out as it came; every other character of the first 256 is percent-encoded."""
    target = Target.of("http://c.example/e")
    for code in range(256):
        character = chr(code)
        is_kept = 0x21 <= code < 0x7F and character != "#"
        expected = character if is_kept else "".join(f"%{byte:02X}" for byte in character.encode())
        request = target.render(msgspec.structs.replace(RECORD, query=f"q={character}"))
        assert f"POST /e?q={expected} HTTP/1.1".encode() == head_of(request)[0]


def test_the_visitors_cookies_go_along_where_the_record_has_them():
    """As one line, in which nothing can begin another."""
    request = Target.of("http://c.example").render(
        msgspec.structs.replace(RECORD, cookie="a=1; b=2\r\nEvil: x")
    )
    assert b"Cookie: a=1; b=2 Evil: x" in head_of(request)
