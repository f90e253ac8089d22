"""ua-parser's own test cases, all of them, against our wiring of its rules."""

from __future__ import annotations

import json
import lzma
from pathlib import Path

import pytest

from gateway.events.device import Devices

CASES = Path(__file__).parents[1] / "user_agents"
# What the rules say where they know nothing: no maker and no model to us.
NOBODYS = ("Generic", "Spider")
# The rules of today know the model, those that the cases came with did not.
MOVED_ON = "Mozilla/5.0 (X11; Linux armv7l) CrKey/1"
NO_MODEL = {"K", "Smartphone", "Tablet", "Feature Phone", "Desktop"}


def cases(name):
    with lzma.open(CASES / f"uap_{name}.jsonl.xz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module")
def read():
    devices = Devices()
    return lambda agent: dict(devices.device(agent[:512]))


@pytest.mark.parametrize(("name", "block", "count"), [("ua", "browser", 1460), ("os", "os", 468)])
def test_browsers_and_systems_are_called_as_the_rules_own_cases_call_them(read, name, block, count):
    """Family, major and minor version of every case."""
    every = cases(name)
    expected = [(agent, family, ".".join(filter(None, parts))) for agent, family, *parts in every]
    told = [(agent, read(agent).get(block, {})) for agent, *_ in every]
    assert expected == [(agent, each.get("name", "Other"), each.get("version", "")) for agent, each in told]
    assert count == len(every)


def test_devices_are_called_as_the_rules_own_cases_call_them(read):
    """Maker and model of every case; but for the words that the rules have for not knowing them."""
    every = cases("device")
    wrong = []
    for agent, _, brand, model in every:
        known = (
            None if (brand or "").startswith(NOBODYS) else brand,
            None if model in NO_MODEL else model,
        )
        device = read(agent).get("device", {})
        if agent != MOVED_ON and known != (device.get("brand"), device.get("model")):
            wrong.append((agent, known, device))
    assert [] == wrong
    assert len(every) == 16_124
