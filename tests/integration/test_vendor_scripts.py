"""The vendor's scripts in one process of the gateway: fetched, judged, recorded, served, and what happens when the vendor or the disk fails."""

from __future__ import annotations

import asyncio
import errno
import gzip
import hashlib
import os

import orjson
import pytest

from gateway.assets.pinning import State, confirmed, decided
from gateway.assets.versions import AssetsUnavailable, VersionStore
from gateway.events.model import Head, Request
from gateway.names import Names
from gateway.settings import Logging
from gateway.telemetry.journal import Journal
from gateway.telemetry.logging import open_log
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.scripts import ScriptJournal
from gateway.vendor_scripts import TooManyNames, VendorScripts
from tests.builders import make_settings
from tests.processes import until
from tests.unit.ingest_fakes import text_stream
from tests.vendor_host import FakeVendor, insight

PATH = "/insight.js"
ONLY_SCRIPT = {"/webpush.js": "", "/antsomiSDKsw.js": ""}


class Process:
    """One process's scripts, asked as a transport asks them."""

    def __init__(self, folder, vendor, *, is_first=True, paths=None, **script):
        values = {
            "source": "upstream",
            "upstream_url": vendor.url,
            "refresh_seconds": 3_600,
            "first_wait_seconds": 10,
            "assets": ONLY_SCRIPT,
        }
        self.settings = make_settings(data_dir=folder, paths=paths or {}, script={**values, **script})
        self.metrics = Metrics()
        self._stream = text_stream()
        self._log = open_log(Logging(format="json"), self._stream)
        self.scripts = VendorScripts(self.settings, Names(self.settings.paths, 0))
        self._is_first = is_first

    async def __aenter__(self):
        journal = ScriptJournal(Journal(self._log, self.metrics), self.metrics.registry)
        await self.scripts.start(journal, is_first=self._is_first)
        return self

    async def __aexit__(self, *_):
        await self.scripts.stop()
        self._log.close()

    @property
    def keeper(self):
        return self.scripts._keeper

    async def get(self, path=PATH, host="track.shop.example", **head):
        answered = asyncio.get_running_loop().create_future()
        request = Request(Head(method="GET", path=path, host=host, **head))
        self.scripts.shelves[path].answer(request, answered.set_result)
        return await answered

    async def text(self, path=PATH, **head):
        reply = await self.get(path, **head)
        return reply.body.decode() if reply.status == 200 else reply.status

    async def serves(self, part, path=PATH):
        async def does():
            return part in str(await self.text(path))

        await until(does, f"{part!r} is served")

    async def said(self, event):
        """Give the log's lines of one kind, of which there will be one."""

        async def found():
            return self.lines(event)

        return await until(found, f"{event} is in the log")

    def lines(self, event):
        lines = map(orjson.loads, self._stream.buffer.getvalue().splitlines())
        return [line for line in lines if line["event"] == event]

    def value(self, name, **labels):
        return self.metrics.registry.get_sample_value(
            f"tracking_gateway_script_{name}", {"asset": PATH, **labels}
        )


@pytest.fixture
async def vendor():
    async with FakeVendor.running() as running:
        yield running


@pytest.fixture
def folder(tmp_path):
    return tmp_path


async def test_a_page_gets_the_vendors_script_with_the_gateways_name_in_it(folder, vendor):
    """The first request waits for the first copy; what it gets names no host of the vendor's."""
    async with Process(folder, vendor) as process:
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


async def test_a_service_worker_may_control_the_whole_site(folder, vendor):
    """`Service-Worker-Allowed`, on it alone; the hosts in it are rewritten too."""
    async with Process(folder, vendor, assets={"/webpush.js": ""}) as process:
        worker = await process.get("/antsomiSDKsw.js")
        assert "/" == dict(worker.headers)["Service-Worker-Allowed"]
        assert b"https://track.shop.example/event?portal_id=" in worker.body
        assert "Service-Worker-Allowed" not in dict((await process.get()).headers)


async def test_many_pages_wait_for_one_fetch(folder, vendor):
    """However many come before there is a copy."""
    vendor.hold()
    async with Process(folder, vendor) as process:
        waiting = [asyncio.ensure_future(process.get()) for _ in range(200)]
        await asyncio.sleep(0)
        vendor.release()
        assert {200} == {reply.status for reply in await asyncio.gather(*waiting)}
    assert ([PATH], 1) == (vendor.paths(), vendor.most_at_once)


async def test_a_page_breaks_on_nothing_while_there_is_no_copy(folder, vendor):
    """After its bounded wait it gets an empty script that nobody keeps; monitors see the status."""
    vendor.status = 500
    async with Process(folder, vendor, first_wait_seconds=0.05) as process:
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


