"""Marked people: addresses, phones, cards and papers that nobody else has, requests that carry them everywhere, and a search that finds them in any bytes.

What always holds: the search knows nothing of the gateway's own finder; it undoes encodings its own way and looks for the markers' telling parts.
"""

from __future__ import annotations

import base64
import html
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes

import orjson

from tests.builders import PORTAL_ID, PROP_ID

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator

EMAILS = (
    "canary.one@example.com",
    "Canary.Two+shop@Example.co.uk",
    "canary.three@bücher.example",
    "o.canary@mail.example.vn",
)
PHONES = (
    "0912 345 678",
    "0912345678",
    "+84987654321",
    "+84 987 654 321",
    "0356.789.012",
    "(0356) 789-012",
    "+65 9123 4567",
    "84987654321",
)
CARDS = (
    "4111 1111 1111 1111",
    "4111111111111111",
    "5555-5555-5555-4444",
    "9704 0000 0000 0018",
    "378282246310005",
)
PAPERS = ("079094001234", "S1234567D")
ANYWHERE = (*EMAILS, *PHONES, *CARDS, *PAPERS)
# Where an id stands, bare digits are one: docs/privacy.md says so.
AS_IDS = (*EMAILS, "+84987654321", "4111 1111 1111 1111", "5555-5555-5555-4444")
AS_UIDS = (*EMAILS, "+84987654321", "0912345678", "5555-5555-5555-4444")

NEEDLES = (b"canary", "bücher".encode(), b"xn--bcher", b"s1234567d")
DIGITS = (b"912345678", b"987654321", b"356789012", b"6591234567", b"4111111111111111", b"5555555555554444", b"9704000000000018", b"378282246310005", b"079094001234")  # fmt: skip
PASSED = b"let-through"
"""The telling part of the one address whose field has the policy `pass`."""
PASS_FIELD = "vip_note"

