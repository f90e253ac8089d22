"""A shop's traffic, made up but shaped like the real one: what our script sends from pages, byte for byte.

What always holds: the same arguments give the same traffic, but for the time in the signed cookies and of the events; one view in ten is a landing, from a campaign or from another
site, all others follow a link of the shop; each visitor has an address, a phone number and a user agent of
their own and keeps them, so no two events ever contradict each other and every event is acceptable. Request ids are not part
of it: whoever replays the traffic adds a fresh one to each request.
"""

from __future__ import annotations

import hashlib
import random
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import orjson

from gateway.events import touches
from gateway.events.keyring import Keyring
from gateway.events.model import Head, Request
from gateway.events.signed_texts import SignedTexts
from gateway.events.twin import TwinSigner
from gateway.events.visits import TOUCH_PURPOSE

if TYPE_CHECKING:
    from pathlib import Path

PORTAL_ID = "33167"
PROP_ID = "556300706"
SITE = "shop.example"
TRACK_HOST = f"track.{SITE}"
ORIGIN = f"https://www.{SITE}"
QUERY = f"portal_id={PORTAL_ID}&prop_id={PROP_ID}&resp_type=json&format=json&request_id="
SIGN_IN_SHARE = 0.1
LANDING_SHARE = 0.1
COOKIE_KEY = "bench:0123456789abcdef0123456789abcdef"
_TOUCHES = SignedTexts(Keyring([COOKIE_KEY]), TOUCH_PURPOSE, touches.parse)
_EVENTS_A_VISITOR = 4
_VIETNAM_SECONDS = 7 * 3_600
_OUTSIDE = ("", "https://www.google.com/", "https://l.facebook.com/")
_CONTENT_TYPE = "text/plain;charset=UTF-8"

_WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36"
_EDGE = f"{_WINDOWS} Edg/{{}}.0.0.0"
_MAC_CHROME = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Safari/537.36"
_MAC_SAFARI = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{} Safari/605.1.15"
_IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS {} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{} Mobile/15E148 Safari/604.1"
_FACEBOOK = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/{}.0.0.41.102;FBDV/iPhone15,3;FBMD/iPhone;FBSN/iOS;FBSV/18.5]"
_ANDROID = "Mozilla/5.0 (Linux; Android {}; {}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}.0.0.0 Mobile Safari/537.36"
_SAMSUNG = "Mozilla/5.0 (Linux; Android 15; SAMSUNG SM-S928B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/{}.0 Chrome/130.0.0.0 Mobile Safari/537.36"
_ZALO = "Mozilla/5.0 (Linux; Android 14; {}; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/{}.0.0.0 Mobile Safari/537.36 Zalo android/12100704 ZaloTheme/light ZaloLanguage/vn"
_FIREFOX = "Mozilla/5.0 ({}; rv:{}.0) Gecko/20100101 Firefox/{}.0"
USER_AGENTS = (
    *(_WINDOWS.format(version) for version in (139, 140, 141, 142)),
    *(_EDGE.format(version, version) for version in (140, 141)),
    *(_MAC_CHROME.format(version) for version in (140, 141)),
    *(_MAC_SAFARI.format(version) for version in ("17.6", "18.5")),
    *(_IPHONE.format(system, version) for system, version in (("17_6", "17.6"), ("18_5", "18.5"), ("18_6", "18.6"))),
    *(_FACEBOOK.format(version) for version in (519, 523)),
    *(
        _ANDROID.format(system, model, version)
        for system, model, version in (
            (13, "SM-A536E", 139), (14, "SM-A556E", 141), (15, "SM-S931B", 141), (14, "2312DRA50G", 140),
            (13, "CPH2591", 138), (12, "vivo 2026", 137), (15, "Pixel 8", 142), (10, "K", 141),
        )
    ),
    *(_SAMSUNG.format(version) for version in (27, 28)),
    *(_ZALO.format(model, version) for model, version in (("SM-A155F", 139), ("CPH2579", 141))),
    *(
        _FIREFOX.format(system, version, version)
        for system, version in (("Windows NT 10.0; Win64; x64", 142), ("X11; Linux x86_64", 128), ("Android 14; Mobile", 142))
    ),
)  # fmt: skip

