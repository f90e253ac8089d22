"""Requests of the corpus, changed by chance: in what they say, with a framing that stays right, or in their very bytes.

What always holds: the same seed gives the same requests; what is `intact` is answered exactly once by a server that reads HTTP, unless that closes
the connection and says so.
"""

from __future__ import annotations

import gzip
import random
import zlib
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import orjson
from backports import zstd

from tests.builders import QUERY, STAMP
from tests.corpus.case import Message, messages, read_cases

LONGEST_SEED = 8_192
COLLECT = ("/event", "/stream_event")
_SAFE = "/?&=%+;:@!$'()*,-._~[]{}|^`<>\"\\"
_VALUES: list[Any] = [
    None, True, False, 0, -1, 2**53 + 1, 2**64, 10**30, 1e308, 0.1, "", " ", "undefined", "null", "0", "guest", "[object Object]",
    "lan@example.com", " Lan@Example.com", "0912 345 678", "+84912345678", "4a9cec035a99238b0fb92de8999f1815",
    "1790000000001", 1790000000001, "x" * 2_000, "Đặt hàng 🎉", "a\x00b", "a\r\nSet-Cookie: x=y", "<script>alert(1)</script>", "../../etc/passwd",
    "' OR 1=1 --", "${jndi:ldap://x}", "%0d%0a", {}, [], [[]], [None], {"customers": None}, {"customers": {"email": "lan@example.com"}},
    {"customers": [{"customer_id": "C-1"}]}, [{"type": "customers", "customer_id": "C-2"}], {"": {"": ""}},
]  # fmt: skip
_KEYS = [
    "uid", "aid", "cid", "sid", "ec", "ea", "en", "et", "items", "dims", "extra", "context", "customers", "customer_id", "email", "phone", "identify_id",
    "identify_type", "purchase", "id", "type", "name", "portal_id", "prop_id", "request_id", "is_s2s", "resp_type", "redirect_url", "reset_uid",
    "generate_uid", "event_id", "ip", "userAgent", "__proto__", "", "Ký tự", "a.b", "$set",
]  # fmt: skip
_PARAMETERS = [
    "resp_type=json", "resp_type=pixel", "resp_type=javascript", "resp_type=redirect", "resp_type=xml", "resp_type=", "is_s2s=true", "is_s2s=1",
    "redirect_url=https%3A%2F%2Fshop.example%2F", "redirect_url=https%3A%2F%2Fevil.example%2F", "redirect_url=%0d%0a", "request_id=lan%40example.com",
    "request_id=%00", "uid_new=1", "callback=cb", "callback=alert(1)//", "uid=1790000000002", "uid=", "cid=C-9", "items=%5B%7B", "dims=%7B%7D",
    "extra=%7B%22a%22%3A1%7D", "context=null", "ec=a", "ea=b", "%", "%zz=%", "=", "&&", "email=lan%40example.com", "portal_id=1", "prop_id=556300707",
    "prop_id=556300708", "prop_id=556300709", "format=text", "a[]=1&a[]=2", "x=" + "y" * 500,
]  # fmt: skip
_FIELDS = [
    "Origin: https://shop.example", "Origin: https://evil.example", "Origin: null", "Origin: ", "Referer: https://www.shop.example/?utm_source=a&gclid=b",
    "User-Agent: Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15", "User-Agent: Googlebot/2.1", "User-Agent: ",
    "Content-Type: application/json", "Content-Type: text/plain", "Content-Type: application/x-www-form-urlencoded", "Content-Type: multipart/form-data; boundary=x",
    "Content-Type: multipart/form-data", "Content-Type: application/json; charset=utf-16", "Content-Type: ;;;", "Cookie: _asm_uid=1790000000001",
    "Cookie: _asm_uid=undefined", "Cookie: _asm_uid_s=1.t1.x.y.z; =;;", "X-Forwarded-For: 203.0.113.77", "X-Forwarded-For: not an address, ,,",
    "X-Forwarded-Proto: gopher", "X-Real-IP: 6.6.6.6", "Accept-Language: vi", "Accept-Language: ;;q=", "Accept-Encoding: br;q=1, *;q=0",
    "If-None-Match: *", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors", "Sec-Fetch-Dest: image", "Sec-GPC: 1", "DNT: 1", "Authorization: Bearer x",
    "Authorization: Basic eDp5", "Range: bytes=0-1", "Access-Control-Request-Method: POST", "Access-Control-Request-Private-Network: true",
    "X-HTTP-Method-Override: DELETE", "Via: 1.1 x", "X-A: " + "a" * 3_000, "Priority: u=1", "TE: trailers", "Expect: 100-continue",
    "Accept: text/html, */*;q=0.1", "Purpose: prefetch", "Save-Data: on", "From: lan@example.com",
]  # fmt: skip
_PATHS = [
    "/event",
    "/stream_event",
    "/insight.js",
    "/ppid",
    "/favicon.ico",
    "/",
    "//event",
    "/event/",
    "/EVENT",
    "/%65vent",
    "/.git/config",
]
_JUNK = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\x00",
    b":",
    b"\xff",
    b"\r\n\r\n",
    b"0\r\n\r\n",
    b"HTTP/1.1",
    b"GET / HTTP/1.1\r\n\r\n",
    b"\t",
    b"%",
    b"{",
    b'"',
]
_FRAMES = [
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked, chunked", b"Content-Length: 0", b"Content-Length: 5",
    b"Content-Length: -1", b"Content-Length: 99999999999999999999", b"Content-Length: 0x10", b"Content-Length : 5", b"Content-Encoding: gzip",
    b"Connection: close", b"Connection: keep-alive, close", b"Connection: upgrade\r\nUpgrade: websocket", b"Connection: upgrade\r\nUpgrade: h2c",
    b"Expect: 200-ok", b"Host: evil.example", b"Host: ", b"Trailer: x", b" folded: a", b"X: a\r\n b", b": nameless", b"no colon", b"X\x00: y", b"TE: chunked",
    b"X: " + b"y" * 40_000, b"\xff\xfe: x", b"Set-Cookie: a=b", b"Proxy-Connection: close", b"Keep-Alive: timeout=0", b"HTTP2-Settings: AAMAAABk",
]  # fmt: skip


