"""A gateway that starts on the data of version 1 brings it up to date, and says so; commands leave that to it."""

from __future__ import annotations

import pytest

from tests.builders import PORTAL_ID
from tests.command_line import run
from tests.processes import Gateway, running_collector
from tests.unit import ledger_version_1

ROWS = [(PORTAL_ID, str(900 + number), f"{number // 2:032x}", number) for number in range(5_000)]


@pytest.fixture
async def gateway(tmp_path):
    async with running_collector() as collector:
        made = Gateway(tmp_path, collector.url)
        made.data_dir.mkdir()
        yield made
        if made.process is not None and made.process.returncode is None:
            await made.stop()


@pytest.mark.parametrize("workers", [1, 2])
async def test_the_gateway_brings_the_ledger_up_to_date_when_it_starts(gateway, workers):
    """A command names the way; the gateway takes it, in one of its workers, and says so; then the commands have everything."""
    ledger_version_1.make_file(gateway.data_dir / "ledger.db", ROWS)
    config = gateway.config
    config.write_text(config.read_text().replace("[server]\n", f"[server]\nworkers = {workers}\n"))

    before = await run("ledger", "stats", "--config", config)
    await gateway.start()
    after = await run("ledger", "verify", "--json", "--config", config)

    assert 1 == before.code
    assert "of version 1" in before.err
    assert "start the gateway once: it brings the file up to date" in " ".join(before.err.split())
    assert [(0, 2 * len(ROWS))] == [
        (line["rows"], line["of"]) for line in gateway.log_lines("ledger_upgrading")
    ]
    assert 1 == len(gateway.log_lines("ledger_upgraded"))
    assert (0, True, len(ROWS)) == (after.code, after.json["ok"], after.json["entries"])
    assert 0 == await gateway.stop()


async def test_a_data_folder_that_is_open_to_others_is_named(gateway):
    """The log has one warning at the start and `check` a note, each with the command that mends it; then both are silent."""
    gateway.data_dir.chmod(0o755)
    remedy = f"chmod 700 {gateway.data_dir}"

    checked = await run("check", "--config", gateway.config, COLUMNS="1000")
    await gateway.start()
    await gateway.stop()
    gateway.data_dir.chmod(0o700)
    checked_again = await run("check", "--config", gateway.config, COLUMNS="1000")
    await gateway.start()

    assert remedy in checked.out
    assert remedy not in checked_again.out
    (line,) = gateway.log_lines("data_dir_open")
    assert ("warning", "755") == (line["level"], line["mode"])
    assert remedy in line["hint"]
