"""What the gateway reads beside its settings: what is wrong with it is told for as long as it is, and ends no worker that is started again."""

from __future__ import annotations

import contextlib

import pytest

from gateway.plans.keeper import PlanKeeper
from gateway.plans.reading import PlanUnusable
from gateway.plugins.contract import PluginsUnusable
from gateway.surroundings import look_ahead, open_world
from tests.builders import PORTAL_ID, PROP_ID, event, make_settings

STRICT = '[[events]]\nevent = "a/b"\n[events.fields]\n"extra.n" = { required = true }\n'


class Book:
    """A journal that keeps what it is told."""

    def __init__(self):
        self.lines = []

    def warned(self, name, **fields):
        self.lines.append((name, fields))

    trouble = changed = warned


class Numbers:
    """Metrics that nobody looks at."""

    def geo_age(self, _):
        pass


@contextlib.asynccontextmanager
async def opened(tmp_path, **sections):
    """Give a world as one of a gateway's processes opens it, what is wrong with it by part, and the names of the log's lines."""
    book = Book()
    settings = make_settings(data_dir=tmp_path, geo={"enabled": False}, **sections)
    async with contextlib.AsyncExitStack() as stack:
        world, others = await open_world(settings, book, Numbers(), stack, is_first=True)

        def troubles():
            return {part: what for part, trouble in others.items() if (what := trouble())}

        yield world, troubles, [name for name, _ in book.lines]


async def test_nothing_is_wrong_with_what_is_well(tmp_path):
    """Then readiness has no warnings."""
    async with opened(tmp_path, network={"client_address": "hash"}) as (_, troubles, lines):
        assert ({}, []) == (troubles(), lines)


async def test_what_can_not_be_kept_is_told_for_as_long_as_it_can_not(tmp_path):
    """The salt of the day and the table of duplicates, where something else stands in their place."""
    (tmp_path / "address.salt").mkdir()
    (tmp_path / "duplicates").touch()
    async with opened(tmp_path, network={"client_address": "hash"}) as (world, troubles, _):
        assert b"" == world.salt(0)
        told = troubles()
        assert {"addresses", "duplicates"} == set(told)
        assert "addresses are dropped" in told["addresses"]
        assert str(tmp_path / "duplicates") in told["duplicates"]
        (tmp_path / "address.salt").rmdir()
        assert world.salt(86_400_000)
        assert {"duplicates"} == set(troubles())


async def test_a_worker_that_is_started_again_goes_on_without_a_plan_that_was_broken_meanwhile(tmp_path):
    """An only process does not start with it, nor does a gateway with several workers; the standard rules hold all the same."""
    plan = tmp_path / "plan.toml"
    plan.write_text("garbage")
    asked = {"tracking_plan": {"file": str(plan)}}
    with pytest.raises(PlanUnusable):
        async with opened(tmp_path, **asked):
            pass
    with pytest.raises(PlanUnusable):
        look_ahead(make_settings(**asked))
    async with opened(tmp_path, server={"workers": 2}, **asked) as (world, troubles, lines):
        assert ["tracking_plan_refused"] == lines
        assert "standard rules alone" in troubles()["plan"]
        assert world.judge(PORTAL_ID, PROP_ID, event("product", "purchase"))


async def test_a_worker_that_is_started_again_goes_on_without_a_plugin_that_is_gone(tmp_path):
    """A gateway is not started without it."""
    asked = {"plugins": {"enabled": ["nowhere"]}}
    with pytest.raises(PluginsUnusable):
        look_ahead(make_settings(**asked))
    async with opened(tmp_path, server={"workers": 2}, **asked) as (world, troubles, lines):
        assert world.hook is None
        assert ["plugins_not_called"] == lines
        assert "nowhere" in troubles()["plugins"]


async def test_a_plan_is_taken_when_the_schema_comes_that_it_names(tmp_path):
    """The plan's own file does not change again then."""
    plan, schema = tmp_path / "plan.toml", tmp_path / "schema.json"
    plan.write_text(STRICT)
    book = Book()
    keeper = PlanKeeper(make_settings(tracking_plan={"file": str(plan), "standard": "off"}), book)
    assert 1 == len(keeper.judge(PORTAL_ID, PROP_ID, event("a", "b")))
    plan.write_text('[[events]]\nevent = "a/b"\nschema_file = "schema.json"\n')
    await keeper.look()
    assert "schema.json" in keeper.trouble()
    schema.write_text('{"required": ["extra", "items"]}')
    await keeper.look()
    assert ["tracking_plan_refused", "tracking_plan_taken"] == [name for name, _ in book.lines]
    assert "" == keeper.trouble()
    assert ["extra", "items"] == [each.field for each in keeper.judge(PORTAL_ID, PROP_ID, event("a", "b"))]
    await keeper.look()
    assert 2 == len(book.lines)


async def test_a_plan_that_is_mended_is_held_to_by_a_worker_that_began_without_any(tmp_path):
    """Also where there are no standard rules."""
    plan = tmp_path / "plan.toml"
    plan.write_text("garbage")
    keeper = PlanKeeper(
        make_settings(tracking_plan={"file": str(plan), "standard": "off"}), Book(), goes_on=True
    )
    assert keeper.is_needed
    assert not keeper.judge(PORTAL_ID, PROP_ID, event("a", "b"))
    plan.write_text(STRICT)
    await keeper.look()
    assert 1 == len(keeper.judge(PORTAL_ID, PROP_ID, event("a", "b")))
