"""HAR files of browsers and proxies become the calls that were made, in their order, and say what they lack."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zlib
from pathlib import Path

import msgspec
import pytest

from gateway.qa.har import EntryWrong, exchange_of, place_of
from gateway.qa.recordings import NotARecording, kind_of, opened, seekable
from tests.processes import ROOT

RECORDINGS = ROOT / "tests/recordings"
MOMENT = "2026-11-30T08:00:00.250+01:00"
URL = "https://a.cdp.asia/event?portal_id=1&x=%20y#there"


def entry(url=URL, method="POST", headers=(), post=None, moment=MOMENT, response=None, **more):
    data = {} if post is None else {"postData": post}
    return {
        "startedDateTime": moment,
        "time": 150,
        "request": {
            "method": method,
            "url": url,
            "headers": [{"name": name, "value": value} for name, value in headers],
            **data,
        },
        "response": response or {"status": 200, "headers": [], "content": {"size": 2, "text": "{}"}},
        "timings": {"blocked": 100, "dns": -1, "connect": 9, "ssl": 8, "send": 1, "wait": 30, "receive": 10},
        **more,
    }


def har(*entries, **log):
    return json.dumps({"log": {"version": "1.2", "entries": entries, **log}}).encode()


def exchange(fields, page=""):
    raw = msgspec.Raw(fields if isinstance(fields, bytes) else json.dumps(fields).encode())
    place = place_of(raw, 0)
    assert place is not None
    return exchange_of(raw, place, 7, page)


def read(tmp_path, content):
    path = tmp_path / "shop.har"
    path.write_bytes(content)
    with path.open("rb") as file, opened(file, "shop.har") as recording:
        return recording


def test_a_call_is_as_it_was_sent():
    """Its moment, address and body; HTTP/2's own fields are none of a request's, and its host is told."""
    headers = ((":authority", "a.cdp.asia"), (":method", "POST"), ("Content-Type", "application/json"))
    seen = exchange(entry(headers=headers, post={"mimeType": "application/json", "text": '{"ec":"ü"}'}))
    assert (1_796_022_000_250, "POST", "a.cdp.asia", 443) == (
        seen.call.started_ms, seen.call.method, seen.call.host, seen.call.port,
    )  # fmt: skip
    assert ("/event", "portal_id=1&x=%20y") == (seen.call.path, seen.call.query)
    assert (("host", "a.cdp.asia"), ("content-type", "application/json")) == seen.call.headers
    assert '{"ec":"ü"}'.encode() == seen.call.body
    assert not seen.lacks_body


@pytest.mark.parametrize(
    ("post", "headers", "body"),
    [
        ({"mimeType": "application/x-www-form-urlencoded", "params": [{"name": "ec", "value": "a b"}]}, (), b"ec=a+b"),
        ({"text": base64.b64encode(b"\x00\xff").decode(), "encoding": "base64"}, (), b"\x00\xff"),
        ({"text": gzip.compress(b"{}", mtime=0).decode("latin-1")}, (("Content-Encoding", "gzip"),), gzip.compress(b"{}", mtime=0)),
        ({"text": "{}"}, (("Content-Encoding", "gzip"),), b"{}"),
        (None, (("content-length", "0"),), b""),
    ],
)  # fmt: skip
def test_a_body_is_the_bytes_that_were_sent(post, headers, body):
    """However a recorder writes it: as text, parameters, base64, or with its coding undone."""
    seen = exchange(entry(post=post, headers=headers))
    assert (body, False) == (seen.call.body, seen.lacks_body)
    assert bool(body[:1] == b"\x1f") == bool(seen.call.header("content-encoding"))


@pytest.mark.parametrize(
    ("post", "headers"),
    [
        (None, ()),
        (None, (("content-length", "12"),)),
        ({"mimeType": "text/plain", "text": ""}, ()),
        ({"text": '{"ec":'}, (("content-length", "120"),)),
        ({"text": "\x1f\ufffd\b"}, (("content-encoding", "gzip"),)),
        ({"text": "a", "encoding": "base64"}, ()),
        ({"mimeType": "multipart/form-data", "params": [{"name": "a", "value": "b"}]}, ()),
    ],
)
def test_a_body_that_nobody_kept_whole_is_said_to_lack(post, headers):
    """An empty one would be found broken for what the recorder left out."""
    assert exchange(entry(post=post, headers=headers)).lacks_body


def test_cookies_come_from_either_place():
    """The header where there is one, else the list beside it."""
    listed = exchange(entry(method="GET") | {"request": {"method": "GET", "url": URL, "headers": [], "cookies": [{"name": "_asm_uid", "value": "12"}, {"name": "b", "value": None}]}})  # fmt: skip
    assert "_asm_uid=12; b=" == listed.call.header("cookie")
    assert listed.has_cookies
    assert not listed.lacks_body
    assert "a=1" == exchange(entry(headers=(("cookie", "a=1"),))).call.header("cookie")


def test_an_answer_is_heard_with_the_time_that_it_took():
    """A browser's own queue is not the collector's time; lines that a writer has joined are lines again."""
    content = {"size": 3, "text": "AP8B", "encoding": "base64"}
    answer = {
        "status": 200,
        "headers": [{"name": "Set-Cookie", "value": "a=1; Path=/\nb=2"}],
        "content": content,
    }
    heard = exchange(entry(response=answer)).heard
    assert (200, b"\x00\xff\x01", 50.0) == (heard.status, heard.body, heard.took_ms)
    assert (("set-cookie", "a=1; Path=/"), ("set-cookie", "b=2")) == heard.headers
    assert exchange(entry(response={"status": 200, "content": {"size": 9}})).heard.body is None


@pytest.mark.parametrize(
    ("response", "failure"),
    [
        ({"status": 0, "_error": "net::ERR_BLOCKED_BY_CLIENT"}, "net::ERR_BLOCKED_BY_CLIENT"),
        ({"status": -1, "_failureText": "net::ERR_FAILED"}, "net::ERR_FAILED"),
        ({"status": 0, "headers": [], "content": {}}, "no answer is in the recording"),
        (None, "no answer is in the recording"),
    ],
)
def test_a_failed_call_says_why(response, failure):
    """Its status is 0, as each writer says it."""
    fields = entry()
    fields["response"] = response
    heard = exchange(fields).heard
    assert (0, failure) == (heard.status, heard.failure)


@pytest.mark.parametrize(
    ("referrer", "page", "known"),
    [
        ("https://shop.example/tea", "https://shop.example/", "https://shop.example/tea"),
        ("https://shop.example/", "https://shop.example/cart", "https://shop.example/cart"),
        ("https://shop.example/", "", "https://shop.example/"),
        ("http://[", "https://shop.example/cart", "https://shop.example/cart"),
    ],
)
def test_the_page_is_the_whole_address_that_anybody_tells(referrer, page, known):
    """A page that goes on without loading says so by its referrer; for another host browsers cut that short."""
    assert known == exchange(entry(headers=(("Referer", referrer),)), page).call.page


def test_what_no_encoder_takes_loses_no_call():
    """Half a pair of surrogates and a byte that is no UTF-8 become marks in their own place."""
    cut = json.dumps(entry(post={"text": '{"ec":"CUT"}'})).replace("CUT", r"\ud83d").encode()
    assert b'{"ec":"?"}' == exchange(cut).call.body
    assert "\ufffd".encode() in exchange(cut.replace(rb"\ud83d", b"\xff")).call.body


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        (entry(moment="yesterday"), "startedDateTime"),
        (entry(url="https://[::1/x"), "request.url"),
        (entry(url="https:///x"), "request.url"),
        (entry(url=5), "request.url"),
        ({"startedDateTime": MOMENT, "request": {"url": "https://a.example/"}}, "request.method"),
        ({"request": {"url": "https://a.example/", "method": "GET"}}, "startedDateTime"),
        ({**entry(), "request": {"url": URL, "method": "GET", "headers": {}}}, "request.headers"),
        (["GET"], "the entry"),
    ],
)
def test_an_entry_that_cannot_be_read_names_the_field(fields, field):
    """And nothing of what stands there."""
    with pytest.raises(EntryWrong) as wrong:
        exchange(fields)
    assert field == wrong.value.field


@pytest.mark.parametrize("url", ["data:text/plain,x", "blob:https://a.example/1", "chrome-extension://a/b"])
def test_what_left_no_browser_is_no_call(url):
    """It has no host."""
    assert place_of(msgspec.Raw(json.dumps(entry(url=url)).encode()), 0) is None


def test_calls_come_in_the_order_of_their_start(tmp_path):
    """Whatever their order in the file; one that can't be read is told with its place, and the others are there."""
    late, early = entry(moment="2026-11-30T08:00:01Z"), entry(moment="2026-11-30T09:00:00.5+02:00")
    recording = read(tmp_path, har(late, entry(moment="soon"), early, entry(url="data:,")))
    assert [2, 0] == [place.entry for place in recording.places]
    assert ["log.entries[1].startedDateTime"] == [each.field for each in recording.unread]
    assert 1 == recording.others


