"""The tracking plan through a real gateway: what is held, what the log and the metrics say, and a plan that changes while it runs."""

from __future__ import annotations

import aiohttp
import orjson

from tests.builders import event
from tests.command_line import run
from tests.processes import running_collector, running_gateway_process, until

STRICT = """
[[events]]
event = "product/purchase"
severity = "quarantine"
[events.fields]
"extra.order_id" = { required = true, type = "id", example = "A-1001" }
"""
LENIENT = STRICT.replace("required = true", "required = false")


async def test_a_plan_holds_warns_and_is_taken_anew_when_it_changes(tmp_path):
    """An order without its number waits for a person, leaves when the plan allows it, and a page that lacks something is told of and counted."""
    plan = tmp_path / "plan.toml"
    plan.write_text(STRICT, encoding="utf-8")
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, tracking_plan={"file": str(plan)}) as gateway,
        aiohttp.ClientSession() as session,
    ):

        async def send(request_id, fields):
            async with session.post(gateway.collect_url(request_id), json=fields) as response:
                return response.status, (await response.json())["reason"]

        assert (200, "plan_violation") == await send("r-1", event("product", "purchase"))
        assert (200, "ok") == await send("r-2", event("pageview", "view", extra={"page_type": "jane@example.com"}))  # fmt: skip

        async def told():
            return gateway.log_lines("event")[1:]

        held, warned = (await until(told, "both lines"))[-1], gateway.log_lines("event")
        held, warned = warned[0], warned[1]
        assert 'extra.order_id: required (product/purchase; such as "A-1001")' == held["detail"]
        assert "warning" == held["level"]
        assert ['extra.page_category: required (pageview/view; such as "shoes")'] == warned["plan_violations"]
        assert "info" == warned["level"]
        assert "jane" not in gateway.log()
        metrics = await gateway.metrics()
        assert 1 == metrics['tracking_gateway_remarks_total{kind="plan_quarantine",value="required"}']

        listed = orjson.loads((await run("quarantine", "list", "--json", "--config", gateway.config)).out)
        assert "accept_violation" in listed["entries"][0]["release"]
        stayed = await run("quarantine", "release", "--all", "--yes", "--json", "--config", gateway.config)
        assert "plan_violation" == orjson.loads(stayed.out)["stayed"][0]["reason"]

        plan.write_text("broken = [", encoding="utf-8")

        async def refused():
            return gateway.log_lines("tracking_plan_refused")

        assert "mend the TOML" in (await until(refused, "the broken plan is refused"))[0]["cause"]
        assert (200, "plan_violation") == await send("r-3", event("product", "purchase"))

        plan.write_text(LENIENT, encoding="utf-8")

        async def taken():
            return gateway.log_lines("tracking_plan_taken")

        await until(taken, "the mended plan is taken")
        assert (200, "ok") == await send("r-4", event("product", "purchase"))
        released = await run("quarantine", "release", "--all", "--yes", "--json", "--config", gateway.config)
        assert 2 == orjson.loads(released.out)["released"]

        async def arrived():
            return {"r-1", "r-2", "r-3", "r-4"} == set(await collector.request_ids())

        await until(arrived, "all four arrive")


async def test_a_gateway_with_a_broken_plan_does_not_start(tmp_path):
    """`serve` ends with 1 and says what to mend; `check` with 2."""
    plan = tmp_path / "plan.toml"
    plan.write_text('[[events]]\nevent = "pageview"\n', encoding="utf-8")
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'data_dir = "{tmp_path}/data"\n[tracking_plan]\nfile = "{plan}"\n[server]\nport = 0\n[admin]\nport = 0\n'
        '[[properties]]\nportal_id = "1"\nprop_id = "1"\nsite = "shop.example"\n',
        encoding="utf-8",
    )
    for command, code in (("serve", 1), ("check", 2)):
        done = await run(command, "--config", config)
        assert code == done.code
        assert "write category/action" in done.err
