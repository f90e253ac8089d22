"""Assets as they leave: which coding, which validator, and what a client has already."""

from __future__ import annotations

import gzip

import brotli
import pytest
from backports import zstd

from gateway.assets.negotiation import chosen_coding, has_tag
from gateway.assets.served import JAVASCRIPT, Served

SOURCE = b"window.web_event = window.web_event || {};\n" * 200
DECODERS = {"br": brotli.decompress, "zstd": zstd.decompress, "gzip": gzip.decompress}


@pytest.fixture(scope="module")
def served():
    return Served(SOURCE, JAVASCRIPT)


def headers(reply):
    return dict(reply.headers)


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip, deflate", "gzip"),
        ("zstd;q=1, br;q=0.9", "zstd"),
        ("gzip;q=0.5", "gzip"),
        ("identity, gzip;q=0.5", "identity"),
        ("br;q=0, gzip", "gzip"),
        ("BR ; Q=1.000", "br"),
        ("x-gzip", "gzip"),
        ("*", "br"),
        ("*;q=0.1, gzip;q=0.2", "gzip"),
        ("br;q=0, *", "zstd"),
        ("", "identity"),
        ("deflate", "identity"),
        ("gzip;q=2", "identity"),
        ("gzip;level=9", "identity"),
        (",,;,", "identity"),
        ("identity;q=0, gzip", "gzip"),
        ("*;q=0, zstd;q=0.1", "zstd"),
        ("identity;q=0", None),
        ("*;q=0", None),
        ("*;q=0, identity;q=0.1", "identity"),
        ("gzip;q=0, br;q=0, zstd;q=0, identity;q=0", None),
    ],
)
def test_a_client_gets_the_coding_that_it_wants_most(header, coding):
    """By weight, then by size; `identity` is fine unless it is refused."""
    assert coding == chosen_coding(header, ("br", "zstd", "gzip"))


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip"])
def test_every_coding_gives_the_same_content(served, coding):
    """What arrives is what was put there, in fewer bytes, and says how it is coded."""
    reply = served.answer(coding, "")
    assert (200, coding, "Accept-Encoding") == (
        reply.status,
        headers(reply)["Content-Encoding"],
        headers(reply)["Vary"],
    )
    assert SOURCE == DECODERS[coding](reply.body)
    assert len(reply.body) < len(SOURCE) / 20


def test_each_coding_has_a_strong_validator_of_its_own(served):
    """A strong ETag names bytes: two codings of one content must not share it."""
    tags = {headers(served.answer(coding, ""))["ETag"] for coding in ("br", "zstd", "gzip", "identity")}
    assert 4 == len(tags)
    assert all(tag.startswith('"') for tag in tags)
    assert tags.isdisjoint({headers(Served(SOURCE + b" ", JAVASCRIPT).answer("br", ""))["ETag"]})


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', 'W/"a,b" , W/{}', "{}, *", '"", {}'])
@pytest.mark.parametrize("coding", ["br", "identity"])
def test_who_has_this_version_is_told_so(served, form, coding):
    """Lists, weak tags: the answer is 304 without a body, with the tag that the client named."""
    tag = headers(served.answer(coding, ""))["ETag"]
    reply = served.answer("br", form.format(tag))
    assert (304, b"", tag) == (reply.status, reply.body, headers(reply)["ETag"])
    assert {"Cache-Control", "Vary"} <= headers(reply).keys()
    assert "Content-Encoding" not in headers(reply)


@pytest.mark.parametrize("header", ['"other"', "", "W/", "other", '"unclosed', "x" * 5_000])
def test_who_has_another_version_gets_this_one(served, header):
    """What can't be read names nothing."""
    assert 200 == served.answer("", header).status


def test_a_star_means_whatever_there_is(served):
    """`If-None-Match: *` is true of any version."""
    assert 304 == served.answer("", " * ").status
    assert "" == has_tag("*", ())


def test_who_refuses_every_form_is_told_so(served):
    """`identity;q=0` and nothing else: there is no form to send."""
    assert 406 == served.answer("identity;q=0", "").status


def test_what_does_not_shrink_is_sent_as_it_is():
    """An image or a word: no coding, and no `Vary` for caches to heed."""
    reply = Served(b"/**/", JAVASCRIPT).answer("br, gzip", "")
    assert (200, b"/**/") == (reply.status, reply.body)
    assert headers(reply).keys().isdisjoint({"Vary", "Content-Encoding"})


def test_an_answer_is_a_look_up(served):
    """The same request gets the same reply, which nothing was computed for."""
    assert served.answer("gzip, deflate, br", "") is served.answer("gzip, deflate, br", "")


def test_what_is_made_in_haste_is_the_same_in_fewer_codings(served):
    """It is replaced by the better one in a moment: a gzip copy that somebody has stays good."""
    hasty = Served(SOURCE, JAVASCRIPT, in_haste=True)
    assert served.answer("gzip", "") == hasty.answer("gzip, br, zstd", "")
