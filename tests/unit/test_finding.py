"""Raw identity in texts: what is found, in which spellings, and what only looks like it."""

from __future__ import annotations

import base64
from urllib.parse import quote

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.cards import is_card
from gateway.events.fieldnames import is_id_name
from gateway.events.finding import WORDS, Finder, Parameters
from gateway.events.phones import Phones
from gateway.settings_privacy import MASKED_PARAMETERS

FINDER = Finder(Phones(("VN",)), parameters=Parameters(MASKED_PARAMETERS, (), ()))

EMAILS = (
    "lan@example.com", "Lan.Nguyen+shop@Mail.Example.CO.UK", "lan@bücher.example", "lan\uff20example.com", "lan @ example.com", "l\u200ban@exam\u00adple.com",
    "nguyễn.lan@ví-dụ.vn", "o'brien@example.com", "lan@xn--bcher-kva.example", "\U0001d5f9\U0001d5ee\U0001d5fb@example.com", "0912345678@zalo.example", "lan_2@example.com.vn",
)  # fmt: skip
PHONES = (
    "0912345678", "0912 345 678", "0912.345.678", "0912-345-678", "(0912) 345-678", "0912 34 56 78", "+84912345678", "+84 912 345 678", "+84 (0) 912 345 678",
    "+84.912.345.678", "0084912345678", "84912345678", "84 912 345 678", "(84) 912 345 678", "024 3825 1234", "(024) 3825 1234", "+65 9123 4567",
    "+66 81 234 5678", "+1 (415) 555-2671", "+442071838750", "\uff10\uff19\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18", "\u0660\u0669\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668", "0\u00a0912\u00a0345\u00a0678", "0912\u2011345\u2011678",
)  # fmt: skip
CARDS = (
    "4111111111111111", "4111 1111 1111 1111", "4111-1111-1111-1111", "5555555555554444", "2223003122003222", "378282246310005", "3782 822463 10005",
    "6011111111111117", "3530111333300000", "30569309025904", "6250941006528599", "9704000000000018", "9704 0000 0000 0018", "4111\u00a01111\u00a01111\u00a01111",
)  # fmt: skip
NATIONAL = (
    "079094001234",
    "001 099 001234",
    "1101700230708",
    "1-1017-00230-70-8",
    "S1234567D",
    "T0000001E",
    "G1234567X",
)


def encoded(text):
    """Give a text in the spellings in which it travels."""
    yield text
    yield quote(text, safe="")
    yield quote(quote(text, safe=""), safe="")
    yield quote(quote(quote(text, safe=""), safe=""), safe="")
    if text.isascii():
        yield "".join(f"%{ord(mark):02x}" for mark in text)
    units = text.encode("utf-16-be")
    codes = [int.from_bytes(units[at : at + 2], "big") for at in range(0, len(units), 2)]
    escaped = "".join(chr(code) if code < 128 and chr(code).isalnum() else f"\\u{code:04x}" for code in codes)
    yield escaped
    yield escaped.replace("\\", "\\\\")
    yield "".join(mark if mark.isalnum() else f"&#{ord(mark)};" for mark in text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        *((each, "[email]") for each in EMAILS),
        *((each, "[phone]") for each in PHONES),
        *((each, "[card]") for each in CARDS),
        *((each, "[id]") for each in NATIONAL),
    ],
)
def test_raw_identity_is_found_in_every_spelling(text, word):
    """Alone, in a sentence, in a link's path, parameter and fragment, in JSON within JSON; escaped once, twice and three times."""
    digits = text.translate(str.maketrans("", "", " -.()"))
    for spelled in encoded(text):
        for whole in (
            spelled,
            f"gọi {spelled}, nhé",
            f"https://shop.example/tim?q={spelled}&page=2",
            f"https://shop.example/kh/{spelled}/don-hang",
            f"https://shop.example/#/user?x={spelled}",
            orjson.dumps({"name": spelled}).decode(),
            orjson.dumps(orjson.dumps({"name": spelled}).decode()).decode(),
        ):
            masked = FINDER.masked(whole)
            assert word in masked, whole
            for secret in (text, spelled, digits):
                assert secret not in masked, whole
            assert masked == FINDER.masked(masked)