def test_a_page_is_known_by_its_title_or_its_first_call(tmp_path):
    """Chrome and Safari write the address as the title, the others a title."""
    pages = [{"id": "p1", "title": "https://shop.example/tea#top"}, {"id": "p2", "title": "Cart"}]
    path = tmp_path / "shop.har"
    cart = entry(url="https://shop.example/cart", pageref="p2")
    path.write_bytes(
        har(entry(pageref="p1"), cart, entry(pageref="p2", moment="2026-12-01T00:00:00Z"), pages=pages)
    )
    with path.open("rb") as file, opened(file, "x") as recording:
        known = {recording.exchange(place, 1).call.page for place in recording.places}
    assert {"https://shop.example/tea", "https://shop.example/cart"} == known


@pytest.mark.parametrize("packed", [gzip.compress, zlib.compress, lambda whole: b"\xef\xbb\xbf" + whole])
def test_a_packed_file_and_a_mark_of_order_are_taken(tmp_path, packed):
    """gzip, and mitmproxy's `.zhar`."""
    assert 1 == len(read(tmp_path, packed(har(entry()))).places)


@pytest.mark.parametrize(
    ("content", "said", "hint"),
    [
        (b"", "shop.har: it is empty", ""),
        (b"<!doctype html>", "no HAR file", "web page"),
        (b"PK\x03\x04", "ZIP", "unpack it"),
        (b"\xff\xfe{", "UTF-16", "UTF-8"),
        (har(entry())[:-9], "ends in the middle", "export"),
        (b'{"log": {"version": "1.2"}}', "log.entries: it is missing", "export"),
        (b'{"log": {"entries": {}}}', "log.entries: this is no HAR file: expected `array`", "export"),
        (b'{"events": []}', "log: it is missing", "export"),
        (b"[]", "expected `object`", "export"),
        (gzip.compress(b"{}")[:9] + b"\x00" * 20, "can't be unpacked", "export"),
    ],
)
def test_a_file_that_is_no_har_is_told_with_its_field(tmp_path, content, said, hint):
    """And with what to do."""
    with pytest.raises(NotARecording) as wrong:
        read(tmp_path, content)
    assert said in str(wrong.value)
    assert hint in wrong.value.hint