class Shot(NamedTuple):
    """A request to be sent: its bytes, its method, and whether it is an event as far as its line says; `expects` stands in the answer to it."""

    data: bytes
    method: str
    is_event: bool
    expects: bytes = b""


class Seed(NamedTuple):
    """A request of the corpus, taken apart."""

    method: str
    path: str
    query: str
    fields: tuple[str, ...]
    body: bytes


def seeds() -> list[Seed]:
    """Give the requests of the corpus that are of a size to be sent often, and whose framing is right."""
    steps = (step for case in read_cases() if not case.is_live_only for step in case.steps)
    found = (message for step in steps for message in messages(step, STAMP.now_ms))
    return [_taken_apart(message) for message in found if len(message.wire()) <= LONGEST_SEED]


def odd_ones() -> list[bytes]:
    """Give the requests of the corpus whose very bytes are the point."""
    wired = [case for case in read_cases() if case.is_live_only]
    found = (
        message.wire() for case in wired for step in case.steps for message in messages(step, STAMP.now_ms)
    )
    return [data for data in found if len(data) <= 3 * LONGEST_SEED and not data.startswith(b"HEAD")]


def _taken_apart(message: Message) -> Seed:
    path, _, query = message.target.partition("?")
    lines = tuple(line.decode("utf-8", "replace") for line in message.lines[1:])
    kept = tuple(
        line for line in lines if not line.lower().startswith(("content-length", "transfer-encoding"))
    )
    return Seed(message.method, path, query, kept, message.body)