def test_what_stands_around_stays_to_the_character():
    """Only what was found is replaced; the escapes around it stay as they were."""
    assert FINDER.masked("https://a.example/t%C3%ACm?q=lan%40example.com&r=%2Fxin%20ch%C3%A0o#x") == (
        "https://a.example/t%C3%ACm?q=[email]&r=%2Fxin%20ch%C3%A0o#x"
    )
    assert FINDER.masked("gặp lan@example.com hay 0912 345 678 (2 cái)") == "gặp [email] hay [phone] (2 cái)"
    assert FINDER.masked("0912 345 678 2 cái, 0987654321 3 cái") == "[phone] 2 cái, [phone] 3 cái"
    assert FINDER.masked("0912345678 0987654321/0987654322") == "[phone] [phone]/[phone]"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        ("https://a.example/?email=x&page=2", "https://a.example/?email=[email]&page=2"),
        (
            "https://a.example/?utm=1&Access-Token=abc.def#top",
            "https://a.example/?utm=1&Access-Token=[masked]#top",
        ),
        ("https://a.example/#id_token=eyJhbGciOi&state=1", "https://a.example/#id_token=[masked]&state=1"),
        (
            "https://a.example/?next=https%3A%2F%2Fb.example%2F%3Fotp%3D123456%26x%3D1",
            "https://a.example/?next=https%3A%2F%2Fb.example%2F%3Fotp%3D[masked]%26x%3D1",
        ),
        ("https://a.example/;jsessionid=ABC123?x=1", "https://a.example/;jsessionid=[masked]?x=1"),
        ("https://a.example/?phone=&email=", "https://a.example/?phone=&email="),
        ("https://a.example/?tokens=3&mailing=1", "https://a.example/?tokens=3&mailing=1"),
    ],
)
def test_parameters_that_are_named_like_secrets_lose_their_value(link, expected):
    """Whatever the value is; in a query, a fragment, a path, and in a link within a link."""
    assert FINDER.masked(link) == expected
    assert FINDER.masked(expected) == expected


def test_parameters_are_dropped_and_kept_by_name():
    """A dropped one goes as a whole, wherever it stands; a kept one keeps its value unless an address is in it."""
    finder = Finder(
        Phones(("VN",)), parameters=Parameters(MASKED_PARAMETERS, ("cust", "session"), ("session",))
    )
    assert finder.masked("https://a.example/?cust=7&x=1&session=abc") == "https://a.example/?x=1&session=abc"
    assert finder.masked("https://a.example/?x=1&cust=7") == "https://a.example/?x=1&"
    assert finder.masked("https://a.example/?session=a@b.example") == "https://a.example/?session=[email]"


HARMLESS = (
    "", "pageview", "1234567890123", "2717580122590078987", "4111111111111112", "4570930581752994856", "1790000000123", "1790000000123456",
    "d41d8cd98f00b204e9800998ecf8427e", "09123456789abcdef09123456789abcd", "01990b2c-7d5e-7a31-8000-0123456789ab", "01912345-6789-7123-8456-123456789012",
    "GA1.2.0912345678.1712345678", "GA1.1.1234567890.1712345678", "fb.1.1712345678901.1234567890", "2026-09-21 08:09:10", "2026-09-21T08:09:10.123+07:00",
    "09/10/2026 08:30", "09.10.2026 08", "2026.09.10 12 13", "10.762622,106.660172", "@10.762622,106.660172,15z", "10.0.0.1", "203.113.131.1", "2001:db8::1",
    "1.234.567.890 ₫", "84.912.345.678 đ", "12,345,678.90", "99.000đ - 1.299.000đ", "39 40 41 42 43 44 45 46", "05 06 07 08 09 10", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
    "SKU-003918-DEN", "P002081", "order-0912345678", "INV-2026-000123456", "v1.0.0+20130313144700", "iPhone 15 Pro Max 256GB", "192.168.1.254:8080",
    "https://shop.example/media/icon@2x.png", "https://cdn.example/npm/vue@3.2.1/dist/vue.js", "https://medium.example/@lan.nguyen/bai-viet-0123456789ab",
    "Combo 2@50k", "theo dõi @shop.vn", "5 @ 30.000", "Mua 1 tặng 1 @ Vincom", "https://www.google.com/maps/@10.7,106.6,15z", "a=1&b=2",
    "https://www.shop.example/san-pham/3918-tai-nghe-khong-day?variant=41234567890123",
    "https://cdn.shop.example/cache/943360e3865978cb6948fe509f83fb38/3918.jpg?v=1712345678",
    "https://shop.example/?utm_id=120210000000000001&fbclid=IwAR0123456789abcdef&gclid=CjwKCAjw0123456789BwE&gad_source=1",
    "https://shop.example/?q=tai%20nghe%20kh%C3%B4ng%20d%C3%A2y+ch%E1%BB%91ng%20%E1%BB%93n%2030%25", "Giảm 20 % cho thành viên hạng vàng", "\\u0110i\\u1ec7n t\\u1eed",
    "Mozilla/5.0 (Linux; Android 14; SM-A155F; wv) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 Chrome/139.0.0.0 Mobile Safari/537.36 Zalo android/12100704 ZaloTheme/light",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) [FBAN/FBIOS;FBAV/519.0.0.41.102;FBDV/iPhone15,3;FBMD/iPhone;FBSN/iOS;FBSV/18.5]",
    "vi-VN,vi;q=0.9,en-US;q=0.6,en;q=0.5", "0.1234567890123", "-0.0912345678", "1e10", "8934588012228", "M 4.5 10.5 L 12 3", "rgb(123, 123, 123)", "#0912345",
)  # fmt: skip


