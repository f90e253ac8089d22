"""Laws of bodies: the same event in any clothes is the same record, and no bytes whatever raise or are taken in part."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qsl, quote, quote_plus, unquote_to_bytes, urlencode

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.events import bodies
from gateway.events.coding import expand
from gateway.events.forms import _ESCAPES, _escaped, decoded, joined, parse_query
from gateway.events.json_text import has_long_numbers
from gateway.events.model import Head
from gateway.events.outcome import Outcome, Reason, Rejection
from gateway.events.shapes import Shapes
from tests.builders import QUERY, decide, event, forwarded, post
from tests.encodings import BOUNDARY, CODINGS, FORM, MULTIPART, clothes, multipart

SHAPES = Shapes(max_keys=2_000, max_depth=32, max_batch=100)
BOUND = 4_096
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
keys = words.filter(lambda word: "\0" not in word)
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | words,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(keys, children, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(keys, values, max_size=4)
# Whatever a page shows: identity has laws of its own (`test_ingest_laws`).
events = st.builds(
    lambda name, extra, context, item: event("shop", name, extra=extra, context=context, items=[item]),
    words.filter(str.strip).map(lambda word: word[:12]),
    objects,
    objects,
    objects,
)
codings = st.sampled_from(sorted(CODINGS))


@settings(deadline=None, max_examples=150)
@given(events, codings, st.data())
def test_an_event_is_the_same_in_any_clothes(fields, coding, data):
    """By every content type and every coding, what goes to the collector is byte for byte the same."""
    expected = decide(post(fields))[1].verdicts[0]
    kinds = clothes(fields)
    kind = data.draw(st.sampled_from(sorted(kinds)))
    content_type, body = kinds[kind]
    request = post(CODINGS[coding](body), content_type=content_type, content_encoding=coding)
    found = decide(request)[1].verdicts[0]
    assert (expected.reason, expected.rejection.field) == (found.reason, found.rejection.field)
    if expected.record is not None:
        assert orjson.loads(expected.record.body) == orjson.loads(found.record.body)
        assert expected.record.query == found.record.query


@settings(deadline=None)
@given(st.binary(max_size=BOUND), codings)
def test_what_was_compressed_comes_back_or_is_too_large(body, coding):
    """Never more than the bound, never less than the whole."""
    packed = CODINGS[coding](body)
    assert body == expand(packed, coding, max(1, len(body)))
    if len(body) > 1 and len(packed) > len(body) - 1:
        found = expand(packed, coding, len(body) - 1)
        # What was never compressed is not bounded here: the transport has done so.
        assert found == body or found.reason is Reason.TOO_LARGE


@settings(deadline=None)
@given(st.binary(max_size=300), st.data(), st.sampled_from(sorted(set(CODINGS) - {"", "identity", "UTF-8"})))
def test_damaged_bodies_are_whole_or_refused(body, data, coding):
    """Whatever bytes are changed, cut or added: an answer of bounded size, or a reason."""
    packed = bytearray(CODINGS[coding](body))
    for _ in range(data.draw(st.integers(0, 3))):
        place = data.draw(st.integers(0, len(packed)))
        packed[place : place + data.draw(st.integers(0, 5))] = data.draw(st.binary(max_size=5))
    found = expand(bytes(packed), coding, BOUND)
    assert isinstance(found, Rejection) or len(found) <= BOUND


@settings(deadline=None)
@given(st.binary(max_size=400), st.text(max_size=20), st.sampled_from(sorted(CODINGS)))
def test_any_bytes_under_any_name_are_read_or_refused(body, coding, known):
    """Codings that clients make up, too."""
    for codings_ in (coding, known, f"{known},{coding}"):
        found = expand(body, codings_, BOUND)
        assert isinstance(found, bytes | Rejection)


content_types = st.sampled_from(
    [MULTIPART, FORM, "multipart/form-data; boundary=", 'multipart/form-data; boundary="', "application/x-ndjson", "text/plain", "", "a;b;c=;=d"]
) | st.builds(
    "{}; charset={}".format,
    st.sampled_from(["application/json", "text/plain", FORM, MULTIPART, "multipart/form-data"]),
    st.sampled_from(["utf-16", "utf-16le", "latin1", "windows-1258", "koi8-r", '"utf-8"', "☃"]) | words,
)  # fmt: skip


@st.composite
def broken_multiparts(draw):
    """Give a body that `FormData` might have made, with some bytes changed."""
    body = bytearray(multipart(draw(st.dictionaries(words, words, max_size=4)), as_file=draw(st.booleans())))
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(body)))
        body[place : place + draw(st.integers(0, 9))] = draw(
            st.binary(max_size=9) | st.sampled_from([b"\r\n", b"--", BOUNDARY.encode(), b"\r\nContent-Length: 3\r\n", b'; name="', b"charset=utf-7"])
        )  # fmt: skip
    return bytes(body)


@settings(deadline=None)
@given(broken_multiparts() | st.binary(max_size=200), content_types)
@example(b"\xff\xfe", "multipart/form-data; boundary=x")
@example(b"--x\r\nContent-Disposition: form-data; name\r\n\r\n\r\n--x--", "multipart/form-data; boundary=x")
@example(b"--x\r\nContent-Length: " + b"9" * 4_000 + b"\r\n\r\n\r\n--x--", "multipart/form-data; boundary=x")
def test_any_body_is_one_of_four_things(body, content_type):
    """JSON text, lines, a form or a reason: nothing raises, and the pipeline gives each its outcome."""
    found = bodies.read(Head(method="POST", path="/event", content_type=content_type), body, SHAPES, BOUND)
    assert isinstance(found, bytes | bodies.Lines | bodies.Form | Rejection)
    _, decision = decide(post(body, f"{QUERY}&ec=a", content_type=content_type))
    assert decision.verdicts
    assert {each.outcome for each in decision.verdicts} <= {
        Outcome.ACCEPTED,
        Outcome.MALFORMED,
        Outcome.QUARANTINED,
    }
    assert decision.reply.status < 500


@settings(deadline=None)
@given(st.dictionaries(words.filter(bool), words, max_size=6))
def test_forms_and_parts_say_what_was_put_in(fields):
    """Any text, in either of the two, but for line ends in names, which `FormData` escapes."""
    assert fields == parse_query(urlencode(fields))
    assert fields == parse_query(
        "&".join(f"{quote(name)}={quote_plus(each)}" for name, each in fields.items())
    )
    plain = {
        name: each
        for name, each in fields.items()
        if not set(name) & set('\r\n"%\\') and name.strip() == name
    }
    body = multipart(plain)
    found = bodies.read(Head(method="POST", path="/event", content_type=MULTIPART), body, SHAPES, BOUND)
    if isinstance(found, bodies.Form) and not found.text:
        assert joined(plain, 2_000) == found.fields


@settings(deadline=None)
@given(st.text(max_size=60) | st.text("%+u&=0aAfFeE{}[]", max_size=60))
def test_a_query_string_is_read_whatever_is_in_it(text):
    """Where the standard library can read it without loss, both read the same."""
    found = parse_query(text.encode("utf-8", "replace").decode())
    assert all(isinstance(each, str) for pair in found.items() for each in pair)
    joined(found, 2_000)
    theirs = dict(reversed(parse_qsl(text.encode("utf-8", "replace").decode(), keep_blank_values=True)))
    if "%u" not in text and "\ufffd" not in str(theirs):
        theirs.pop("", None)
        assert theirs == found


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=0xFFFF), max_size=20))
def test_what_escape_wrote_is_undone(text):
    """The function of old scripts: `%u1EA1` for what is beyond Latin-1, `%E9` for what is not."""
    units = text.encode("utf-16-be", "surrogatepass")
    codes = [int.from_bytes(units[each : each + 2], "big") for each in range(0, len(units), 2)]
    escaped = "".join(f"%u{code:04X}" for code in codes)
    assert units.decode("utf-16-be", "replace") == decoded(escaped)


names = st.text(max_size=8)
documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda children: st.lists(children, max_size=3) | st.dictionaries(names, children, max_size=3),
    max_leaves=10,
)


@settings(deadline=None)
@given(st.dictionaries(names, documents, max_size=4))
def test_json_is_read_as_it_was_meant(document):
    """Also what only Python writes: halves of characters, and numbers without end."""

    def meant(value):
        if isinstance(value, str):
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        if isinstance(value, bool) or value is None or isinstance(value, float):
            return value
        if isinstance(value, int):
            # Nineteen digits below the smallest are too few to be told from a UID: they are rounded.
            if -(10**19) < value < -(2**63):
                return float(value)
            return value if -(2**63) <= value < 2**64 else str(value)
        if isinstance(value, list):
            return [meant(each) for each in value]
        return {meant(key): meant(each) for key, each in value.items()}

    found = SHAPES.parse(json.dumps(document).encode(), "")
    expected = meant(document)
    assert expected == found or json.dumps(expected, default=str) == json.dumps(found)


@pytest.mark.parametrize("kind", sorted(clothes(event())))
@settings(deadline=None, max_examples=15)
@given(st.dictionaries(st.sampled_from(["ec", "en", "cid", "extra"]), words.filter(str.strip), max_size=3))
def test_the_body_wins_in_any_clothes(kind, said):
    """Whatever the query string says beside it."""
    content_type, body = clothes(event("user", "view", en="body", extra={"a": 1}))[kind]
    query = f"{QUERY}&{urlencode({name: each for name, each in said.items() if name != 'cid'})}"
    sent = forwarded(decide(post(body, query, content_type=content_type))[1])
    assert ("user", "body", 1) == (sent["ec"], sent["en"], sent["extra"]["a"])


@settings(deadline=None)
@given(st.lists(st.text("0123456789", max_size=24) | words, max_size=20), st.integers(0, 12))
def test_long_numbers_are_found_wherever_they_stand(pieces, shift):
    """A run of twenty digits and more, at any place."""
    text = " " * shift + ",".join(pieces)
    assert bool(re.search("[0-9]{20}", text)) == has_long_numbers(text.encode())


@given(
    st.lists(st.sampled_from(["%", "%4", "%41", "%e1%bb%87", "%zz", "4", "1", "ạ", "a", "\ud800"])).map(
        "".join
    )
)
def test_escapes_are_undone_as_the_standard_library_undoes_them(text):
    """Only sooner; half a surrogate, which no bytes are, is a question mark."""
    expected = unquote_to_bytes(text.encode("utf-8", "replace"))
    assert expected == _ESCAPES.sub(_escaped, text.encode("utf-8", "replace"))
    assert isinstance(decoded(text), str)