async def test_stopping_lets_nobody_wait(folder, vendor):
    """A page that waits for a first copy gets its answer at once."""
    vendor.hold()
    async with Process(folder, vendor, first_wait_seconds=30) as process:
        waiting = asyncio.ensure_future(process.get())
        await asyncio.sleep(0)
        process.scripts.hurry()
        assert 503 == (await asyncio.wait_for(waiting, 5)).status


async def test_the_vendor_is_asked_whether_it_changed(folder, vendor):
    """With its own validators; a confirmation is recorded and fetches nothing."""
    async with Process(folder, vendor) as process:
        await process.serves("1.0")
        assert await process.keeper.refresh(PATH)
        assert "If-None-Match" in vendor.asked[-1].headers
        assert (1, 0) == (
            process.value("fetches_total", result="unchanged") - 1,
            process.value("changes_total"),
        )
        assert 1 == len(VersionStore(folder / "assets").load().assets[PATH].versions)


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
async def test_what_the_vendor_packs_is_unpacked(folder, vendor, coding):
    """In each of the codings that it is asked for."""
    vendor.coding = coding
    async with Process(folder, vendor) as process:
        await process.serves("insight stand-in")
    assert (
        hashlib.sha256(insight()).hexdigest() == VersionStore(folder / "assets").load().assets[PATH].current
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
async def test_a_bad_answer_never_takes_the_place_of_a_good_copy(folder, vendor, fault):
    """Whatever comes with status 200: the copy stays, the failure is told and counted."""
    async with Process(folder, vendor, max_bytes=8_192, timeout_seconds=2) as process:
        await process.serves("1.0")
        vendor.has_validators = False
        for name, value in FAULTS[fault].items():
            setattr(vendor, name, value)
        assert not await process.keeper.refresh(PATH)
        assert "insight stand-in, 1.0" in await process.text()
        [line] = await process.said("script_not_fetched")
        assert ("the last good copy", PATH) == (line["served"], line["asset"])
    assert 1 == len(VersionStore(folder / "assets").load().assets[PATH].versions)


async def test_a_vendor_that_hangs_holds_up_nobody(folder, vendor):
    """Pages get the copy meanwhile; the request is given up in time."""
    async with Process(folder, vendor, timeout_seconds=0.3) as process:
        await process.serves("1.0")
        vendor.hold()
        refreshing = asyncio.ensure_future(process.keeper.refresh(PATH))
        assert "1.0" in await process.text()
        assert not await refreshing
        [line] = await process.said("script_not_fetched")
        assert "no whole answer in time" == line["cause"]


async def test_a_vendor_without_etags_is_asked_by_date(folder, vendor):
    """`Last-Modified` is a validator too."""
    vendor.has_validators, vendor.last_modified = False, "Mon, 30 Nov 2026 10:00:00 GMT"
    async with Process(folder, vendor) as process:
        await process.serves("1.0")
        assert await process.keeper.refresh(PATH)
        assert vendor.last_modified == vendor.asked[-1].headers["If-Modified-Since"]
        assert 1 == process.value("fetches_total", result="unchanged") - 1


async def test_a_redirect_on_the_vendors_host_is_followed(folder, vendor):
    """Such as to a file with a version in its name."""
    vendor.contents["/v2/insight.js"] = insight("2.0")
    vendor.redirects[PATH] = "/v2/insight.js"
    async with Process(folder, vendor) as process:
        await process.serves("2.0")


async def test_a_change_is_served_logged_and_counted(folder, vendor):
    """With the hashes and sizes before and after."""
    async with Process(folder, vendor) as process:
        await process.serves("1.0")
        vendor.contents[PATH] = insight("2.0.0")
        assert await process.keeper.refresh(PATH)
        assert "2.0.0" in await process.text()
        [line] = await process.said("script_changed")
        before, after = insight(), insight("2.0.0")
        assert (hashlib.sha256(before).hexdigest(), len(before)) == (
            line["sha256_before"],
            line["size_before"],
        )
        assert (hashlib.sha256(after).hexdigest(), len(after), "approved") == (
            line["sha256"],
            line["size"],
            line["state"],
        )
        assert (1, 0) == (process.value("changes_total"), process.value("held"))


async def test_a_held_change_is_served_once_it_is_approved(folder, vendor):
    """`on_change = "hold"`: the first copy is trusted, the next one waits; the file that the command writes is noticed."""
    async with Process(folder, vendor, on_change="hold") as process:
        await process.serves("1.0")
        vendor.contents[PATH] = insight("2.0")
        assert await process.keeper.refresh(PATH)
        assert "1.0" in await process.text()
        [line] = await process.said("script_changed")
        assert ("held", "warning", 1) == (line["state"], line["level"], process.value("held"))
        assert "script approve" in line["hint"]
        new = hashlib.sha256(insight("2.0")).hexdigest()
        VersionStore(folder / "assets").change(lambda index: decided(index, new, State.APPROVED, 1))
        await process.serves("2.0")

        async def is_free():
            return process.value("held") == 0

        await until(is_free, "nothing is held any more")


async def test_a_rejected_version_is_taken_back(folder, vendor):
    """At night: what was served before is served again, though the vendor still gives the bad one."""
    async with Process(folder, vendor) as process:
        await process.serves("1.0")
        vendor.contents[PATH] = insight("2.0")
        await process.keeper.refresh(PATH)
        bad = hashlib.sha256(insight("2.0")).hexdigest()
        VersionStore(folder / "assets").change(lambda index: decided(index, bad, State.REJECTED, 1))
        await process.serves("1.0")
        await process.keeper.refresh(PATH)
        assert "1.0" in await process.text()


async def test_a_copy_survives_a_restart_without_the_vendor(folder, vendor):
    """The last good copy is on the disk; it is there before the first request."""
    async with Process(folder, vendor) as process:
        await process.serves("1.0")
    await vendor.stop()
    async with Process(folder, vendor) as process:
        assert "1.0" in await process.text()
        assert await process.text() == await process.text(host="evil.example")


async def test_a_damaged_copy_is_not_served_and_fetched_again(folder, vendor):
    """A content is what its name says or is not used; an older approved one stands in meanwhile."""
    async with Process(folder, vendor) as process:
        await process.serves("1.0")
        vendor.contents[PATH] = insight("2.0")
        await process.keeper.refresh(PATH)
    (folder / "assets" / hashlib.sha256(insight("2.0")).hexdigest()).write_bytes(b"alert(1)")
    vendor.hold()
    async with Process(folder, vendor) as process:
        assert "1.0" in await process.text()
        assert 1 == len(await process.said("script_content_lost"))
        vendor.release()
        await process.serves("2.0")


async def test_a_copy_may_become_too_old(folder, vendor):
    """`stale_if_error_hours` bounds how long the vendor may be away; when it is back its script is too."""
    async with Process(folder, vendor, stale_if_error_hours=1) as process:
        await process.serves("1.0")
        await vendor.stop()
        store = VersionStore(folder / "assets")
        an_hour_ago = store.load().assets[PATH].confirmed_ms - 3_700_000
        store.change(lambda index: confirmed(index, PATH, an_hour_ago))
        await process.said("script_withdrawn")
        waiting = asyncio.ensure_future(process.get())
        await vendor.start()
        await process.keeper.refresh(PATH)
        assert 200 == (await waiting).status


async def test_other_processes_follow_the_files(folder, vendor, monkeypatch):
    """One process asks the vendor; the others serve what it has recorded, and never ask."""
    monkeypatch.setattr("gateway.assets.keeper._PATIENCE_SECONDS", 600)
    async with Process(folder, vendor, is_first=False) as follower, Process(folder, vendor) as first:
        await first.serves("1.0")
        await follower.serves("1.0")
        vendor.contents[PATH] = insight("2.0")
        await first.keeper.refresh(PATH)
        await follower.serves("2.0")
        assert (await first.get()).headers == (await follower.get()).headers
    assert 2 == len(vendor.asked)


@pytest.mark.parametrize("is_recorded", [False, True])
async def test_a_full_disk_keeps_no_script_from_being_served(folder, vendor, monkeypatch, is_recorded):
    """Without any copy on the disk the first one is served from memory; with one, that is served on. The log says so, once."""
    if is_recorded:
        async with Process(folder, vendor) as process:
            await process.serves("1.0")
        vendor.contents[PATH] = insight("2.0")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(VersionStore, "_write", full)
        async with Process(folder, vendor) as process:
            await process.serves("1.0")
            await process.keeper.refresh(PATH)
            assert "1.0" in await process.text()
            [line] = await process.said("script_not_recorded")
            assert ("No space left on device", "error") == (line["cause"], line["level"])
            patched.undo()
            await process.keeper.refresh(PATH)
            assert f"{'2.0' if is_recorded else '1.0'}" in await process.text()
            assert 1 == len(await process.said("script_recorded_again"))
            assert 1 + is_recorded == len(VersionStore(folder / "assets").load().assets[PATH].versions)


async def test_a_follower_asks_for_itself_when_nobody_can_record(folder, vendor, monkeypatch):
    """With a disk that was full from the first day each process serves from its own memory."""
    monkeypatch.setattr("gateway.assets.keeper._PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(VersionStore, "change", _unavailable)
    async with Process(folder, vendor, is_first=False) as follower:
        await follower.serves("1.0")


def _unavailable(self, *_, **__):
    raise AssetsUnavailable(self.folder, "Read-only file system", "see that its disk can be written")


async def test_an_unreadable_index_takes_nothing_off_the_shelves(folder, vendor):
    """What is served stays; the log says what to do, once."""
    async with Process(folder, vendor) as process:
        await process.serves("1.0")
        (folder / "assets" / "index.json").write_text("{", encoding="utf-8")
        await process.said("script_not_recorded")
        assert "1.0" in await process.text()
    async with Process(folder, vendor, first_wait_seconds=0) as process:
        assert 503 == await process.text()
        assert "holds no index" in process.scripts.trouble()


async def test_each_of_the_gateways_own_names_gets_its_own_script(folder, vendor):
    """`Host` chooses among the names that the settings know; no other word of a visitor's gets into a script."""
    urls = ["https://track.shop.example", "https://t.other.example/x"]
    async with Process(folder, vendor, public_urls=urls) as process:
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


async def test_more_names_than_there_can_be_scripts_for_are_refused(folder, vendor):
    """A gateway of very many sites lists those that load the vendor's script."""
    process = Process(folder, vendor)
    sites = [{"portal_id": "1", "prop_id": str(number), "site": f"s{number}.example"} for number in range(65)]
    with pytest.raises(TooManyNames, match="65"):
        VendorScripts(
            process.settings.model_copy(update={"properties": make_settings(properties=sites).properties}),
            Names(process.settings.paths, 0),
        )


async def test_scripts_use_the_gateways_own_paths(folder, vendor):
    """A prefix, and other names for the events and the scripts; when the names turn, so do the scripts."""
    paths = {"prefix": "/x7", "event": ["/e"], "assets": {"/webpush.js": ["/w.js"]}}
    async with Process(folder, vendor, paths=paths, assets={}) as process:
        await process.serves("1.0")
        text = await process.text()
        assert '"https://track.shop.example/x7/e"' in text
        assert r'"https:\/\/track.shop.example\/x7\/stream_event"' in text
        other = make_settings(paths={"event": ["/later"]})
        process.scripts.make_for(Names(other.paths, 0))
        await process.serves('"https://track.shop.example/later"')


async def test_names_of_the_vendors_that_are_left_are_told(folder, vendor):
    """A host that was put together, or one that nobody knew: a person should look."""
    vendor.contents[PATH] = b'var a="media.cdp.asia",b="//a.cdp.asia"'
    async with Process(folder, vendor) as process:
        await process.serves("track.shop.example")
        [line] = await process.said("script_names_left")
        assert (["media.cdp.asia"], "warning") == (line["names"], line["level"])


async def test_old_contents_are_pruned_and_remembered(folder, vendor):
    """Contents are bounded, what was seen is not forgotten; files are their owner's alone."""
    async with Process(folder, vendor, keep_versions=2) as process:
        await process.serves("1.0")
        for number in range(4):
            vendor.contents[PATH] = insight(f"9.{number}")
            await process.keeper.refresh(PATH)
    assets = folder / "assets"
    assert 2 == len([each for each in assets.iterdir() if len(each.name) == 64])
    assert 5 == len(VersionStore(assets).load().assets[PATH].versions)
    assert {0o600} == {each.stat().st_mode & 0o777 for each in assets.iterdir()}
    assert 0o700 == assets.stat().st_mode & 0o777


async def test_assets_of_other_kinds_keep_their_type(folder, vendor):
    """An image is no script: it is taken by its first bytes, and nothing is rewritten in it."""
    vendor.contents |= {
        "/logo.png": b"\x89PNG//a.cdp.asia",
        "/x.css": b"a{background:url(//st-a.cdp.asia/logo.png)}",
    }
    vendor.content_type = ""
    async with Process(
        folder,
        vendor,
        assets={"/logo.png": "/logo.png", "/x.css": f"{vendor.url}/x.css", PATH: "", **ONLY_SCRIPT},
    ) as process:
        image = await process.get("/logo.png")
        assert (b"\x89PNG//a.cdp.asia", "image/png") == (image.body, dict(image.headers)["Content-Type"])
        assert "a{background:url(//track.shop.example/logo.png)}" == await process.text("/x.css")