@pytest.mark.parametrize("text", HARMLESS)
def test_ids_moments_prices_places_and_programs_stay_as_they_are(text):
    """What is masked wrongly is lost."""
    assert text == FINDER.masked(text)


@pytest.mark.parametrize(
    "text", ["4111111111111111", "0912345678", "84912345678", "079094001234", "1101700230708"]
)
def test_bare_digits_where_an_id_stands_are_an_id(text):
    """Anywhere else the same digits are masked; and an id that is written as no id is, is none."""
    assert text == FINDER.masked(text, is_id=True)
    assert text != FINDER.masked(text)


@pytest.mark.parametrize(
    "text", ["lan@example.com", "+84912345678", "0912 345 678", "4111 1111 1111 1111", "4111-1111-1111-1111"]
)
def test_what_no_id_looks_like_is_masked_where_an_id_stands(text):
    """An order's number that is written as a phone number is one."""
    assert FINDER.masked(text, is_id=True) in WORDS


@pytest.mark.parametrize(
    "name",
    [
        "id",
        "uid",
        "order_id",
        "orderId",
        "productID",
        "sku",
        "variant-id",
        "item.id",
        "order_number",
        "orderNo",
        "invoice_no",
        "barcode",
        "gtin13",
        "utime",
        "timestamp",
        "lat",
        "fbclid",
        "promo_code",
    ],
)
def test_names_of_ids(name):
    """However they are written."""
    assert is_id_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "name",
        "phone",
        "phone_number",
        "contact_id",
        "card_number",
        "national_id",
        "citizenId",
        "passport_no",
        "email_id",
        "title",
        "paid",
        "grid",
        "video",
        "number",
        "note",
        "search_term",
    ],
)
def test_names_of_anything_else(name):
    """Also of papers, phones and cards, whatever they end with."""
    assert not is_id_name(name)


def test_a_card_needs_its_brand_its_length_and_its_check_digit():
    """Each alone is not enough."""
    assert is_card("4111111111111111")
    for wrong in (
        "4111111111111112",
        "1111111111111117",
        "411111111111111",
        "41111111111111111111",
        "7992739871300000",
    ):
        assert not is_card(wrong)


def test_a_text_is_read_in_time_in_proportion_to_its_length():
    """Hostile ones too: at signs, digits, percent signs, escapes, half of everything."""
    for piece in (
        "@",
        "a@",
        "0",
        "09 ",
        "0912345678 ",
        "%",
        "%2",
        "%25",
        "\\u",
        "\\u0040",
        "&#",
        "&#64;",
        "a",
        "a.",
        "a@b.",
        "4111 ",
        "?email=",
        "eyJ",
        "ạ",
        "\uff10",
    ):
        FINDER.masked(piece * (60_000 // len(piece)))


@given(st.text(max_size=120), st.sampled_from([*EMAILS[:2], *PHONES[6:8], CARDS[1]]), st.text(max_size=120))
def test_no_text_around_it_lets_it_through(before, raw, after):
    """Law: between any two texts, a blank away, it is found, and nothing is found in what is left."""
    masked = FINDER.masked(f"{before} {raw} {after}")
    assert raw not in masked.replace(before, "").replace(after, "") or raw in before + after
    assert masked == FINDER.masked(masked)


def test_json_in_base64_is_looked_into():
    """Tokens and customers' objects travel so."""
    token = base64.urlsafe_b64encode(b'{"sub":"1","email":"lan@example.com"}').decode().rstrip("=")
    assert FINDER.masked(f"https://a.example/?d={token}&x=1") == "https://a.example/?d=[masked]&x=1"
    harmless = base64.urlsafe_b64encode(b'{"sub":"1","page":"home, sweet home"}').decode().rstrip("=")
    assert FINDER.masked(f"https://a.example/?d={harmless}") == f"https://a.example/?d={harmless}"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("a \uff10\uff19\uff11\uff12\uff13\uff14\uff15\uff16\uff17\uff18 b", "a [phone] b"),
        ("x\u200b\u200b\u200blan\u200b@\u00ad\u200bexample.com\u200b\u200by", "[email]"),
        (r"see \\\"lan@example.com\\\"", r"see \\\"[email]\\\""),
        ("%C3%A9 lan%40example.com%20%u1EA1", "%C3%A9 [email]%20%u1EA1"),
    ],
)
def test_runs_of_escapes_keep_the_place_of_each_character(text, masked):
    """They are undone together, because a megabyte of them, one by one, takes more than a second."""
    assert masked == Finder(Phones(("VN",))).masked(text)


def test_of_a_flood_of_numbers_what_looks_like_a_card_counts_as_one():
    """A look at the check digit of each would take a second for a megabyte."""
    finder = Finder(Phones(("VN",)))
    few, many = "4111111111111112 ", "4111111111111112 " * 2_000
    assert few == finder.masked(few)
    assert finder.masked(many).endswith("[card] ")
