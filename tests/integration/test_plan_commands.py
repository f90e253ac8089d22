"""`plan infer`, `plan check` and `plan show`, as people and programs run them."""

from __future__ import annotations

import aiohttp
import orjson

from tests.builders import event
from tests.command_line import run
from tests.processes import running_collector, running_gateway_process, until


async def test_a_plan_is_inferred_from_the_archive_and_the_archive_keeps_it(tmp_path):
    """What a gateway has delivered becomes a plan; what the gateway itself adds to events is none of it."""
    plan = tmp_path / "plan.toml"
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, archive={"days": 1}) as gateway,
        aiohttp.ClientSession() as session,
    ):
        sent = [event("shop", "look", uid=str(100_000 + number), extra={"shelf": ("top", "low")[number % 2], "price": number}) for number in range(60)]  # fmt: skip
        async with session.post(gateway.collect_url(), json=sent) as response:
            assert 200 == response.status

        async def arrived():
            return len(await collector.request_ids()) == 60

        await until(arrived, "all arrive")

        async def written():
            done = await run("plan", "infer", "--config", gateway.config, "--min-events", "60", "--json")
            return done.json if done.code == 0 else None

        found = await until(written, "the archive has them")
        assert (60, 1, 0) == (found["events"], found["kinds"], found["unreadable"])
        done = await run("plan", "infer", "--config", gateway.config, "--since", "1h", "--output", plan)
        assert (0, "") == (done.code, done.out)
        again = await run("plan", "infer", "--config", gateway.config, "--output", plan)
        assert 2 == again.code
        text = plan.read_text(encoding="utf-8")
        assert '"extra.shelf" = { required = true, type = "text", one_of = ["low", "top"], example = "low" }' in text  # fmt: skip
        assert "receive_time" not in text
        checked = (await run("plan", "check", plan, "--against", gateway.data_dir / "archive", "--json")).json
        assert (60, 0) == (checked["against"]["events"], checked["against"]["violating"])


async def test_a_plan_is_checked_against_a_file_of_events(tmp_path):
    """Each rule that they break, with how often; lines that are no event are counted."""
    plan, events = tmp_path / "plan.toml", tmp_path / "events.ndjson"
    plan.write_text('[[events]]\nevent = "a/*"\nfields = { "extra.v" = { required = true, example = 5 } }\n', encoding="utf-8")  # fmt: skip
    lines = [orjson.dumps(event("a", "b")), orjson.dumps(event("a", "b", extra={"v": 1})), b"no event", b""]
    events.write_bytes(b"\n".join(lines))
    done = await run("plan", "check", plan, "--against", events, "--json")
    assert 1 == done.code
    violation = {"event": "a/*", "field": "extra.v", "rule": "required", "severity": "warn", "events": 1}
    assert {"events": 2, "violating": 1, "unreadable": 1, "violations": [violation]} == done.json["against"]
    told = await run("plan", "check", plan)
    assert 0 == told.code
    assert "extra.v" in told.out


async def test_a_wrong_plan_is_told_of_with_every_problem(tmp_path):
    """As text, and as one document."""
    plan = tmp_path / "plan.toml"
    plan.write_text('unknown_event = "warn"\n[[events]]\nevent = "a"\n', encoding="utf-8")
    done = await run("plan", "check", plan, "--json")
    assert 2 == done.code
    assert ["events[0].event[0]", "unknown_event"] == [each["key"] for each in done.json["problems"]]


async def test_an_event_s_rules_are_shown():
    """The standard's, as they hold in a property."""
    shown = (await run("plan", "show", "user/reset_anonymous_id", "--config", "config/gateway.toml", "--json")).json  # fmt: skip
    assert ["extra.reset_uid", "extra.generate_uid"] == [each["field"] for each in shown["rules"]]