_BASE64 = tuple(
    base64.b64encode(b"\0" * skip + b"canary.")[(skip * 8 + 5) // 6 : 8].rstrip(b"=") for skip in range(3)
)
_UNICODE = re.compile(rb"\\+u([0-9a-fA-F]{4})")


class Sent(NamedTuple):
    """A request: what is written to the gateway, and how many events are in it."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    count: int = 1


def found_in(content: bytes) -> set[bytes]:
    """Give the telling parts that stand in some bytes: as they are, percent-encoded, escaped, as entities, in base64, or with marks between the digits."""
    # A segment of the spool is made of zeros where nothing was written yet.
    content = content.replace(bytes(64), b"")
    found: set[bytes] = {needle for needle in _BASE64 if needle in content}
    for reading in _readings(content):
        lowered = reading.lower()
        found |= {needle for needle in NEEDLES if needle in lowered}
        bare = lowered.replace(b"\xc2\xa0", b"").translate(None, delete=b" .()+/_\t-")
        for text in (lowered, bare):
            found |= {needle for needle in DIGITS if needle in text and _stands_alone(needle, text)}
    return found


def _stands_alone(needle: bytes, text: bytes) -> bool:
    """Tell whether digits stand as a number, with its zeros or country code, and not within a hash or a longer id."""
    return re.search(rb"(?<![0-9a-f])(?:00|0|84|0084)?0?" + needle + rb"(?![0-9a-f])", text) is not None


def _readings(content: bytes) -> Iterator[bytes]:
    yield content
    for _ in range(3):
        following = content
        if b"\\" in content:
            following = _UNICODE.sub(
                lambda match: chr(int(match[1], 16)).encode("utf-8", "replace"), following
            ).replace(b"\\/", b"/")
        if b"&#" in following:
            following = html.unescape(following.decode("latin-1")).encode("latin-1", "replace")
        if b"%" in following:
            following = unquote_to_bytes(following)
        if following == content:
            return
        content = following
        yield content


def _full_width(text: str) -> str:
    return "".join(chr(ord(mark) + 0xFEE0) if mark.isdigit() or mark == "@" else mark for mark in text)


def _escaped(text: str) -> str:
    return "".join(mark if mark.isalnum() and mark.isascii() else f"\\u{ord(mark):04x}" for mark in text)


SPELLINGS: tuple[Callable[[str], str], ...] = (
    str, str, lambda text: quote(text, safe=""), lambda text: quote(quote(text, safe=""), safe=""), _full_width, _escaped,
    lambda text: "".join(mark if mark.isalnum() else f"&#{ord(mark)};" for mark in text),
    lambda text: f"xin gọi {text} nhé", lambda text: f"https://www.shop.example/a/{quote(text)}?q={quote(text)}&email={quote(text)}#x={quote(text)}",
    lambda text: f"https://www.shop.example/?next={quote('https://a.example/?token=1&to=' + quote(text, safe=''), safe='')}",
    lambda text: orjson.dumps({"email": text, "note": text}).decode(), lambda text: orjson.dumps({"a": orjson.dumps([text, {text: 1}]).decode()}).decode(),
    lambda text: "https://a.example/?d=" + base64.urlsafe_b64encode(orjson.dumps({"email": text, "note": text})).decode().rstrip("="),
)  # fmt: skip

_FREE = (
    "en", "extra.src_search_term", "extra.page_title", "extra.note", "extra.form.name", "extra.tags[]", "context.navigation.url", "context.navigation.title",
    "context.navigation.href", "context.page.url", "context.referrer", "context.campaign.term", "context.campaign.name", "context.screen.name", "context.userAgent",
    "context.locale", "context.geo.city", "context.app.name", "items[].name", "items[].brand", "items[].page_url", "items[].image_url", "items[].attributes[]",
    "dims.customers.name", "dims.customers.address", "dims.customers.email", "dims.customers.phone", "dims.customers.birthplace", "dims.users.name",
    "dims.purchase.note", "dims.campaign.name", "dims.story.title", "dims.channel.label", "unknown_field", "unknown.deep.deeper.deepest",
    "extra.{}", "{}", "dims.{}", "dims.customers.{}", "items[].{}", "context.{}", "extra.list[].{}", "extra.email", "extra.phone", "extra.contact",
)  # fmt: skip
_IDS = (
    "extra.order_id",
    "items[].id",
    "items[].sku",
    "dims.purchase.id",
    "dims.campaign.id",
    "extra.invoice_no",
    "extra.promo_code",
    "extra.utime",
    "et",
)
_OF_USERS = (
    "uid",
    "aid",
    "cid",
    "sid",
    "dims.customers.customer_id",
    "extra.identify_id",
    "extra.customer_id",
    "dims.purchase.customer_id",
    "extra.reset_uid",
)
_HEADERS = (
    "User-Agent",
    "Referer",
    "Accept-Language",
    "X-Forwarded-For",
    "X-Custom",
    "Authorization",
    "Origin",
    "Sec-CH-UA",
    "X-Real-IP",
    "Accept",
    "If-None-Match",
)
_QUERIES = (
    "email",
    "phone",
    "note",
    "q",
    "customer",
    "customer[email]",
    "uid",
    "cid",
    "request_id",
    "callback",
    "delivery_src",
    "session",
    "utm_term",
    "{}",
    "format",
    "is_debug",
)


def _put(fields: dict[str, Any], path: str, value: str) -> None:
    holder: Any = fields
    parts = path.split(".") if path != "{}" else ["{}"]
    for place, part in enumerate(parts):
        name = value if part == "{}" else part.removesuffix("[]")
        is_last = place == len(parts) - 1
        if part.endswith("[]"):
            values = holder.setdefault(name, [])
            if is_last:
                values.append(value)
                return
            if not values or not isinstance(values[-1], dict):
                values.append({"type": "product"})
            holder = values[-1]
        elif is_last:
            holder[name] = 1 if part == "{}" else value
        else:
            holder = holder.setdefault(name, {})
            if not isinstance(holder, dict):
                return


def marked_event(rng: random.Random, number: int) -> dict[str, Any]:
    """Give an event with markers in a dozen places, each place in turn over a few dozen events."""
    kind = rng.choice(
        (("pageview", "view"), ("user", "sign_in"), ("product", "purchase"), ("browsing", "product_search"))
    )
    fields: dict[str, Any] = {
        "uid": str(10**12 + number % 997),
        "ec": kind[0],
        "ea": kind[1],
        PASS_FIELD: f"{PASSED.decode()}@example.org",
    }
    for step in range(8):
        path = _FREE[(number * 8 + step) % len(_FREE)]
        _put(fields, path, rng.choice(SPELLINGS)(rng.choice(ANYWHERE)))
    for step in range(2):
        _put(fields, _IDS[(number * 2 + step) % len(_IDS)], rng.choice(AS_IDS))
    if number % 3 == 0:
        _put(fields, _OF_USERS[number // 3 % len(_OF_USERS)], rng.choice(AS_UIDS))
    if number % 11 == 0:
        fields["ec" if number % 2 else "ea"] = rng.choice(ANYWHERE)
    return fields


def _headers(rng: random.Random, number: int) -> dict[str, str]:
    headers: dict[str, str] = {"Content-Type": rng.choice(("application/json", "text/plain;charset=UTF-8"))}
    for step in range(3):
        marker = (
            quote(rng.choice(ANYWHERE), safe=" @+()")
            if number % 2
            else rng.choice(ANYWHERE).replace("bücher", "xn--bcher-kva")
        )
        name = _HEADERS[(number * 3 + step) % len(_HEADERS)]
        headers[name] = (
            f"https://www.shop.example/?email={marker}"
            if name in {"Referer", "Origin"}
            else f"App/1 ({marker})"
            if name == "User-Agent"
            else marker
        )
    cookie = quote(rng.choice(AS_UIDS if number % 2 else ANYWHERE), safe="")
    headers["Cookie"] = "; ".join(
        f"{name}={cookie}" for name in ("_asm_uid", "_asm_uid_s", "relayed", "_ga", "cdp_session")
    )
    return headers


def _query(rng: random.Random, number: int, **more: str) -> str:
    pairs = {
        "portal_id": PORTAL_ID,
        "prop_id": PROP_ID,
        "resp_type": rng.choice(("json", "javascript", "pixel")),
        **more,
    }
    for step in range(2):
        name = _QUERIES[(number * 2 + step) % len(_QUERIES)]
        marker = rng.choice(AS_UIDS if name in {"uid", "cid", "request_id"} else ANYWHERE)
        if name == "customer":
            marker = orjson.dumps({"customer_id": rng.choice(AS_UIDS), "name": marker}).decode()
        pairs[marker if name == "{}" else name] = marker
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs.items())


def requests(rng: random.Random, count: int) -> Iterator[Sent]:
    """Give requests with `count` events altogether: ordinary ones, batches, forms, images, links, broken ones, and such as nobody sends."""
    number = turn = 0
    while number < count:
        sent = _request(rng, number, turn)
        yield sent
        number += sent.count
        turn += 1


def _request(rng: random.Random, number: int, turn: int) -> Sent:  # noqa: PLR0911 -- a list of the ways to send
    headers = _headers(rng, number)
    target = f"/event?{_query(rng, number)}"
    fields = marked_event(rng, number)
    text = orjson.dumps(fields)
    marker = rng.choice(EMAILS)
    way = turn % 40
    if way < 12:
        return Sent("POST", target, headers, text)
    if way < 18:
        several = [marked_event(rng, number + each) for each in range(10)]
        return Sent("POST", target, headers, orjson.dumps(several), 10)
    if way < 21:
        flat = {
            name: orjson.dumps(value).decode() if isinstance(value, dict | list) else str(value)
            for name, value in fields.items()
        }
        return Sent(
            "GET",
            f"/event?{_query(rng, number)}&"
            + "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in flat.items()),
            headers,
            b"",
        )
    if way in {21, 22}:
        host = "shop.example" if way == 21 else "evil.example"
        link = quote(f"https://{host}/{marker}", safe="")
        return Sent(
            "GET",
            f"/event?{_query(rng, number, resp_type='redirect')}&ec=a&ea=click&uid=123456789&redirect_url={link}",
            headers,
            b"",
        )
    if way == 23:
        form = f"ec=a&ea=b&uid=123456789&en={quote(marker)}&extra={quote(orjson.dumps(fields).decode())}&dims[customers][name]={quote(marker)}"
        return Sent(
            "POST", target, {**headers, "Content-Type": "application/x-www-form-urlencoded"}, form.encode()
        )
    if way == 24:
        parts = "".join(
            f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in (("data", text.decode()), ("en", marker))
        )
        return Sent(
            "POST",
            target,
            {**headers, "Content-Type": "multipart/form-data; boundary=b"},
            f"{parts}--b--\r\n".encode(),
        )
    if way == 25:
        return Sent(
            "POST",
            target,
            {**headers, "Content-Type": "application/x-ndjson"},
            text + b"\n" + orjson.dumps(marked_event(rng, number + 1)),
            2,
        )
    broken = {
        26: text[:-1], 27: text + b"}", 28: text.replace(b"canary", b"can\xffary", 1), 29: b"\xff\xfe" + marker.encode("utf-16-le"), 30: marker.encode(),
        31: orjson.dumps({**fields, "extra": marker}), 32: orjson.dumps({**fields, "items": [marker]}), 33: orjson.dumps({**fields, marker: {str(each): each for each in range(2100)}}),
        34: orjson.dumps([marker, fields]), 35: text.replace(b'"ec"', b'"xx"'),
    }  # fmt: skip
    if way in broken:
        return Sent("POST", target, headers, broken[way])
    if way == 36:
        return Sent("HEAD", target, headers, b"")
    if way == 37:
        return Sent(
            "GET", f"/{quote(marker)}/{quote(rng.choice(ANYWHERE))}?{_query(rng, number)}", headers, b""
        )
    if way == 38:
        return Sent(
            "POST", f"/event?portal_id={quote(marker)}&prop_id={quote(rng.choice(AS_IDS))}", headers, text
        )
    return Sent(rng.choice(("DELETE", "PUT", "OPTIONS", "CANARY")), target, headers, text)
