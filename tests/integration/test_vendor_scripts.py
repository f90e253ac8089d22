"""The vendor's scripts in one process of the gateway: fetched, judged, rewritten and served, whatever the vendor answers."""

from __future__ import annotations

import asyncio
import gzip
import hashlib

import pytest

from gateway.assets.versions import VersionStore
from gateway.names import Names
from gateway.vendor_scripts import TooManyNames, VendorScripts
from tests.builders import make_settings
from tests.vendor_host import insight
from tests.vendor_process import ONLY_SCRIPT, PATH, Process


async def test_a_page_gets_the_vendors_script_with_the_gateways_name_in_it(tmp_path, vendor):
    """The first request waits for the first copy; what it gets names no host of the vendor's."""
    async with Process(tmp_path, vendor) as process:
        reply = await process.get()
        headers = dict(reply.headers)
        assert (200, "application/javascript; charset=utf-8") == (reply.status, headers["Content-Type"])
        text = reply.body.decode()
        assert "insight stand-in, 1.0" in text
        assert "cdp.asia" not in text.replace("cdp\\.asia", "cdp.asia")
        assert '"https://track.shop.example/event"' in text
        assert r"/\/\/track\.shop\.example\/insight\.js/" in text
        packed = await process.get(accept_encoding="gzip")
        assert text == gzip.decompress(packed.body).decode()
        assert 304 == (await process.get(if_none_match=headers["ETag"])).status
    assert [PATH] == vendor.paths()
    [asked] = vendor.asked
    assert {"Cookie", "Referer", "X-Forwarded-For"}.isdisjoint(asked.headers)


async def test_a_service_worker_may_control_the_whole_site(tmp_path, vendor):
    """`Service-Worker-Allowed`, on it alone; the hosts in it are rewritten too."""
    async with Process(tmp_path, vendor, assets={"/webpush.js": ""}) as process:
        worker = await process.get("/antsomiSDKsw.js")
        assert "/" == dict(worker.headers)["Service-Worker-Allowed"]
        assert b"https://track.shop.example/event?portal_id=" in worker.body
        assert "Service-Worker-Allowed" not in dict((await process.get()).headers)


async def test_many_pages_wait_for_one_fetch(tmp_path, vendor):
    """However many come before there is a copy."""
    vendor.hold()
    async with Process(tmp_path, vendor) as process:
        waiting = [asyncio.ensure_future(process.get()) for _ in range(200)]
        await asyncio.sleep(0)
        vendor.release()
        assert {200} == {reply.status for reply in await asyncio.gather(*waiting)}
    assert ([PATH], 1) == (vendor.paths(), vendor.most_at_once)


async def test_a_page_breaks_on_nothing_while_there_is_no_copy(tmp_path, vendor):
    """After its bounded wait it gets an empty script that nobody keeps; monitors see the status."""
    vendor.status = 500
    async with Process(tmp_path, vendor, first_wait_seconds=0.05) as process:
        reply = await process.get()
        headers = dict(reply.headers)
        assert (503, "no-store") == (reply.status, headers["Cache-Control"])
        assert headers["Content-Type"].startswith("application/javascript")
        assert reply.body.startswith(b"/*")
        assert reply.body.strip().endswith(b"*/")
        await process.said("script_not_fetched")
        assert "/insight.js" in process.scripts.trouble()
        assert (1, True) == (process.value("missing"), process.value("fetches_total", result="failed") >= 1)
        vendor.status = 200
        await process.serves("insight stand-in")
        assert ("", 0) == (process.scripts.trouble(), process.value("missing"))
        assert 1 == len(await process.said("script_fetched_again"))


async def test_stopping_lets_nobody_wait(tmp_path, vendor):
    """A page that waits for a first copy gets its answer at once."""
    vendor.hold()
    async with Process(tmp_path, vendor, first_wait_seconds=30) as process:
        waiting = asyncio.ensure_future(process.get())
        await asyncio.sleep(0)
        process.scripts.hurry()
        assert 503 == (await asyncio.wait_for(waiting, 5)).status


