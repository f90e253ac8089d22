"""Content codings: what is undone, what is refused, and how much of it is ever in memory."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time

import brotli
import pytest

from gateway.events.coding import expand
from gateway.events.outcome import Reason
from tests.encodings import CODINGS, zstd

TEXT = b'{"ec":"pageview","ea":"view","extra":{"title":"\xc3\x81o d\xc3\xa0i"}}' * 20
COMPRESSED = sorted(set(CODINGS) - {"", "identity", "UTF-8"})


@pytest.mark.parametrize("coding", CODINGS)
def test_every_coding_gives_the_body_back(coding):
    """Alone, behind each other, in pieces, in any case, taken for the charset's header, and with a body that just fits."""
    assert TEXT == expand(CODINGS[coding](TEXT), coding, len(TEXT))
    assert b"" == expand(b"", coding, 10)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [65_535, 65_537, 98_273, 250_000, 1_048_576])
@pytest.mark.parametrize("piece", [b'{"ec":"product","ea":"view","n":%d},', b"x"], ids=["queue", "same"])
def test_an_offline_queue_of_any_size_comes_back_whole(coding, size, piece):
    """A decoder may have read all of it, and still hold most of what it expands to."""
    body = b"".join(piece % number if b"%d" in piece else piece for number in range(size // len(piece) + 1))[
        :size
    ]
    assert body == expand(CODINGS[coding](body), coding, 1_048_576)


@pytest.mark.parametrize("coding", COMPRESSED)
def test_a_body_that_expands_beyond_the_bound_is_too_large(coding):
    """By one byte, too; and the answer says the bound."""
    found = expand(CODINGS[coding](TEXT), coding, len(TEXT) - 1)
    assert (Reason.TOO_LARGE, "(body)") == (found.reason, found.field)
    assert str(len(TEXT) - 1) in found.detail


@pytest.mark.parametrize("coding", COMPRESSED)
@pytest.mark.parametrize(
    "damage",
    [
        lambda body: body[:-1],
        lambda body: body[: len(body) // 2],
        lambda body: body[:1],
        lambda body: body + b"{}",
        lambda _: TEXT,
        lambda _: os.urandom(200),
    ],
)
def test_a_body_that_is_not_whole_is_refused_whole(coding, damage):
    """Cut short, followed by something, or not compressed at all: no half of an event is taken."""
    found = expand(damage(CODINGS[coding](TEXT)), coding, 10_000)
    assert (Reason.BAD_BODY, "(body)") == (found.reason, found.field)


@pytest.mark.parametrize(
    "codings", ["compress", "gzip, lzma", "aws-chunked", "gzip;q=1", "gzip,gzip,gzip,gzip"]
)
def test_a_coding_that_is_not_known_is_named_with_those_that_are(codings):
    """And so are more of them than anybody needs."""
    found = expand(TEXT, codings, 10_000)
    assert (Reason.UNKNOWN_CODING, "Content-Encoding") == (found.reason, found.field)
    assert "gzip, deflate, br, zstd" in found.detail


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_ten_thousand_empty_pieces_are_refused_at_once(coding):
    """Each would leave a copy of the rest behind it."""
    body = CODINGS[coding](b"") * 50_000
    started = time.process_time()
    assert Reason.BAD_BODY is expand(body, coding, 1_048_576).reason
    assert time.process_time() - started < 1


def test_a_window_larger_than_browsers_may_ask_for_is_refused():
    """A zstd frame can ask for gigabytes before its first byte."""
    options = {
        zstd.CompressionParameter.window_log: 27,
        zstd.CompressionParameter.enable_long_distance_matching: 1,
    }
    stream = zstd.ZstdCompressor(options=options)
    body = stream.compress(TEXT, mode=zstd.ZstdCompressor.FLUSH_BLOCK) + stream.flush()
    assert Reason.BAD_BODY is expand(body, "zstd", 1_048_576).reason


BOMB = """
import resource, sys
from gateway.events.coding import expand
body, coding = sys.stdin.buffer.read(), sys.argv[1]
expand(b"", coding, 1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(3):
    assert expand(body, coding, 1_048_576).reason == "too_large"
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "gzip, gzip"])
def test_a_bomb_takes_no_more_than_the_bound_and_a_window(coding):
    """A gigabyte of zeros costs a few megabytes, whatever it is packed in."""
    zeros = b"\0" * 100_000_000
    pack = {"gzip": gzip.compress, "br": lambda body: brotli.compress(body, quality=1), "zstd": zstd.compress}
    body = zeros
    for name in coding.split(", "):
        body = pack[name](body)
    run = subprocess.run(
        [sys.executable, "-c", BOMB, coding], input=body, capture_output=True, check=True, timeout=60
    )
    # The bound, zstd's or brotli's window of up to 8 MB and 16 MB, and what the allocator keeps.
    assert int(run.stdout) < 40_000
