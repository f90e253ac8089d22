"""Under which names a part is found, now and later, and what a person reads when names can't be."""

from __future__ import annotations

import asyncio
import re

import pytest
from pydantic import ValidationError

from gateway.assets.own import OwnScript
from gateway.events.model import Head, Reply, Request
from gateway.names import Names
from gateway.settings_paths import EVENT, ICON, PPID, SCRIPT, STREAM_EVENT, Paths
from gateway.telemetry.metrics import Metrics
from gateway.web import directory as directories
from gateway.web.directory import Directory

DAY_MS = 86_400_000
KEY = "a:0123456789abcdef"
ROTATING = {"keys": (KEY,), "rotate_days": 7}


def paths_of(names, usual):
    return [name.path for name in names.of(usual)]


def test_a_part_without_other_names_has_its_usual_one():
    """The defaults are what every page knows."""
    names = Names(Paths(), 0)
    for usual in (SCRIPT, EVENT, STREAM_EVENT, PPID, ICON, "/webpush.js"):
        assert [usual] == paths_of(names, usual)
        assert usual == names.told(usual)
    assert not names.rotates


def test_the_first_name_is_told_and_all_are_served():
    """A new name goes in front, an old one stays until it is taken out; the usual one stays too."""
    names = Names(Paths(script=("/b.js", "/a.js"), assets={"/webpush.js": ("/w.js",)}), 0)
    assert ["/b.js", "/a.js", "/insight.js"] == paths_of(names, SCRIPT)
    assert ["/w.js", "/webpush.js"] == paths_of(names, "/webpush.js")
    assert ("/b.js", "/event") == (names.told(SCRIPT), names.told(EVENT))


def test_a_prefix_stands_before_every_name():
    """The usual names are served below it and without it; those below an old one too; the icon stays where browsers look."""
    names = Names(Paths(prefix="/x7", old_prefixes=("/x6", ""), event=("/e",)), 0)
    expected = ["/x7/e", "/x7/event", "/x6/e", "/x6/event", "/e", "/event"]
    assert expected == paths_of(names, EVENT)
    assert "/x7/insight.js" == names.told(SCRIPT)
    assert [ICON] == paths_of(names, ICON)


def test_without_the_default_names_only_listed_ones_are_served():
    """What has no name then is not to be reached at all."""
    names = Names(Paths(prefix="/x7", script=("/a.js",), event=("/e",), default_names=False), 0)
    assert (["/x7/a.js"], ["/x7/e"]) == (paths_of(names, SCRIPT), paths_of(names, EVENT))
    assert ([], [ICON]) == (paths_of(names, PPID), paths_of(names, ICON))


def test_rotated_names_follow_from_the_secret_and_the_time():
    """Every machine gives the same ones; another secret gives others; nobody tells one part's from another's."""
    names = [Names(Paths(**ROTATING), 7 * DAY_MS * 100 + moment) for moment in (0, 7 * DAY_MS - 1)]
    assert paths_of(names[0], EVENT) == paths_of(names[1], EVENT)
    told = names[0].told(EVENT)
    assert re.fullmatch(r"/[a-z2-7]{10}", told)
    assert told != names[0].told(STREAM_EVENT)
    other = Names(Paths(keys=("a:fedcba9876543210",), rotate_days=7), 7 * DAY_MS * 100)
    assert told != other.told(EVENT)
    assert "/insight.js" == names[0].told(SCRIPT)
    with_script = Names(Paths(**ROTATING, rotate_script=True), 0).told(SCRIPT)
    assert re.fullmatch(r"/[a-z2-7]{10}\.js", with_script)


def test_a_name_is_served_from_a_period_before_it_is_told_until_long_after():
    """Pages stay open, copies stay in caches, and clocks differ."""
    paths = Paths(**ROTATING, keep_days=30)
    told = Names(paths, 100 * 7 * DAY_MS).told(EVENT)
    kept = [period for period in range(90, 115) if told in paths_of(Names(paths, period * 7 * DAY_MS), EVENT)]
    # 30 days are five periods at most.
    assert list(range(99, 106)) == kept


def test_a_new_secret_comes_in_before_it_is_used():
    """The first one makes what is told; what any of them makes is served."""
    old, new = "a:0123456789abcdef", "b:fedcba9876543210"
    before = Names(Paths(keys=(old,), rotate_days=1), 0).told(EVENT)
    after = Names(Paths(keys=(new,), rotate_days=1), 0).told(EVENT)
    rolling = Names(Paths(keys=(old, new), rotate_days=1), 0)
    assert before == rolling.told(EVENT)
    assert after in paths_of(rolling, EVENT)