def test_a_large_file_needs_no_memory_of_its_size(tmp_path):
    """What the process itself holds grows by a hundredth of the file's size, for the file is mapped."""

    def held_kb():
        status = Path("/proc/self/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon"))

    path = tmp_path / "large.har"
    large = json.dumps(
        entry(response={"status": 200, "content": {"size": 500_000, "text": "a" * 500_000}})
    ).encode()
    with path.open("wb") as file:
        file.write(b'{"log":{"entries":[')
        for index in range(200):
            file.write((b"," if index else b"") + large)
        file.write(b"]}}")
    before = held_kb()
    with path.open("rb") as file, opened(file, "large.har") as recording:
        for place in recording.places:
            assert recording.exchange(place, 1) is not None
        assert held_kb() - before < path.stat().st_size / 1024 / 10


@pytest.mark.parametrize(("name", "calls", "lacking"), [("playwright.har", 11, 2), ("mitmproxy.har", 12, 0)])
def test_a_real_recording_is_read_whole(name, calls, lacking):
    """One visit of Chromium's through mitmproxy, as Playwright and as mitmproxy have written it (`tests/recordings/record.py`)."""
    with (RECORDINGS / name).open("rb") as file, opened(file, name) as recording:
        seen = [recording.exchange(place, 1) for place in recording.places]
    assert (calls, []) == (len(seen), recording.unread)
    events = [each for each in seen if each.call.host == "a.cdp.asia"]
    assert lacking == sum(each.lacks_body for each in events)
    assert any("🍵".encode() in each.call.body for each in events)
    assert any(each.heard.failure for each in seen)


def test_a_flow_dump_is_known_by_its_beginning():
    """All else counts as HAR, and says so where it is none."""
    with (RECORDINGS / "mitmproxy.flows").open("rb") as file:
        assert "dump" == kind_of(file)
        assert 0 == file.tell()
    assert "har" == kind_of(io.BytesIO(har()))


def test_standard_input_is_read_to_its_end():
    """A pipe can't be mapped."""
    with seekable(None, io.BytesIO(har(entry()))) as file, opened(file, "standard input") as recording:
        assert 1 == len(recording.places)
