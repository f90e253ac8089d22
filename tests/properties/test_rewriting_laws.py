"""Laws of rewriting: hosts in any script, however they are written, and nothing else."""

from __future__ import annotations

import re
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.assets.rewriting import Rewriting

OWN = "https://track.shop.example"
HOSTS = ("a.cdp.asia", "ap2-a.cdp.asia", "sandbox-a.cdp.asia", "st-a.cdp.asia", "sandbox-st-a.cdp.asia")
REWRITING = Rewriting(dict.fromkeys(HOSTS, OWN))
BEFORE = (
    "https://",
    "http://",
    "//",
    r"https:\/\/",
    r"\/\/",
    "https%3A%2F%2F",
    r"\u002f\u002f",
    '"',
    "'",
    "`",
    "(",
    " ",
    "=",
    ",",
    "}",
)
AFTER = ("/event", r"\/event", '"', "'", "`", ")", " ", "?x=1", "#", "%2F", "\\u002f", ";", ". ", "&", "")
ALIKE = (
    "xa.cdp.asia",
    "a.cdp.asia.evil",
    "a.cdp.asiax",
    "me@a.cdp.asia",
    "b-a.cdp.asia",
    "a-cdp.asia",
    "a.cdp.asia-b",
    "cdp.asia",
    "1a.cdp.asia",
)
# Joined by what no name goes on with, so that each stands for itself.
SEAM = st.sampled_from(("\n", " ; ", '";"', "\t"))
FILLING = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\\%@"), max_size=12)


@st.composite
def scripts(draw):
    """A script as pieces: each with what it must become."""
    pieces = []
    for _ in range(draw(st.integers(0, 8))):
        kind = draw(st.sampled_from(("host", "alike", "filling")))
        if kind == "host":
            before, after, host = (
                draw(st.sampled_from(BEFORE)),
                draw(st.sampled_from(AFTER)),
                draw(st.sampled_from(HOSTS)),
            )
            pieces.append(
                (f"{before}{host}{after}", f"{before.replace('http:', 'https:')}track.shop.example{after}")
            )
        else:
            text = draw(st.sampled_from(ALIKE) if kind == "alike" else FILLING)
            pieces.append((text, text))
        seam = draw(SEAM)
        pieces.append((seam, seam))
    return pieces


@settings(max_examples=300, deadline=None)
@given(scripts())
def test_hosts_become_the_own_name_and_all_else_stays(pieces):
    """Piece by piece, whatever stands beside it."""
    given_, expected = ("".join(each) for each in zip(*pieces, strict=True)) if pieces else ("", "")
    assert expected.encode() == REWRITING.apply(given_.encode()).content


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(HOSTS), st.binary(max_size=60))
def test_any_bytes_stay_around_a_host(before, host, after):
    """Whatever the encoding: what is not a host comes out as it went in, and a second pass finds nothing more."""
    content = before + host.encode() + after
    once = REWRITING.apply(content)
    assert once.content == REWRITING.apply(once.content).content
    assert sum(once.counts.values()) == once.content.count(b"track.shop.example") - content.count(
        b"track.shop.example"
    )
    assert before[: max(0, len(before) - 32)] == once.content[: max(0, len(before) - 32)]


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=200))
def test_a_script_without_the_vendors_domain_is_left_alone(text):
    """Byte for byte."""
    content = re.sub(rb"(?i)cdp", b"", text.encode())
    assert (content, {}, {}) == REWRITING.apply(content)


def test_time_grows_with_the_script_alone():
    """Text that nearly is a host, again and again, costs a second at most: minutes would be a loop in a loop."""
    began = time.process_time()
    for text in (b"a.cdp.asi", b"https:" * 4, b"sandbox-", b"a.cdp.asia.", b"\\/", b"%2F", b"a-a-a-."):
        REWRITING.apply(text * (500_000 // len(text)))
    assert time.process_time() - began < 20
