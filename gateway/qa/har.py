"""HAR 1.2, as browsers and proxies write it: entries in, calls and their answers out, in plain values.

Read there: the HAR 1.2 specification (W3C draft, "HTTP Archive (HAR) format") and what Chrome, Firefox, Safari, Charles, Playwright and mitmproxy make of
it. Writers differ: a field that nobody needs here may be missing or of any kind; one that is needed and can't be read makes its entry unreadable, with the
field's name, and no other. What always holds: no body is made up. Where a recorder has not kept what was sent, it says so instead of giving an empty one.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

import msgspec

from gateway.qa.calls import Call, Headers, Heard

_SCHEMES = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_UNSENT = re.compile(r"[^\x21-\x7e]")
_NOT_SEEN = "\ufffd"


class EntryWrong(Exception):
    """An entry that can't be read: which field, and what stands there."""

    def __init__(self, field: str, what: str) -> None:
        super().__init__(f"{field}: {what}")
        self.field = field


class _Pair(msgspec.Struct):
    name: str
    value: Any = ""


class _PostData(msgspec.Struct):
    text: Any = None
    params: Any = None
    encoding: Any = None
    mimeType: Any = ""  # noqa: N815 -- as the format has it


class _Request(msgspec.Struct):
    method: str
    url: str
    headers: list[_Pair] = []
    cookies: Any = None
    postData: _PostData | None = None  # noqa: N815


class _Response(msgspec.Struct):
    status: Any = 0
    headers: list[_Pair] = []
    content: Any = None
    error: Any = msgspec.field(default=None, name="_error")
    failure: Any = msgspec.field(default=None, name="_failureText")


class _Entry(msgspec.Struct):
    request: _Request
    response: _Response | None = None
    time: Any = None
    timings: Any = None


class _Outline(msgspec.Struct):
    method: str
    url: str


class _Outlined(msgspec.Struct):
    startedDateTime: str  # noqa: N815
    request: _Outline
    pageref: Any = None


class Place(NamedTuple):
    """Where an entry's call went, and when: what is known of it before its headers and bodies are looked at. `entry` is its place in the file."""

    started_ms: int
    entry: int
    method: str
    scheme: str
    host: str
    port: int
    path: str
    query: str
    pageref: str

    @property
    def url(self) -> str:
        """The address, as a page has it."""
        port = "" if self.port == _SCHEMES[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}{self.path}{'?' if self.query else ''}{self.query}"

    def bare(self, number: int) -> Call:
        """Give the call without its query, headers and body."""
        return Call(
            number=number, started_ms=self.started_ms, method=self.method, host=self.host, path=self.path, scheme=self.scheme, port=self.port,
        )  # fmt: skip


class Exchange(NamedTuple):
    """A call with its answer. `lacks_body`: something was sent that the recorder has not kept, or not whole; `has_cookies`: it kept cookies."""

    call: Call
    heard: Heard
    lacks_body: bool
    has_cookies: bool


_outlines = msgspec.json.Decoder(_Outlined)
_entries = msgspec.json.Decoder(_Entry)


def place_of(raw: msgspec.Raw, index: int) -> Place | None:
    """Tell where an entry's call went; `None` for one that left no browser (`data:`, `blob:`, an extension's). Raises `EntryWrong`."""
    entry = _decoded(_outlines, raw)
    target = _UNSENT.sub(lambda found: quote(found[0]), entry.request.url.partition("#")[0])
    try:
        parts = urlsplit(target)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise EntryWrong("request.url", str(error)) from None
    scheme = parts.scheme.lower()
    if scheme not in _SCHEMES:
        return None
    if not host:
        raise EntryWrong("request.url", "it names no host")
    return Place(
        _moment(entry.startedDateTime),
        index,
        entry.request.method.upper(),
        scheme,
        host.rstrip("."),
        port or _SCHEMES[scheme],
        parts.path or "/",
        parts.query,
        entry.pageref if isinstance(entry.pageref, str) else "",
    )


def exchange_of(raw: msgspec.Raw, place: Place, number: int, page: str) -> Exchange:
    """Give an entry's call and answer; `page` is the address of the page that it belongs to, empty for unknown. Raises `EntryWrong`."""
    entry = _decoded(_entries, raw)
    request, headers = entry.request, _headers(entry.request.headers)
    names = {name for name, _ in headers}
    if "host" not in names:
        # HTTP/2 and 3 say it as `:authority`.
        headers = (("host", urlsplit(place.url).netloc), *headers)
    if "cookie" not in names and (cookies := _pairs(request.cookies)):
        headers = (*headers, ("cookie", "; ".join(f"{name}={value}" for name, value in cookies)))
    body, headers = _sent(request, headers)
    call = Call(
        number=number,
        started_ms=place.started_ms,
        method=place.method,
        host=place.host,
        path=place.path,
        query=place.query,
        scheme=place.scheme,
        port=place.port,
        headers=headers,
        body=body or b"",
        page=_page(headers, page),
    )
    return Exchange(
        call,
        _heard(entry),
        body is None and place.method == "POST",
        any(name == "cookie" for name, _ in headers),
    )