_SURNAMES = ("Nguyễn", "Trần", "Lê", "Phạm", "Hoàng", "Vũ", "Đặng", "Bùi")
_NAMES = ("Minh Anh", "Thu Hà", "Quốc Bảo", "Thanh Tùng", "Ngọc Lan", "Hữu Phước", "Mai", "Đức")
_DOMAINS = ("gmail.com", "yahoo.com.vn", "outlook.com", "shop-customer.example")
_PHONE_PREFIXES = ("090", "091", "093", "097", "098", "086", "070", "038")
_CATEGORIES = ("Điện tử / Tai nghe", "Thời trang / Giày", "Gia dụng / Nồi cơm điện", "Mẹ & Bé / Sữa bột")
_BRANDS = ("Sony", "Bitis", "Sunhouse", "Vinamilk", "Philips", "Biti's Hunter")
_CAMPAIGN = (
    "utm_source=facebook&utm_medium=cpc&utm_campaign=mua_he_2026&utm_content=carousel&fbclid=IwAR0{:040x}"
)


class Visitor(NamedTuple):
    """A person at one browser."""

    uid: str
    session: str
    user_agent: str
    name: str
    email: str
    phone: str
    cid: str
    twin: str
    touch: str


class Hit(NamedTuple):
    """One request: the headers that differ from hit to hit, and the body."""

    user_agent: str
    cookie: str
    body: bytes
    is_sign_in: bool

    def request(self, request_id: str) -> Request:
        """Give it as the pipeline takes it from a transport."""
        head = Head(
            method="POST",
            path="/event",
            query=QUERY + request_id,
            peer="127.0.0.1",
            host=TRACK_HOST,
            origin=ORIGIN,
            referer=f"{ORIGIN}/",
            user_agent=self.user_agent,
            accept_language="vi-VN,vi;q=0.9,en-US;q=0.6,en;q=0.5",
            content_type=_CONTENT_TYPE,
            cookie=self.cookie,
        )
        return Request(head, self.body)

    def tail(self, *, is_lean: bool) -> bytes:
        """Give its bytes on the wire, from behind the request id on; a lean head has four fields instead of a browser's 15."""
        if is_lean:
            head = (
                f" HTTP/1.1\r\nHost: {TRACK_HOST}\r\nContent-Length: {len(self.body)}\r\n"
                f"User-Agent: {self.user_agent}\r\nContent-Type: {_CONTENT_TYPE}\r\n\r\n"
            )
            return head.encode() + self.body
        hints = ""
        if "Chrome/" in self.user_agent and "; wv" not in self.user_agent:
            mobile = "Mobile" in self.user_agent
            hints = (
                f'sec-ch-ua-platform: "{"Android" if mobile else "Windows"}"\r\n'
                'sec-ch-ua: "Chromium";v="141", "Not?A_Brand";v="8", "Google Chrome";v="141"\r\n'
                f"sec-ch-ua-mobile: ?{int(mobile)}\r\n"
            )
        head = (
            f" HTTP/1.1\r\nHost: {TRACK_HOST}\r\nConnection: keep-alive\r\nContent-Length: {len(self.body)}\r\n"
            f"{hints}User-Agent: {self.user_agent}\r\nContent-Type: {_CONTENT_TYPE}\r\nAccept: */*\r\nOrigin: {ORIGIN}\r\n"
            f"Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nReferer: {ORIGIN}/\r\n"
            "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: vi-VN,vi;q=0.9,en-US;q=0.6,en;q=0.5\r\n"
            f"Cookie: {self.cookie}\r\n\r\n"
        )
        return head.encode() + self.body


