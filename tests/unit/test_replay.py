"""What a replay is made of: what is meant, how fast it goes, where it stopped; and what it says to wrong arguments."""

from __future__ import annotations

import asyncio

import msgspec
import orjson
import pytest
from typer.testing import CliRunner

from gateway.archive.reading import Reading, Span
from gateway.cli import app
from gateway.commands.replay_parts import ArchiveSource, PacedSink
from gateway.commands.replaying import Selection, _without_cookies
from gateway.delivery.contract import Delivered, Undeliverable
from tests.archive_builders import ALWAYS, HOUR_MS, NOON_MS, FullFolder, delivery, make_writer
from tests.unit.delivery_fakes import FakeSink, record, simulate


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["a", "b", "c", "d"]),
        ({"span": Span(NOON_MS + 1, NOON_MS + HOUR_MS)}, ["b"]),
        ({"prop_id": "2"}, ["a", "b", "d"]),
        ({"portal_id": "9"}, ["d"]),
        ({"uid": "lan", "prop_id": "2"}, ["b"]),
        ({"uid": "nobody"}, []),
    ],
)
def test_what_is_meant_is_chosen(tmp_path, options, expected):
    """By the moment of delivery, property, portal and UID, each of them and together."""
    folder = FullFolder(tmp_path / "archive")
    writer = make_writer(folder)
    other = msgspec.structs.replace(delivery("c").record, prop_id="777")
    rest = [
        delivery("a"),
        delivery("b", "lan", NOON_MS + 1),
        delivery("c", delivered_ms=NOON_MS + HOUR_MS)._replace(record=other),
        delivery("d", delivered_ms=NOON_MS + HOUR_MS, portal_id="9"),
    ]
    while rest:
        del rest[: writer.write(rest).taken]
    selection = Selection(**{"span": ALWAYS, **options})

    found = selection.deliveries(Reading(folder, selection.span))
    assert expected == [each.record.event_id for each in found]


def test_no_more_leaves_than_the_rate_allows():
    """Evenly, and also after a pause no more than that."""

    async def scenario():
        inner = FakeSink()
        sink = PacedSink(inner, 10, lambda _: False)
        done = []
        for index in range(5):
            sink.post(record(index, f"u{index}"), done.append)
        await asyncio.sleep(100)
        for index in range(5, 8):
            sink.post(record(index, f"u{index}"), done.append)
        assert [] == [each for each in done if not isinstance(each, Delivered)]
        await asyncio.sleep(1)
        moments = [round(at, 3) for at, _ in inner.sent]
        assert [0, 0.1, 0.2, 0.3, 0.4, 100, 100.1, 100.2] == moments
        assert 8 == len(done)

    simulate(scenario)


def test_who_is_erased_by_then_is_not_sent():
    """Nor is anybody, when nobody can say who is."""

    async def scenario():
        inner = FakeSink()
        answers = [False, True, OSError("the ledger is gone"), False]

        def is_erased(_):
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        sink = PacedSink(inner, 10, is_erased)
        done = []
        for index in range(4):
            sink.post(record(index, f"u{index}"), done.append)
        await asyncio.sleep(9)
        assert ["e0"] == [each.event_id for _, each in inner.sent]
        assert [Delivered, Undeliverable] == sorted(map(type, done), key=str)
        assert ("the ledger is gone", [False]) == (str(sink.failure), answers)

    simulate(scenario)


def test_what_waits_for_its_turn_can_be_broken_off():
    """Nothing of it is ever told."""

    async def scenario():
        inner = FakeSink()
        sink = PacedSink(inner, 1, lambda _: False)
        done = []
        for index in range(3):
            sink.post(record(index, f"u{index}"), done.append)
        await asyncio.sleep(0.001)
        sink.abandon()
        await asyncio.sleep(9)
        assert (1, []) == (len(inner.sent), done)

    simulate(scenario)


async def test_a_source_knows_where_it_stopped():
    """Before the first event whose fate is open, whether it was read or not."""
    source = ArchiveSource(iter([delivery(str(index), delivered_ms=index) for index in range(6)]))
    assert 0 == source.stopped_at_ms
    entries = await source.read(4)
    for entry in (entries[0], entries[2], entries[3]):
        source.acknowledge(entry.position)
    assert (1, 1) == (source.stopped_at_ms, source.pending)
    source.acknowledge(entries[1].position)
    assert (4, False) == (source.stopped_at_ms, source.is_done)
    for entry in await source.read(9):
        source.acknowledge(entry.position)
    await source.close()
    assert (None, True) == (source.stopped_at_ms, source.is_done)


async def test_a_source_that_can_not_be_read_on_is_not_done():
    """What it gave is sent, and where it broke off is known."""

    def breaks():
        yield delivery("a", delivered_ms=1)
        yield delivery("b", delivered_ms=2)
        raise OSError(5, "Input/output error")

    source = ArchiveSource(breaks())
    entries = await source.read(9)
    assert 2 == len(entries)
    for entry in entries:
        source.acknowledge(entry.position)
    assert ("[Errno 5] Input/output error", False, 2) == (
        str(source.failure),
        source.is_done,
        source.stopped_at_ms,
    )


def test_a_collectors_cookies_are_for_nobody_else():
    """Another one gets everything but these."""
    (given,) = [
        each._replace(record=msgspec.structs.replace(each.record, cookie="c=1")) for each in [delivery("a")]
    ]
    assert [delivery("a")] == list(_without_cookies(iter([given])))


@pytest.fixture
def config(tmp_path):
    """Settings of a machine on which a gateway ran, without an archive."""
    path = tmp_path / "gateway.toml"
    path.write_text(
        f'data_dir = "{tmp_path}"\n[[properties]]\nportal_id = "1"\nprop_id = "2"\nsite = "shop.example"\n'
    )
    (tmp_path / "ledger.db").touch()
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--since", "yesterday"), 2, "--since: write a moment such as"),
        (("--since", "2h", "--until", "3h"), 2, "--until: write a moment after --since"),
        (("--since", "2026-11-30", "--until", "2026-11-29"), 2, "--until: write a moment after --since"),
        (("--since", "2026-11-30", "--to", "collector"), 2, "--to: write a full http:// or https:// URL"),
        (("--since", "2026-11-30"), 1, "when archive.days says for how many days"),
    ],
)
def test_a_wrong_argument_is_named(config, arguments, code, said):
    """With what to write instead, as text and as JSON; so is an archive that was never kept."""
    command = ["spool", "replay", "--config", str(config), *arguments]
    text, json = (CliRunner().invoke(app, [*command, *form]) for form in ((), ("--json",)))

    assert (code, code, "") == (text.exit_code, json.exit_code, text.stdout)
    assert said in text.stderr
    assert said in orjson.loads(json.stdout)["error"]
