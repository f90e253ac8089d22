"""Every case of the corpus through the gateway that the QA addon asks: the same fates, the same events, the same answers as from the gateway itself."""

from __future__ import annotations

import asyncio

import pytest

from tests.corpus.case import read_cases
from tests.parity.players import play_inside

CASES = {case.name: case for case in read_cases() if not case.is_live_only}


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """Play all cases through one gateway without sockets."""
    return asyncio.run(play_inside(list(CASES.values()), tmp_path_factory.mktemp("inside")))


@pytest.mark.parametrize("name", CASES)
def test_the_gateway_without_sockets_does_what_the_case_says(name, seen):
    """Events, their fates and the answer are those of the file."""
    case = CASES[name]
    assert case.path.read_text(encoding="utf-8") == case.text(seen[name])


def test_no_case_is_left_out():
    """All but those about the wire itself are played."""
    assert len(CASES) >= 263
