"""What a real browser makes of an event, by each of the ways that a page has to send one."""

from __future__ import annotations

import pytest

from tests.browser.test_relay_campaign import put
from tests.builders import PORTAL_ID, PROP_ID
from tests.processes import running_collector, running_gateway_process, until

# Each sends an event whose action is the way's name.
WAYS = """
const fields = (way) => ({uid: "1234567890123", ec: "ways", ea: way, extra: {title: "Áo dài 🙂 + &%41"}});
const flat = (way) => ({...fields(way), extra: JSON.stringify(fields(way).extra)});
const filled = (form, way) => { for (const [name, value] of Object.entries(flat(way))) form.append(name, value); return form; };
const text = (way) => JSON.stringify(fields(way));
const post = (body, headers) => fetch(url, {method: "POST", body, headers, keepalive: true});
const blob = (way, type) => new Blob([text(way)], {type});
const ways = {
  beacon_text: (way) => navigator.sendBeacon(url, text(way)),
  beacon_form: (way) => navigator.sendBeacon(url, filled(new URLSearchParams(), way)),
  beacon_parts: (way) => navigator.sendBeacon(url, filled(new FormData(), way)),
  beacon_blob: (way) => navigator.sendBeacon(url, blob(way)),
  beacon_empty: (way) => navigator.sendBeacon(url + "&" + filled(new URLSearchParams(), way)),
  fetch_json: (way) => post(text(way), {"Content-Type": "application/json"}),
  fetch_blob_in_parts: (way) => { const form = new FormData(); form.append("data", blob(way, "application/json")); return post(form); },
  fetch_bytes: (way) => post(new TextEncoder().encode(text(way))),
  form_without_script: (way) => {
    const form = Object.assign(document.createElement("form"), {method: "POST", action: url, target: "frame"});
    for (const [name, value] of Object.entries(flat(way))) form.append(Object.assign(document.createElement("input"), {name, value}));
    document.body.append(form);
    form.submit();
  },
  image: (way) => { new Image().src = url.replace("=json", "=pixel") + "&" + filled(new URLSearchParams(), way); },
  script: (way) => new Promise((done) => {
    window.shopCallback = (answer) => done(document.title = answer.au_id);
    const src = url.replace("=json", "=javascript") + "&callback=shopCallback&" + filled(new URLSearchParams(), way);
    document.body.append(Object.assign(document.createElement("script"), {src}));
  }),
};
"""


@pytest.mark.timeout(120)
async def test_a_page_s_event_is_taken_however_the_page_sends_it(visitor, site, tmp_path):
    """Beacons, fetch, forms, an image and a script: the collector gets the same event by each."""
    async with (
        running_collector() as collector,
        running_gateway_process(tmp_path, collector.url, cookies={"secure": False}) as gateway,
    ):
        base = f"http://track.shop.example:{gateway.port}/event?portal_id={PORTAL_ID}&prop_id={PROP_ID}&resp_type=json"
        await put(
            visitor, site, f'<iframe name="frame"></iframe><script>const url = "{base}"; {WAYS}</script>'
        )
        ways = await visitor.evaluate("Object.keys(ways)")
        for way in ways:
            await visitor.evaluate("async (way) => { await ways[way](way); }", way)

        async def arrived():
            return len(await collector.get("/events")) >= len(ways)

        await until(arrived, "an event by each way has arrived")
        found = {each["body"]["ea"]: each["body"] for each in await collector.get("/events")}
        assert sorted(ways) == sorted(found)
        assert {("1234567890123", "Áo dài 🙂 + &%41")} == {
            (each["uid"], each["extra"]["title"]) for each in found.values()
        }
        assert "1234567890123" == await visitor.title()