async def test_the_vendor_is_asked_whether_it_changed(tmp_path, vendor):
    """With its own validators; a confirmation is recorded and fetches nothing."""
    async with Process(tmp_path, vendor) as process:
        await process.serves("1.0")
        assert await process.keeper.refresh(PATH)
        assert "If-None-Match" in vendor.asked[-1].headers
        assert (1, 0) == (
            process.value("fetches_total", result="unchanged") - 1,
            process.value("changes_total"),
        )
        assert 1 == len(VersionStore(tmp_path / "assets").load().assets[PATH].versions)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_what_the_vendor_packs_is_unpacked(tmp_path, vendor, coding):
    """In each of the codings that it is asked for."""
    vendor.coding = coding
    async with Process(tmp_path, vendor) as process:
        await process.serves("insight stand-in")
    assert (
        hashlib.sha256(insight()).hexdigest() == VersionStore(tmp_path / "assets").load().assets[PATH].current
    )


FAULTS = {
    "an HTML page with status 200": {"contents": {PATH: b"<!doctype html><title>Sorry</title>"}},
    "an empty body": {"contents": {PATH: b" \n"}},
    "an error": {"status": 503},
    "a sentence": {"content_type": "text/plain", "contents": {PATH: b"Service Unavailable\n"}},
    "JSON": {"contents": {PATH: b'{"error":"maintenance"}'}},
    "HTML by its type": {"content_type": "text/html", "contents": {PATH: b"Sorry"}},
    "too much": {"contents": {PATH: b"/* x */" * 2_000}},
    "a bomb": {"coding": "gzip", "contents": {PATH: b"/* x */" * 2_000_000}},
    "not what its coding says": {"headers": {"Content-Encoding": "br"}},
    "an unknown coding": {"headers": {"Content-Encoding": "compress"}},
    "a file that is gone": {"contents": {}},
    "a redirect to another host": {
        "status": 302,
        "headers": {"Location": "https://elsewhere.example/insight.js"},
    },
    "a redirect in a circle": {"status": 302, "headers": {"Location": "/insight.js"}},
    "a redirect to nowhere": {"status": 302},
    "a body that is cut short in br": {"coding": "br", "cut_bytes": 9},
    "a body that is cut short in gzip": {"coding": "gzip", "cut_bytes": 9},
    "a body that is cut short in zstd": {"coding": "zstd", "cut_bytes": 9},
    "fewer bytes than it says": {"headers": {"Content-Length": "9999"}},
    "binary": {"contents": {PATH: b"var a;\0\0"}},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_bad_answer_never_takes_the_place_of_a_good_copy(tmp_path, vendor, fault):
    """Whatever comes with status 200: the copy stays, the failure is told and counted."""
    async with Process(tmp_path, vendor, max_bytes=8_192, timeout_seconds=2) as process:
        await process.serves("1.0")
        vendor.has_validators = False
        for name, value in FAULTS[fault].items():
            setattr(vendor, name, value)
        assert not await process.keeper.refresh(PATH)
        assert "insight stand-in, 1.0" in await process.text()
        [line] = await process.said("script_not_fetched")
        assert ("the last good copy", PATH) == (line["served"], line["asset"])
    assert 1 == len(VersionStore(tmp_path / "assets").load().assets[PATH].versions)


async def test_a_vendor_that_hangs_holds_up_nobody(tmp_path, vendor):
    """Pages get the copy meanwhile; the request is given up in time."""
    async with Process(tmp_path, vendor, timeout_seconds=0.3) as process:
        await process.serves("1.0")
        vendor.hold()
        refreshing = asyncio.ensure_future(process.keeper.refresh(PATH))
        assert "1.0" in await process.text()
        assert not await refreshing
        [line] = await process.said("script_not_fetched")
        assert "no whole answer in time" == line["cause"]


async def test_a_vendor_without_etags_is_asked_by_date(tmp_path, vendor):
    """`Last-Modified` is a validator too."""
    vendor.has_validators, vendor.last_modified = False, "Mon, 30 Nov 2026 10:00:00 GMT"
    async with Process(tmp_path, vendor) as process:
        await process.serves("1.0")
        assert await process.keeper.refresh(PATH)
        assert vendor.last_modified == vendor.asked[-1].headers["If-Modified-Since"]
        assert 1 == process.value("fetches_total", result="unchanged") - 1


async def test_a_redirect_on_the_vendors_host_is_followed(tmp_path, vendor):
    """Such as to a file with a version in its name."""
    vendor.contents["/v2/insight.js"] = insight("2.0")
    vendor.redirects[PATH] = "/v2/insight.js"
    async with Process(tmp_path, vendor) as process:
        await process.serves("2.0")


async def test_each_of_the_gateways_own_names_gets_its_own_script(tmp_path, vendor):
    """`Host` chooses among the names that the settings know; no other word of a visitor's gets into a script."""
    urls = ["https://track.shop.example", "https://t.other.example/x"]
    async with Process(tmp_path, vendor, public_urls=urls) as process:
        await process.serves("1.0")
        other = await process.text(host="t.other.example:443")
        assert '"https://t.other.example/x/event"' in other
        for host in (
            "evil.example",
            "",
            "track.shop.example",
            'a"-alert(1)-"',
            "track.shop.example.evil.example",
        ):
            assert '"https://track.shop.example/event"' in await process.text(host=host)


async def test_more_names_than_there_can_be_scripts_for_are_refused(tmp_path, vendor):
    """A gateway of very many sites lists those that load the vendor's script."""
    process = Process(tmp_path, vendor)
    sites = [{"portal_id": "1", "prop_id": str(number), "site": f"s{number}.example"} for number in range(65)]
    with pytest.raises(TooManyNames, match="65"):
        VendorScripts(
            process.settings.model_copy(update={"properties": make_settings(properties=sites).properties}),
            Names(process.settings.paths, 0),
        )


async def test_scripts_use_the_gateways_own_paths(tmp_path, vendor):
    """A prefix, and other names for the events and the scripts; when the names turn, so do the scripts."""
    paths = {"prefix": "/x7", "event": ["/e"], "assets": {"/webpush.js": ["/w.js"]}}
    async with Process(tmp_path, vendor, paths=paths, assets={}) as process:
        await process.serves("1.0")
        text = await process.text()
        assert '"https://track.shop.example/x7/e"' in text
        assert r'"https:\/\/track.shop.example\/x7\/stream_event"' in text
        other = make_settings(paths={"event": ["/later"]})
        process.scripts.make_for(Names(other.paths, 0))
        await process.serves('"https://track.shop.example/later"')


async def test_names_of_the_vendors_that_are_left_are_told(tmp_path, vendor):
    """A host that was put together, or one that nobody knew: a person should look."""
    vendor.contents[PATH] = b'var a="media.cdp.asia",b="//a.cdp.asia"'
    async with Process(tmp_path, vendor) as process:
        await process.serves("track.shop.example")
        [line] = await process.said("script_names_left")
        assert (["media.cdp.asia"], "warning") == (line["names"], line["level"])


async def test_old_contents_are_pruned_and_remembered(tmp_path, vendor):
    """Contents are bounded, what was seen is not forgotten; files are their owner's alone."""
    async with Process(tmp_path, vendor, keep_versions=2) as process:
        await process.serves("1.0")
        for number in range(4):
            vendor.contents[PATH] = insight(f"9.{number}")
            await process.keeper.refresh(PATH)
    assets = tmp_path / "assets"
    assert 2 == len([each for each in assets.iterdir() if len(each.name) == 64])
    assert 5 == len(VersionStore(assets).load().assets[PATH].versions)
    assert {0o600} == {each.stat().st_mode & 0o777 for each in assets.iterdir()}
    assert 0o700 == assets.stat().st_mode & 0o777


async def test_assets_of_other_kinds_keep_their_type(tmp_path, vendor):
    """An image is no script: it is taken by its first bytes, and nothing is rewritten in it."""
    vendor.contents |= {
        "/logo.png": b"\x89PNG//a.cdp.asia",
        "/x.css": b"a{background:url(//st-a.cdp.asia/logo.png)}",
    }
    vendor.content_type = ""
    async with Process(
        tmp_path,
        vendor,
        assets={"/logo.png": "/logo.png", "/x.css": f"{vendor.url}/x.css", PATH: "", **ONLY_SCRIPT},
    ) as process:
        image = await process.get("/logo.png")
        assert (b"\x89PNG//a.cdp.asia", "image/png") == (image.body, dict(image.headers)["Content-Type"])
        assert "a{background:url(//track.shop.example/logo.png)}" == await process.text("/x.css")
