"""`tracking-gateway script …` beside a gateway of several processes: look at a change, let it out, take it back."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shutil

import aiohttp
import pytest

from tests.command_line import run
from tests.processes import running_collector, running_gateway_process, until
from tests.vendor_host import FakeVendor, insight

OLD, NEW = insight(), insight("2.0")
OLD_HASH, NEW_HASH = (hashlib.sha256(each).hexdigest() for each in (OLD, NEW))


@contextlib.asynccontextmanager
async def world(folder, workers=1, paths=None, **script):
    """A vendor, and a gateway that serves its script."""
    async with FakeVendor.running() as vendor, running_collector() as collector:
        sections = {
            "server": {"workers": workers, "public_url": "https://track.shop.example"},
            "script": {"source": "upstream", "upstream_url": vendor.url, "refresh_seconds": 0.2, **script},
            "paths": paths or {},
            "script.assets": {'"/webpush.js"': "", '"/antsomiSDKsw.js"': ""},
        }
        async with running_gateway_process(folder, collector.url, **sections) as gateway:
            yield vendor, gateway


async def versions(gateway):
    """Ask for the script on connections of its own each, so that every worker is asked; give the versions that came."""
    found = set()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session:
        for _ in range(24):
            async with session.get(f"{gateway.url}/insight.js") as response:
                found.add(
                    (await response.text())[:40].partition(", ")[2].partition(" ")[0]
                    if response.status == 200
                    else response.status
                )
    return found


async def all_serve(gateway, version):
    async def they_do():
        return await versions(gateway) == {version}

    await until(they_do, f"every worker serves {version}")


async def waits(gateway):
    async def it_does():
        listed = await run("script", "list", "--config", gateway.config, "--json")
        return listed.code == 0 and listed.json["assets"][0]["is_held"] and listed.json

    return await until(it_does, "a version waits for a person")


async def test_a_change_waits_for_a_person_and_reaches_every_worker_then(tmp_path):
    """Held, looked at, approved, served by all workers without a restart; then taken back."""
    async with world(tmp_path, workers=2, on_change="hold") as (vendor, gateway):
        await all_serve(gateway, "1.0")
        vendor.contents["/insight.js"] = NEW
        listed = await waits(gateway)
        assert ("upstream", "hold") == (listed["source"], listed["on_change"])
        [asset] = listed["assets"]
        assert [(NEW_HASH, "held"), (OLD_HASH, "served")] == [
            (each["sha256"], each["is"]) for each in asset["versions"]
        ]
        assert {"1.0"} == await versions(gateway)
        diff = await run("script", "diff", "--config", gateway.config)
        assert "-/*! insight stand-in, 1.0 */" in diff.out
        assert "+/*! insight stand-in, 2.0 */" in diff.out
        assert "1 statement added, 1 removed" in diff.out
        approved = await run("script", "approve", NEW_HASH[:12], "--config", gateway.config, "--json")
        assert (0, [NEW_HASH], True) == (
            approved.code,
            approved.json["approved"],
            approved.json["is_running"],
        )
        assert [{"asset": "/insight.js", "served_before": OLD_HASH, "served": NEW_HASH}] == approved.json[
            "changes"
        ]
        await all_serve(gateway, "2.0")
        rejected = await run("script", "reject", NEW_HASH[:12], "--config", gateway.config)
        assert (0, True) == (rejected.code, "the running gateway serves it within seconds" in rejected.out)
        await all_serve(gateway, "1.0")


async def test_the_last_good_copy_survives_an_outage_and_a_restart(tmp_path):
    """The vendor is gone, the gateway is killed and started again: pages get what they got before, under all its names."""
    async with world(tmp_path, paths={"prefix": "/x7", "script": ["/x9.js"]}) as (vendor, gateway):
        await all_serve(gateway, "1.0")
        await vendor.stop()
        await gateway.kill()
        await gateway.start()
        assert {"1.0"} == await versions(gateway)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{gateway.admin_url}/metrics") as response:
                text = await response.text()
            assert 'tracking_gateway_script_missing{asset="/insight.js"} 0.0' in text

            async with session.get(f"{gateway.url}/insight.js.map") as response:
                assert 404 == response.status, "that would be the map of our own script"

            async def is_at_its_best():
                async with session.get(
                    f"{gateway.url}/x7/x9.js", headers={"Accept-Encoding": "br"}
                ) as response:
                    assert "https://track.shop.example/x7/event" in await response.text()
                    return response.headers.get("Content-Encoding") == "br"

            await until(is_at_its_best, "the script is there in br, under its other name")


async def test_a_missing_script_is_a_warning_of_readiness(tmp_path):
    """Events are taken all the same: the gateway is ready, and says what pages lack."""
    async with FakeVendor.running() as vendor:
        await vendor.stop()
        script = {"source": "upstream", "upstream_url": vendor.url, "first_wait_seconds": 0}
        async with (
            running_collector() as collector,
            running_gateway_process(tmp_path, collector.url, script=script) as gateway,
            aiohttp.ClientSession() as session,
        ):

            async def warned():
                async with session.get(f"{gateway.admin_url}/readyz") as response:
                    said = await response.json()
                    return said.get("warnings", {}).get("script", "")

            said = await until(warned, "readiness warns")
            assert "/insight.js" in said
            assert {503} == await versions(gateway)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """A folder with two versions of a script, the newer one held, and no gateway."""
    from gateway.assets.pinning import Policy, Seen, seen
    from gateway.assets.versions import VersionStore

    folder = tmp_path_factory.mktemp("seen")
    (folder / "data").mkdir()
    store = VersionStore(folder / "data" / "assets")
    for number, content in enumerate(
        (OLD, NEW + b"fetch('https://st-a.cdp.asia/other.js','//media.cdp.asia')")
    ):
        found = Seen(hashlib.sha256(content).hexdigest(), len(content))
        store.change(
            lambda index, found=found, at=number: seen(
                index,
                "/insight.js",
                "https://st-a.cdp.asia/insight.js",
                found,
                Policy("hold"),
                1_790_000_000_000 + at,
            ),
            content=content,
        )
    config = folder / "gateway.toml"
    config.write_text(
        f'data_dir = "{folder / "data"}"\n[script]\nsource = "upstream"\n[[properties]]\nportal_id = "1"\nprop_id = "2"\nsite = "shop.example"\n',
        encoding="utf-8",
    )
    return config, store.load().assets["/insight.js"].current


async def test_a_version_is_shown_with_what_becomes_of_it(seen):
    """Hosts that are replaced, names that are left, paths that lead nowhere; or the content itself."""
    config, new = seen
    shown = (await run("script", "show", new[:8], "--config", config, "--json")).json
    assert ("held", False, True) == (shown["is"], shown["is_served"], shown["is_current"])
    assert {"a.cdp.asia": 4, "ap2-a.cdp.asia": 1, "st-a.cdp.asia": 3} == shown["hosts_replaced"]
    assert ({"media.cdp.asia": 1}, ["/other.js"]) == (shown["names_left"], shown["paths_not_served"])
    text = await run("script", "show", "/insight.js", "--config", config)
    assert (0, True) == (text.code, OLD_HASH in text.out)
    content, served = await asyncio.gather(
        *(run("script", "show", OLD_HASH, flag, "--config", config) for flag in ("--content", "--served"))
    )
    assert OLD.decode() == content.out
    assert '"https://track.shop.example/event"' in served.out


async def test_a_list_is_for_people_too(seen):
    """It says what to do about a version that waits."""
    config, new = seen
    listed = await run("script", "list", "--config", config)
    assert listed.out.startswith("2 versions\n")
    assert f"script approve {new[:12]}" in listed.out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("approve", "ffff"), 1, "is no version that was seen"),
        (("reject", OLD_HASH), 1, "nothing would be left to serve at /insight.js"),
        (("diff", OLD_HASH, "eeee"), 1, "is no version that was seen"),
        (("show", "/webpush.js"), 1, "is no version that was seen"),
        (("show", OLD_HASH, "--content", "--json"), 2, "leave --json out"),
    ],
)
async def test_a_wrong_word_is_answered_with_what_is_wrong(seen, arguments, code, words):
    """As text, and as one JSON document."""
    config, _ = seen
    text = await run("script", *arguments, "--config", config)
    assert (code, True) == (text.code, words in text.err + text.out)
    if "--json" not in arguments:
        ended = await run("script", *arguments, "--config", config, "--json")
        assert (code, False, True) == (ended.code, ended.json["ok"], words in ended.json["error"])


@pytest.fixture
def waiting(seen, tmp_path):
    """The same in a folder of one's own, to be changed."""
    config, new = seen
    shutil.copytree(config.parent, tmp_path / "own")
    own = tmp_path / "own" / config.name
    text = own.read_text(encoding="utf-8").replace(str(config.parent), str(own.parent))
    own.write_text(text, encoding="utf-8")
    return own, new


