"""Every case of the corpus through a real mitmdump that redirects: the same fates, the same events at the collector, the same answers as from the gateway."""

from __future__ import annotations

import asyncio

import pytest

from tests.corpus.case import read_cases
from tests.corpus.live import play_all
from tests.mitmdump import qa_venv
from tests.parity.players import Redirecting

EVERY = {case.name: case for case in read_cases()}
CASES = {name: case for name, case in EVERY.items() if not case.is_live_only}


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


def test_no_case_is_left_out():
    """All but those about the wire itself are played."""
    assert len(CASES) >= 263