def _decoded(decoder: msgspec.json.Decoder[Any], raw: msgspec.Raw) -> Any:
    try:
        try:
            return decoder.decode(raw)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Half of a pair of surrogates where a text was cut, a byte that is no UTF-8: nobody's call is lost for it.
            loose = json.loads(bytes(raw).decode("utf-8", "replace"), parse_constant=lambda _: None)
            return decoder.decode(json.dumps(loose, ensure_ascii=False).encode("utf-8", "replace"))
    except msgspec.ValidationError as error:
        what, _, field = str(error).partition(" - at `$")
        missing = re.match(r"Object missing required field `([^`]+)`", what)
        named = field.rstrip("`").lstrip(".")
        if missing:
            raise EntryWrong(f"{named}.{missing[1]}".lstrip("."), "it is missing") from None
        raise EntryWrong(named or "the entry", what[:1].lower() + what[1:]) from None
    except (ValueError, RecursionError) as error:
        raise EntryWrong("the entry", f"no JSON: {error}") from None


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text.strip())
        return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        raise EntryWrong("startedDateTime", "it is no moment such as 2026-11-30T07:00:00.000+01:00") from None


def _pairs(value: Any) -> list[tuple[str, str]]:
    """Give the names and values of a list of HAR's; what is none of them is left out."""
    if not isinstance(value, list):
        return []
    return [
        (each["name"], _text(each.get("value")))
        for each in value
        if isinstance(each, dict) and isinstance(each.get("name"), str)
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _headers(pairs: list[_Pair]) -> Headers:
    """Give fields as they went over the wire: without HTTP/2's own, several lines that a writer has joined with a line's end apart again."""
    return tuple(
        (pair.name.lower(), line.strip())
        for pair in pairs
        if pair.name and not pair.name.startswith(":")
        for line in (_text(pair.value).splitlines() or [""])
    )


def _sent(request: _Request, headers: Headers) -> tuple[bytes | None, Headers]:
    """Give the body that was sent, and the headers that go with it; `None` where there was one, or may have been, that nobody kept whole."""
    said = dict(headers)
    told = said.get("content-length", "")
    length = int(told) if told.isascii() and told.isdigit() and len(told) < 16 else None
    data = request.postData
    if data is None or not isinstance(data.text, str) or not data.text:
        params = _pairs(data.params) if data is not None else []
        if params and "urlencoded" in (_text(data.mimeType) if data else "").lower():
            return urlencode(params).encode(), headers
        return (b"" if length == 0 else None), headers
    if _text(data.encoding).lower() == "base64":
        try:
            return base64.b64decode(data.text), headers
        except binascii.Error:
            return None, headers
    if "content-encoding" in said:
        if data.text.startswith("\x1f\x8b") and _NOT_SEEN not in data.text:
            # Bytes, each as a character.
            return data.text.encode("latin-1", "replace"), headers
        if _NOT_SEEN in data.text[:64]:
            return None, headers
        # The recorder has undone the coding, and not said so.
        return data.text.encode(), tuple(each for each in headers if each[0] != "content-encoding")
    body = data.text.encode()
    return (None if length is not None and length > len(body) else body), headers


def _page(headers: Headers, page: str) -> str:
    """Give the page of a call: its referrer where that is a whole address, for a page may have gone on without loading; else what the recorder says."""
    referrer = next((value for name, value in headers if name == "referer"), "")
    try:
        is_whole = urlsplit(referrer).path not in {"", "/"}
    except ValueError:
        is_whole = False
    return referrer if is_whole or not page else page


def _heard(entry: _Entry) -> Heard:
    response = entry.response or _Response()
    took_ms = _took_ms(entry)
    status = response.status if isinstance(response.status, int) and response.status > 0 else 0
    if not status:
        # Chrome and mitmproxy, then Playwright, say why; others do not.
        why = _text(response.error) or _text(response.failure)
        return Heard(took_ms=took_ms, failure=why[:200] or "no answer is in the recording")
    return Heard(
        status=status, headers=_headers(response.headers), body=_answered(response.content), took_ms=took_ms
    )


def _answered(content: Any) -> bytes | None:
    text = content.get("text") if isinstance(content, dict) else None
    if not isinstance(text, str) or (not text and content.get("size")):
        return None
    if _text(content.get("encoding")).lower() != "base64":
        return text.encode()
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return None


def _took_ms(entry: _Entry) -> float:
    """Give how long an answer took from the moment when its request could be sent: what a browser queued is not the collector's."""
    timings = entry.timings if isinstance(entry.timings, dict) else {}
    parts = {name: float(each) for name, each in timings.items() if _is_time(each)}
    # `ssl` is within `connect`.
    known = sum(parts.get(name, 0.0) for name in ("dns", "connect", "send", "wait", "receive"))
    if known or not _is_time(entry.time):
        return known
    return max(0.0, float(entry.time) - parts.get("blocked", 0.0))


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value < 1e12
