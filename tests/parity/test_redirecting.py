"""Every case of the corpus through a real mitmdump that redirects: the same fates, the same events at the collector, the same answers as from the gateway."""

from __future__ import annotations

import asyncio

import pytest

from tests.corpus.case import read_cases
from tests.corpus.live import play_all
from tests.mitmdump import qa_venv
from tests.parity.players import Redirecting

EVERY = {case.name: case for case in read_cases()}
# Why a case about the wire itself can't be the same through a proxy, which has read the request before the addon sees it.
NOT_THROUGH_A_PROXY = {
    "mitmproxy mends what the gateway's gate refuses": (
        "bare_line_feeds", "chunk_extension", "expect_something_else", "folded_header", "get_with_a_body", "nul_in_a_header",
        "too_long_header", "too_many_headers", "version_2_0",
    ),
    "mitmproxy refuses it itself, in its own words": (
        "bad_chunk_size", "blank_before_the_colon", "bom_before_the_request", "chunks_and_more", "length_and_chunks",
        "list_of_lengths", "no_http", "pipelined_before_a_bad_request", "signed_length", "two_lengths",
        "unknown_transfer_coding", "version_0_9", "version_2_preface",
    ),
    "it names another host, or none, so it is no call to the site's tracking name": (
        "host_with_a_path", "hostile_host", "two_hosts", "version_1_0_without_host", "without_host",
    ),
    "the gateway has nothing there, so it goes on to whom it was sent": (
        "dot_segments", "options_star", "options_without_path", "unknown_path",
    ),
}  # fmt: skip
LEFT_OUT = {f"http/{name}" for names in NOT_THROUGH_A_PROXY.values() for name in names}
CASES = {name: case for name, case in EVERY.items() if name not in LEFT_OUT}


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Play all cases through one mitmdump."""
    qa_venv()
    folder = tmp_path_factory.mktemp("redirecting")
    return asyncio.run(play_all(list(CASES.values()), folder, is_fast=True, kind=Redirecting))


@pytest.mark.parametrize("name", CASES)
def test_mitmdump_does_what_the_case_says(name, seen):
    """So do the collector, the quarantine, the log and the client."""
    case = CASES[name]
    assert case.path.read_text(encoding="utf-8") == case.text(seen.blocks[name])


def test_no_case_is_a_fault(seen):
    """Nothing in the log of the gateway inside is of a fault of ours, or a traceback; what mitmproxy says stands there too."""
    assert not [line for line in seen.faults if '"event":"library"' not in line]


def test_no_case_is_left_out_by_chance():
    """Those that are left out are named, each is a case about the wire alone, and all others are played."""
    assert LEFT_OUT <= {name for name, case in EVERY.items() if case.is_live_only}
    assert len(EVERY) - 31 == len(CASES)
    assert len(CASES) >= 299