@pytest.mark.parametrize(
    ("given", "key", "hint"),
    [
        ({"prefix": "x7"}, "prefix", "absolute path"),
        ({"prefix": "/x7/"}, "prefix", "absolute path"),
        ({"script": ("/a b.js",)}, "script", "absolute path"),
        ({"script": ("/%41.js",)}, "script", "absolute path"),
        ({"script": ("/" + "a" * 128,)}, "script", "at most 128"),
        ({"event": ("/a/../b",)}, "event", "leave out"),
        ({"event": ("/./b",)}, "event", "leave out"),
        ({"event": ("/metrics",)}, "event", "another meaning"),
        ({"ppid": ("/favicon.ico",)}, "ppid", "another meaning"),
        ({"event": ("/e",), "stream_event": ("/e",)}, "default_names", "both /event and /stream_event"),
        ({"event": ("/insight.js",)}, "default_names", "both /insight.js and /event"),
        ({"event": ("/e", "/e")}, "default_names", "twice"),
        ({"prefix": "/a", "old_prefixes": ("/a",)}, "default_names", "twice"),
        ({"prefix": "/a", "old_prefixes": ("/a/b",), "event": ("/b/e",), "ppid": ("/e",)}, "default_names", "/a/b/e"),
        ({"assets": {"/w.js": ("/ppid",)}}, "default_names", "both /ppid and /w.js"),
        (
            {"script": [f"/{n}.js" for n in range(16)], "event": [f"/{n}" for n in range(16)], "old_prefixes": [f"/p{n}" for n in range(7)]},
            "default_names",
            "these are 288 paths",
        ),
        ({"assets": {"/insight.js": ("/a.js",)}}, "assets", "paths.script"),
        ({"default_names": False}, "default_names", "paths.script ="),
        ({"default_names": False, "script": ("/a.js",)}, "default_names", "paths.event ="),
        ({"rotate_days": 1}, "rotate_days", "paths.keys"),
        ({"rotate_script": True}, "rotate_script", "paths.rotate_days"),
    ],
)  # fmt: skip
def test_names_that_can_not_be_are_refused(given, key, hint):
    """The error names the key and what to write instead."""
    with pytest.raises(ValidationError) as caught:
        Paths(**given)
    [detail] = caught.value.errors()
    assert key == detail["loc"][0]
    assert hint in detail["msg"]


class Echo:
    """An endpoint that says under which path it was asked."""

    methods = ("GET",)
    max_body_bytes = 7

    def answer(self, request, answer):
        answer(Reply(200, (), request.head.path.encode()))


def asked(directory, path):
    replies = []
    directory.table[path].answer(Request(Head(method="GET", path=path)), replies.append)
    return replies[0].body.decode()


def test_the_table_has_every_name_and_counts_which_is_used():
    """So one sees when nobody uses an old name any more; a part with one name is not counted."""
    metrics = Metrics()
    names = Names(Paths(event=("/e2", "/e1")), 0)
    directory = Directory({EVENT: Echo(), PPID: Echo()}, names, metrics.path_counter)
    assert {"/e2", "/e1", "/event", "/ppid"} == set(directory.table)
    assert {(("GET",), 7)} == {(each.methods, each.max_body_bytes) for each in directory.table.values()}
    for path in ("/e1", "/e1", "/ppid"):
        assert path == asked(directory, path)

    def counted(name):
        labels = {"part": EVENT, "name": name}
        return metrics.registry.get_sample_value("tracking_gateway_path_requests_total", labels)

    assert (0, 2, 0) == tuple(map(counted, ("/e2", "/e1", "/event")))
    assert b'part="/ppid"' not in metrics.exposition()


def test_the_table_goes_with_the_time():
    """New names come in, those that are too old go, and the dictionary stays the same; few series count them."""
    metrics = Metrics()
    paths = Paths(**ROTATING, keep_days=7)
    first, second, later = (Names(paths, days * DAY_MS) for days in (0, 8, 40))
    assert (True, False) == (first.hold_at(6 * DAY_MS), first.hold_at(8 * DAY_MS))
    directory = Directory({EVENT: Echo()}, first, metrics.path_counter)
    table, told = directory.table, first.told(EVENT)
    directory.turn(second)
    assert told != second.told(EVENT)
    assert told == asked(directory, told)
    directory.turn(later)
    assert table is directory.table
    assert told not in table
    assert later.told(EVENT) in table
    series = [line for line in metrics.exposition().decode().splitlines() if "path_requests_total{" in line]
    assert {"/event", "rotated: current", "rotated: next", "rotated: previous"} == {
        re.search('name="([^"]*)"', line)[1] for line in series
    }


async def test_a_running_gateway_goes_with_the_time_by_itself(monkeypatch):
    """What names stand in is made before they hold; where nothing rotates there is nothing to wait for."""
    monkeypatch.setattr(directories, "_LOOK_SECONDS", 0.0)
    metrics, paths = Metrics(), Paths(**ROTATING)
    directory = Directory({EVENT: Echo()}, Names(paths, 0), metrics.path_counter)
    prepared = []

    def prepare(names):
        prepared.append((names.told(EVENT), names.told(EVENT) in directory.table))

    going = asyncio.create_task(directory.keep(paths, prepare))
    async with asyncio.timeout(30):
        while not (prepared and prepared[0][0] in directory.table):
            await asyncio.sleep(0)
    going.cancel()
    assert (1, False) == (len(prepared), prepared[0][1])
    await Directory({}, Names(Paths(), 0), metrics.path_counter).keep(Paths(), prepare)


def test_the_own_script_is_made_for_each_of_its_names():
    """Each says where it is itself, and where events go at this moment."""
    names = Names(Paths(**ROTATING, script=("/a.js",)), 0)
    scripts = OwnScript(lambda *paths: " ".join(paths).encode(), names)

    def text(path):
        return scripts.at(path).answer("", "").body.decode()

    assert f"/a.js {names.told(EVENT)} {names.told(STREAM_EVENT)} /insight.js.map" == text("/a.js")
    assert text("/insight.js").startswith("/insight.js ")
    before = text("/a.js")
    scripts.make_for(Names(Paths(**ROTATING, script=("/a.js",)), 7 * DAY_MS))
    assert before != text("/a.js")