class Mutator:
    """Makes requests by chance."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self._seeds = seeds()
        self._odd = odd_ones()
        self._count = 0

    def plain(self) -> Shot:
        """Give an event that is as it should be, whose answer names it."""
        self._count += 1
        name = f"plain-{self._count}"
        body = b'{"uid":"17900%08d","ec":"pageview","ea":"view","extra":{"page_type":"home"}}' % (
            self._count % 5_000
        )
        head = f"POST /event?{QUERY}&request_id={name} HTTP/1.1\r\nHost: track.shop.example\r\nContent-Length: {len(body)}\r\n\r\n"
        return Shot(head.encode() + body, "POST", is_event=True, expects=f'"request_id":"{name}"'.encode())

    def signed_in(self, uid: str, customer: str) -> Shot:
        """Give an event of a UID, and of a customer where there is one."""
        body = f'{{"uid":"{uid}","ec":"user","ea":"sign_in","cid":"{customer}"}}'.encode()
        head = (
            f"POST /event?{QUERY} HTTP/1.1\r\nHost: track.shop.example\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return Shot(head.encode() + body, "POST", is_event=True)

    def intact(self) -> Shot:
        """Give a request that may say anything, and is framed as it should be."""
        dice = self.dice
        seed = dice.choice(self._seeds)
        method, path, query, fields, body = seed
        fields = list(fields)
        is_coded = any(field.lower().startswith("content-encoding") for field in fields)
        for _ in range(dice.choice((0, 1, 1, 1, 2, 3))):
            what = dice.random()
            if what < 0.45 and body and not is_coded:
                body = self._said_otherwise(body)
            elif what < 0.65:
                query = self._asked_otherwise(query)
            elif what < 0.85:
                self._headed_otherwise(fields)
            elif what < 0.9:
                path = dice.choice(_PATHS)
            elif what < 0.95 and body:
                body = self._flipped(body)
            else:
                method = dice.choice(("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"))
        if body and not is_coded and dice.random() < 0.1:
            body = self._coded(fields, body)
        target = quote(f"{path}?{query}" if query else path, safe=_SAFE)
        data, length = self._framed(method, body)
        head = "\r\n".join([f"{method} {target} HTTP/1.1", *fields, *length, "", ""])
        # A slash too many, and a letter that is escaped, are slips.
        is_event = method in {"GET", "POST"} and f"/{unquote(path).strip('/')}" in COLLECT
        return Shot(head.encode() + data, method, is_event)

    def broken(self) -> bytes:
        """Give bytes that were requests once."""
        dice = self.dice
        data = dice.choice(self._odd) if dice.random() < 0.2 else self._with_a_body().data
        for _ in range(dice.choice((1, 1, 1, 2, 4))):
            data = self._broken(data)
        return data

    def _with_a_body(self) -> Shot:
        """Give an intact request whose answer has a body: of a broken HEAD nobody knows whether its answer has one."""
        while True:
            shot = self.intact()
            if shot.method != "HEAD":
                return shot

    def _broken(self, data: bytes) -> bytes:
        dice = self.dice
        place = dice.randrange(len(data) + 1)
        if dice.random() < 0.5:
            # The head is where it hurts.
            place = dice.randrange(min(len(data), data.find(b"\r\n\r\n") + 5) + 1)
        match dice.randrange(9):
            case 0:
                return data[:place] + bytes([dice.randrange(256)]) + data[place + 1 :]
            case 1:
                return data[:place] + data[place + dice.randrange(1, 60) :]
            case 2:
                return data[:place] + dice.choice(_JUNK) + data[place:]
            case 3:
                return data[:place]
            case 4:
                return data[:place] + data[max(0, place - dice.randrange(1, 200)) :]
            case 5:
                other = self._with_a_body().data
                return data[:place] + other[dice.randrange(len(other)) :]
            case 6 | 7:
                line, end, rest = data.partition(b"\r\n")
                return line + end + dice.choice(_FRAMES) + end + rest
            case _:
                return (
                    data[:place]
                    + bytes(dice.randrange(256) for _ in range(dice.randrange(1, 200)))
                    + data[place:]
                )

    def _said_otherwise(self, body: bytes) -> bytes:
        try:
            value = orjson.loads(body)
        except orjson.JSONDecodeError:
            return self._flipped(body)
        dice = self.dice
        value = self._changed(value, 0)
        if dice.random() < 0.05:
            value = [value] * dice.choice((1, 2, 3, 101))
        if dice.random() < 0.02:
            for _ in range(dice.choice((10, 40, 200))):
                value = {"x": value}
        try:
            text = orjson.dumps(value)
        except (orjson.JSONEncodeError, RecursionError):
            return self._flipped(body)
        if dice.random() < 0.03:
            text = text.replace(b'"', b'"\\ud83d', 2)
        return text

    def _changed(self, value: Any, depth: int) -> Any:
        dice = self.dice
        if isinstance(value, dict) and (depth == 0 or dice.random() < 0.7):
            keys = list(value)
            what = dice.random()
            if keys and what < 0.5:
                key = dice.choice(keys)
                value[key] = self._changed(value[key], depth + 1)
            elif keys and what < 0.65:
                del value[dice.choice(keys)]
            elif what < 0.9:
                value[dice.choice(_KEYS)] = dice.choice(_VALUES)
            elif keys:
                value[dice.choice(_KEYS)] = value.pop(dice.choice(keys))
            return value
        if isinstance(value, list) and value and dice.random() < 0.7:
            place = dice.randrange(len(value))
            value[place] = self._changed(value[place], depth + 1)
            return value
        return dice.choice(_VALUES)

    def _asked_otherwise(self, query: str) -> str:
        dice = self.dice
        pairs = query.split("&")
        match dice.randrange(5):
            case 0:
                del pairs[dice.randrange(len(pairs))]
            case 1:
                pairs.append(dice.choice(pairs))
            case 2:
                dice.shuffle(pairs)
            case _:
                pairs.insert(dice.randrange(len(pairs) + 1), dice.choice(_PARAMETERS))
        return "&".join(pairs)

    def _headed_otherwise(self, fields: list[str]) -> None:
        dice = self.dice
        names = [field.partition(":")[0].lower() for field in fields]
        if dice.random() < 0.2 and len(fields) > 1:
            place = dice.randrange(len(fields))
            # Without a host it is no HTTP/1.1.
            if names[place] not in {"host", "content-encoding"}:
                del fields[place]
            return
        fields.append(dice.choice(_FIELDS))

    def _flipped(self, body: bytes) -> bytes:
        dice = self.dice
        place = dice.randrange(len(body) + 1)
        match dice.randrange(4):
            case 0:
                return body[:place] + bytes([dice.randrange(256)]) + body[place + 1 :]
            case 1:
                return body[:place]
            case 2:
                return body[:place] + body[max(0, place - dice.randrange(100)) :]
            case _:
                return body[:place] + dice.choice(_JUNK) + body[place:]

    def _coded(self, fields: list[str], body: bytes) -> bytes:
        dice = self.dice
        coding = dice.choice(("gzip", "deflate", "zstd", "br", "identity", "snappy", "gzip, gzip"))
        fields.append(f"Content-Encoding: {coding}")
        match coding if dice.random() < 0.7 else dice.choice(("gzip", "deflate", "zstd", "")):
            case "gzip":
                body = gzip.compress(body, 1, mtime=0)
            case "deflate":
                body = zlib.compress(body, 1)
            case "zstd":
                body = zstd.compress(body, 1)
        return self._flipped(body) if dice.random() < 0.3 else body

    def _framed(self, method: str, body: bytes) -> tuple[bytes, list[str]]:
        dice = self.dice
        if not body:
            return b"", ["Content-Length: 0"] if method == "POST" or dice.random() < 0.05 else []
        if dice.random() < 0.9:
            return body, [f"Content-Length: {len(body)}"]
        size = dice.choice((1, 7, 100, 5_000))
        pieces = [body[start : start + size] for start in range(0, len(body), size)]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        return chunks + b"0\r\n\r\n", ["Transfer-Encoding: chunked"]
