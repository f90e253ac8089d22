"""Plugins: found by their entry points, called with a copy, and contained whatever they do."""

from __future__ import annotations

import sys
import time

import orjson
import pytest

from gateway.events.pipeline import Pipeline
from gateway.events.world import World
from gateway.plugins import Context
from gateway.plugins.contract import PluginsUnusable
from gateway.plugins.finding import find_plugins
from gateway.plugins.running import PluginRunner
from gateway.plugins.watchdog import BrokenOff, Watchdog
from tests import plugin_package
from tests.builders import PORTAL_ID, PROP_ID, decide, event, forwarded, make_settings, post


class Book:
    """A journal that keeps what it is told."""

    def __init__(self):
        self.lines = []

    def warned(self, name, **fields):
        self.lines.append((name, fields))

    trouble = warned


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The package, as if pip had installed it."""
    monkeypatch.syspath_prepend(plugin_package.install(tmp_path / "site"))
    yield
    sys.modules.pop("shop_plugins", None)


@pytest.fixture
def runner_of(installed):
    """Give a runner of plugins, and its book; it gives the timer back at the end."""
    runners = []

    def make(*names, **plugins):
        book = Book()
        found = [each if isinstance(each, tuple) else find_plugins([each])[0] for each in names]
        plugins = {"budget_ms": 1_000, **plugins}
        runners.append(PluginRunner(found, make_settings(plugins=plugins), book))
        return runners[-1], book

    yield make
    for each in runners:
        each.close()


def called(runner, fields):
    return runner.hook(PORTAL_ID, PROP_ID, fields, 1, is_server=False)


def test_the_example_of_the_docs_changes_the_event(runner_of):
    """It knows whose event it is; the event that it was given stays as it was."""
    runner, book = runner_of("brand")
    fields = event()
    hooked = called(runner, fields)
    assert "Shoes & Co" == hooked.fields["extra"]["brand"]
    assert ("changed",) == hooked.results
    assert "extra" not in fields
    assert [] == book.lines


def test_plugins_run_in_the_order_of_the_settings(runner_of):
    """Each on what the one before has left; `None` leaves it."""
    runner, _ = runner_of("mail", "brand")
    hooked = called(runner, event(extra={"mail": "x"}))
    assert ({"brand": "Shoes & Co"}, {"customers": {"email": "x"}}) == (hooked.fields["extra"], hooked.fields["dims"])  # fmt: skip
    assert ("unchanged", "changed") == called(runner, event()).results


@pytest.mark.parametrize(
    ("action", "result"),
    [
        ("raise", "raised"), ("exit", "raised"), ("text", "refused"), ("uid", "refused"), ("no_uid", "refused"), ("set", "refused"),
        ("nameless", "refused"), ("typed", "refused"), ("large", "refused"), ("hang", "broken_off"), ("stubborn", "broken_off"),
    ],
)  # fmt: skip
def test_an_event_goes_on_untouched_when_a_plugin_fails(runner_of, action, result):
    """Half of its work is none of it; the log has the kind of failure and the place, and nothing of the event."""
    runner, book = runner_of("troubled", limit_ms=100)
    hooked = called(runner, event("a", action, extra={"mail": "jane@example.com"}))
    assert (None, (result,)) == hooked
    (name, fields), = book.lines  # fmt: skip
    assert ("plugin_failed", "troubled", result) == (name, fields["plugin"], fields["result"])
    assert "jane" not in repr(book.lines)


def test_what_a_plugin_gives_back_is_bounded_like_what_clients_send(runner_of):
    """Also what could not be written out at all."""
    assert ("refused",) == called(runner_of("endless")[0], event()).results


def test_a_plugin_that_leaves_the_event_leaves_no_half_change(runner_of):
    """It changed what it was given and gave back `None`: the event stays as it came."""
    assert (None, ("unchanged",)) == called(runner_of("troubled")[0], event("a", "none"))


def test_a_plugin_keeps_no_hand_on_an_event(runner_of):
    """What it changes after it has given the event back changes nothing."""
    kept = []
    runner, _ = runner_of(("keeps", lambda event, _: kept.append(event) or event))
    fields = called(runner, event(extra={"a": 1})).fields or event(extra={"a": 1})
    kept[0]["extra"]["a"] = 2
    assert 1 == fields["extra"]["a"]


def test_a_plugin_that_fails_too_often_is_switched_off_with_one_line(runner_of):
    """Events go on without it, and cost no call."""
    runner, book = runner_of("troubled", max_failures_per_minute=3)
    results = [called(runner, event("a", "raise")).results for _ in range(5)]
    assert [("raised",)] * 3 + [()] * 2 == results
    assert ["plugin_failed", "plugin_off"] == [name for name, _ in book.lines]


def test_failures_that_are_far_between_switch_nothing_off(installed):
    """So many in a minute, not in a life."""
    now = [0.0]
    book = Book()
    runner = PluginRunner(find_plugins(["troubled"]), make_settings(plugins={"max_failures_per_minute": 2}), book, lambda: now[0])  # fmt: skip
    try:
        for _ in range(5):
            now[0] += 61
            assert ("raised",) == called(runner, event("a", "raise")).results
    finally:
        runner.close()


def test_a_slow_plugin_does_its_work_and_is_counted(runner_of):
    """Its answer is used; that it was too slow is a failure all the same."""
    runner, book = runner_of("troubled", budget_ms=1)
    hooked = called(runner, event("a", "slow"))
    assert (("slow",), {"half": "done"}) == (hooked.results, hooked.fields["extra"])
    assert "plugin_failed" == book.lines[0][0]


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("brnd", "no such entry point"),
        ("gone", "can't be imported"),
        ("later", "is async"),
        ("alone", "can't be called with an event and a context"),
        ("list", "is no function"),
    ],
)
def test_a_plugin_that_can_not_be_used_is_refused_at_the_start(installed, name, cause):
    """By name, with the mend."""
    with pytest.raises(PluginsUnusable, match=cause) as refused:
        find_plugins([name])
    assert refused.value.hint


def test_the_alarm_rings_in_its_call_alone():
    """Before and after it nothing is broken off."""
    dog = Watchdog(0.05)
    try:
        with pytest.raises(BrokenOff):
            dog.run(time.sleep, 30)
        assert 5 == dog.run(lambda: 5)
    finally:
        dog.close()


def test_what_a_plugin_makes_an_address_is_hashed(runner_of):
    """Protection follows: the customer is found in it, and the raw address goes nowhere."""
    runner, _ = runner_of("mail")
    line = Pipeline(make_settings(), World(hook=runner.hook))
    _, decision = decide(post(event("user", "sign_in", extra={"mail": "jane@example.com"})), pipeline=line)
    assert decision.verdicts[0].cid
    assert b"jane" not in orjson.dumps(forwarded(decision))
    assert ("plugin", "changed") in decision.verdicts[0].tallies


def test_the_context_is_told_by_name():
    """What a plugin may rely on."""
    assert ("portal_id", "prop_id", "now_ms", "is_server") == Context._fields