def make_hits(uids: int, seed: int = 365) -> list[Hit]:
    """Give four requests for each of `uids` visitors, shuffled: page and product views, and one sign-in in ten."""
    rng = random.Random(seed)
    signer = TwinSigner(Keyring([COOKIE_KEY]))
    visitors = [_visitor(rng, number, signer) for number in range(uids)]
    hits = [_hit(rng, visitor) for visitor in visitors for _ in range(_EVENTS_A_VISITOR)]
    rng.shuffle(hits)
    return hits


def write_hits(hits: list[Hit], path: Path, *, is_lean: bool = False) -> None:
    """Write requests for `wrk.lua`: the start that all share, then each one's length and bytes."""
    with path.open("wb") as file:
        file.write(f"POST /event?{QUERY}\n".encode())
        for hit in hits:
            tail = hit.tail(is_lean=is_lean)
            file.write(b"%d\n" % len(tail))
            file.write(tail)


def _visitor(rng: random.Random, number: int, signer: TwinSigner) -> Visitor:
    local = f"{rng.choice(('minh', 'thu.ha', 'quocbao', 'tung', 'lan+shop', 'phuoc_h'))}{number}"
    email = f"{local}@{rng.choice(_DOMAINS)}"
    typed = rng.choice((email, email.capitalize(), f" {email}"))
    # The number's digits are the visitor's own number, so that nobody shares a phone.
    digits = f"{rng.choice(_PHONE_PREFIXES)}{number:07d}"
    phone = rng.choice((digits, f"+84{digits[1:]}", f"{digits[:4]} {digits[4:7]} {digits[7:]}"))
    uid = str(rng.getrandbits(62) | 1 << 61)
    return Visitor(
        uid=uid,
        session=str(rng.getrandbits(62) | 1 << 61),
        user_agent=rng.choice(USER_AGENTS),
        name=f"{rng.choice(_SURNAMES)} {rng.choice(_NAMES)}",
        email=typed,
        phone=phone,
        cid=hashlib.md5(email.encode(), usedforsecurity=False).hexdigest(),
        # Somebody who was here an hour ago, as most are: the cookies need no renewal.
        twin=signer.sign(SITE, uid, int(time.time()) - 3_600),
        touch=_TOUCHES.sign(touches.written(_touch(rng)), SITE, uid),
    )


def _touch(rng: random.Random) -> touches.Touches:
    """Give how somebody came to the shop who has been there before, as nearly all have."""
    source, medium, channel = rng.choice(
        (
            ("google", "cpc", "paid_search"),
            ("facebook", "social", "social"),
            ("newsletter", "email", "email"),
        )
    )
    first = {
        "channel": channel,
        "source": source,
        "medium": medium,
        "landing_page": f"{ORIGIN}/?utm_source={source}",
        "at": "2026-11-20T08:15:30.123Z",
    }
    return touches.Touches(first, first)