async def test_a_path_means_what_waits_there(waiting):
    """Who approves `/insight.js` means the version that is held, not the one that is served already."""
    config, new = waiting
    approved = await run("script", "approve", "/insight.js", "--config", config, "--json")
    assert (0, [new]) == (approved.code, approved.json["approved"])
    assert [new] == [each["served"] for each in approved.json["changes"]]


async def test_a_rejection_that_leaves_no_content_to_serve_asks_first(waiting):
    """A version that could stand in by what was decided, but whose content is lost, is nothing to serve."""
    config, new = waiting
    await run("script", "approve", new, "--config", config)
    (config.parent / "data" / "assets" / OLD_HASH).unlink()
    rejected = await run("script", "reject", new, "--config", config)
    assert (1, True) == (rejected.code, "nothing would be left to serve at /insight.js" in rejected.err)


async def test_without_versions_it_says_what_to_do(tmp_path):
    """Before the gateway was ever started with the vendor's script."""
    config = tmp_path / "gateway.toml"
    config.write_text(
        f'data_dir = "{tmp_path}"\n[[properties]]\nportal_id = "1"\nprop_id = "2"\nsite = "shop.example"\n',
        encoding="utf-8",
    )
    for command in ("list", "approve", "diff"):
        ended = await run("script", command, "--config", config)
        assert (1, True) == (ended.code, 'script.source = "upstream"' in ended.err)
