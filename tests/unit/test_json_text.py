"""JSON as clients write it: what is kept exactly, what is mended, and what a GET's broken escapes become."""

from __future__ import annotations

import time
from urllib.parse import quote

import orjson
import pytest

from gateway.events.forms import decoded, parse_query
from gateway.events.shapes import Shapes
from tests.builders import QUERY, decide, event, forwarded, get, post


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("9007199254740993", "9007199254740993"),
        ("18446744073709551615", "18446744073709551615"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("18446744073709551616", '"18446744073709551616"'),
        ("-100000000000000000000", '"-100000000000000000000"'),
        ("123456789012345678901234567890", '"123456789012345678901234567890"'),
        ("1.0", "1.0"),
        ("1", "1"),
        ("12345678901234567890123.5", "1.2345678901234568e22"),
        ("0.12345678901234567890123", "0.12345678901234568"),
        ("1E2", "100.0"),
        ("-0", "0"),
        ("-33.86785098765432109876", "-33.86785098765432"),
        ("-0.98765432109876543210", "-0.9876543210987654"),
        ("-12345678901234567890123e2", "-1.2345678901234568e24"),
        ('"\\ud800"', '"�"'),
        ('"a\\uDFFFb\\ud83d"', '"a�b�"'),
        ('"\\ud83d\\ude42 \\\\ud800"', '"🙂 \\\\ud800"'),
        ('"12345678901234567890123 \\" 12345678901234567890123"', '"12345678901234567890123 \\" 12345678901234567890123"'),
        ('"Vi\\u1ec7t Vie\\u0302\\u0323t"', '"Việt Vie\u0302\u0323t"'),
        ('{"b":1,"a":2,"b":3}', '{"b":3,"a":2}'),
        ('"\\u0000\\u2028"', '"\\u0000\u2028"'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("way", ["post", "get", "mark"])
def test_values_go_on_as_they_were_meant(sent, kept, way):
    """Numbers exactly or as text, halves of emoji replaced, names that stand twice as browsers read them."""
    context = f'{{"value":{sent}}}'
    body = f'{{"uid":"123456789","ec":"a","ea":"b","context":{context}}}'.encode()
    if way == "get":
        request = get(f"{QUERY}&uid=123456789&ec=a&ea=b&context={quote(context)}")
    else:
        request = post(b"\xef\xbb\xbf" + body if way == "mark" else body)
    value = forwarded(decide(request)[1])["context"]["value"]
    assert orjson.loads(kept) == value
    assert kept == orjson.dumps(value).decode().replace("e+", "e")


def test_an_id_that_is_no_64_bit_number_is_an_id_all_the_same():
    """A UID of twenty digits, as a number, is not rounded into somebody else's."""
    body = orjson.dumps(event()).replace(b'"1234567890123"', b"98765432109876543210")
    assert "98765432109876543210" == forwarded(decide(post(body))[1])["uid"]


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        ("a+b%20c%2Bd", "a b c+d"),
        ("%F0%9F%99%82", "🙂"),
        ("Vi%u1EC7t%20Nam", "Việt Nam"),
        ("%uD83D%uDE42%E9", "🙂é"),
        ("%uD83D", "�"),
        ("caf%E9", "café"),
        ("%80%93", "€“"),
        ("%81", "\x81"),
        ("Vi%E1%BB%87t N%E1%BB", "Việt N�"),
        ("100%", "100%"),
        ("%zz%u12", "%zz%u12"),
        ("%00", "\x00"),
    ],
)  # fmt: skip
def test_escapes_are_undone_as_far_as_they_can_be(escaped, text):
    """As UTF-8, as old scripts' `escape()` and as Windows-1252; what is none of them stays."""
    assert text == decoded(escaped)
    assert {"a": text} == parse_query(f"a={escaped}&a=second&=nameless")


def test_a_link_that_was_escaped_twice_is_read():
    """Tools that send messages escape what has been escaped already."""
    extra = quote(quote('{"campaign":"tết"}'))
    assert "tết" == forwarded(decide(get(f"{QUERY}&ec=a&ea=b&extra={extra}"))[1])["extra"]["campaign"]


@pytest.mark.parametrize(
    "piece",
    [
        b"\\\\",
        b"\\ud800",
        b'\\"',
        b'"',
        b"1",
        b"-1",
        b'"1',
        b"1e",
        b"1" * 25 + b",",
        b"\\",
        b"\\u",
        b"\\ud800\\\\",
    ],
)
@pytest.mark.parametrize(
    "end", [b'\\ud800","b":', b"", b"\\"], ids=["whole", "never_ends", "ends_in_an_escape"]
)
def test_ten_times_the_nonsense_costs_no_more_than_ten_times_the_work_to_read(piece, end):
    """What grows with the square of its size would let one request stop a worker for a minute."""
    shapes = Shapes(max_keys=2_000, max_depth=32, max_batch=100)

    def seconds(count):
        text = (
            b'{"c":'
            + b"9" * 30
            + b',"a":"'
            + piece * count
            + end
            + (b"9" * 30 + b"}" if b":" in end else b"")
        )
        started = time.process_time()
        shapes.parse(text, "")
        return time.process_time() - started

    large, small = min(seconds(100_000), seconds(100_000)), max(seconds(10_000), seconds(10_000))
    # A square would be a hundred times; a slow moment of the machine is not ten.
    assert large < 40 * max(0.001, small)