def _hit(rng: random.Random, visitor: Visitor) -> Hit:
    is_sign_in = rng.random() < SIGN_IN_SHARE
    if is_sign_in:
        page, title = "/dang-nhap", "Đăng nhập tài khoản"
        category, action, parts = _sign_in(rng, visitor)
    elif rng.random() < 0.5:
        page, title = f"/danh-muc/{rng.randrange(400)}", "Danh mục sản phẩm khuyến mãi mùa hè"
        category, action, parts = _page_view(rng)
    else:
        page, title = (
            f"/san-pham/{rng.randrange(9000):04d}-tai-nghe-khong-day",
            "Tai nghe không dây chống ồn chủ động",
        )
        category, action, parts = _product_view(rng)
    is_landing = rng.random() < LANDING_SHARE
    query = f"?{_CAMPAIGN.format(rng.getrandbits(160))}" if is_landing and rng.random() < 0.5 else ""
    referrer = rng.choice(_OUTSIDE) if is_landing else f"{ORIGIN}/"
    mobile = "Mobile" in visitor.user_agent
    fields: dict[str, Any] = {
        "sent_at": int(time.time() * 1_000),
        "uid": visitor.uid,
        "aid": visitor.uid,
        "cid": "",
        "sid": visitor.session,
        "ec": category,
        "ea": action,
        "et": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(time.time() + _VIETNAM_SECONDS)),
        **parts,
        "context": {
            "navigation": {"url": f"{ORIGIN}{page}{query}", "title": f"{title} | Shop Example"},
            "referrer": referrer,
            "screen": {"width": 390, "height": 844} if mobile else {"width": 1920, "height": 1080},
            "timezone": "Asia/Ho_Chi_Minh",
            "locale": "vi-VN",
        },
    }
    moment = 1_790_000_000_000 + rng.randrange(10**9)
    view = {"time": moment, "sid": visitor.session, "page_view_order": 3, "utime": moment, "duration": 95_000}
    cookie = (
        f"_ga=GA1.1.{rng.randrange(10**9)}.1790000000; _asm_uid={visitor.uid}; _asm_uid_s={visitor.twin}; _asm_touch={visitor.touch}; _asm_visitor_type=r; "
        f"_asm_ss_view={quote(orjson.dumps(view), safe='')}"
    )
    return Hit(visitor.user_agent, cookie, orjson.dumps(fields), is_sign_in)


def _product(rng: random.Random, *, is_full: bool) -> dict[str, Any]:
    number, price = rng.randrange(9000), rng.randrange(99, 9000) * 1000
    product = {
        "type": "product",
        "id": f"P{number:06d}",
        "name": f"Tai nghe không dây chống ồn {number}",
        "price": price,
        "original_price": int(price * 1.2),
    }
    if is_full:
        product |= {
            "sku": f"SKU-{number:06d}-DEN",
            "brand": rng.choice(_BRANDS),
            "main_category": rng.choice(_CATEGORIES),
            "page_url": f"{ORIGIN}/san-pham/{number:04d}-tai-nghe-khong-day",
            "image_url": f"https://cdn.{SITE}/media/catalog/product/cache/{rng.getrandbits(128):032x}/{number}.jpg",
            "quantity": 1,
            "currency": "VND",
            "in_stock": True,
            "color": "Đen",
            "tags": ["mua-he", "giam-gia", "ban-chay"],
            "promotion": "Giảm 20 % cho thành viên hạng vàng",
            "promotion_end": "2026-12-31 23:59:59",
            "warranty": "Bảo hành chính hãng 12 tháng",
        }
    return product


def _page_view(rng: random.Random) -> tuple[str, str, dict[str, Any]]:
    items = [_product(rng, is_full=False) for _ in range(rng.choice((5, 6)))]
    extra = {"page_type": "category", "page_category": rng.choice(_CATEGORIES), "sort": "best_selling"}
    return "pageview", "view", {"items": items, "dims": {}, "extra": extra}


def _product_view(rng: random.Random) -> tuple[str, str, dict[str, Any]]:
    extra = {"page_type": "product", "page_category": rng.choice(_CATEGORIES), "position": rng.randrange(40)}
    return "product", "view", {"items": [_product(rng, is_full=True)], "dims": {}, "extra": extra}


def _sign_in(rng: random.Random, visitor: Visitor) -> tuple[str, str, dict[str, Any]]:
    customer = {"name": visitor.name, "email": visitor.email, "phone": visitor.phone, "gender": "female"}
    extra = {
        "identify_event": "user_sign_in",
        "identify_type": "exact",
        "identify_time": "2026-11-23 09:30:00",
    }
    if rng.random() < 0.5:
        customer["customer_id"] = extra["identify_id"] = visitor.cid
    customer |= {
        "date_of_birth": "1994-02-11",
        "city": "Thành phố Hồ Chí Minh",
        "member_tier": "gold",
        "language": "vi",
    }
    items = [_product(rng, is_full=False) for _ in range(rng.choice((3, 4)))]
    return "user", "sign_in", {"items": items, "dims": {"customers": customer}, "extra": extra}
