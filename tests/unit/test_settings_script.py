"""`[script]`: what stands there when nothing is said, what tables add and take away, and what is refused."""

from __future__ import annotations

import pytest

from gateway import settings
from gateway.settings_errors import SettingsError
from gateway.settings_script import Script
from gateway.vendor_scripts import public_urls
from tests.builders import make_settings

PROPERTY = '[[properties]]\nportal_id = "1"\nprop_id = "2"\nsite = "shop.example"\n'


def test_our_own_script_is_the_default():
    """Then nothing is fetched."""
    assert ("own", {}) == (Script().source, Script().sources())


def test_tables_add_to_what_is_usual_and_take_away():
    """An empty source takes an asset away; a path is one at `upstream_url`."""
    script = Script(
        source="upstream",
        upstream_url="https://v.example/sdk/",
        assets={"/webpush.js": "", "/a.css": "/x/a.css?v=2", "/b.js": "https://w.example/b.js"},
        hosts={"a.cdp.asia": "keep", "Media.CDP.asia": "own"},
    )
    assert {
        "/insight.js": "https://v.example/sdk/insight.js",
        "/antsomiSDKsw.js": "https://v.example/sdk/antsomiSDKsw.js",
        "/a.css": "https://v.example/sdk/x/a.css?v=2",
        "/b.js": "https://w.example/b.js",
    } == script.sources()
    assert ("keep", "own", "own") == tuple(
        script.hosts[each] for each in ("a.cdp.asia", "media.cdp.asia", "st-a.cdp.asia")
    )


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({}, ("https://track.shop.example",)),
        ({"server": {"public_url": "https://t.shop.example/x/"}}, ("https://t.shop.example/x",)),
        (
            {"script": {"public_urls": ["https://A.example/", "http://b.example:8080/t"]}},
            ("https://a.example", "http://b.example:8080/t"),
        ),
    ],
)
def test_the_gateways_own_names_come_from_the_settings(sections, expected):
    """The script's own, else the server's, else one for each site."""
    assert expected == public_urls(make_settings(**sections))


@pytest.mark.parametrize(
    ("text", "key", "hint"),
    [
        ('source = "vendor"', "script.source", "'own' or 'upstream'"),
        ('on_change = "ask"', "script.on_change", "'serve' or 'hold'"),
        ('upstream_url = "st-a.cdp.asia"', "script.upstream_url", "full http:// or https:// URL"),
        ('public_urls = ["https://a.example/?x"]', "script.public_urls[0]", "https://track.shop.example"),
        ("public_urls = ['https://a.example/\"']", "script.public_urls[0]", "https://track.shop.example"),
        ("[script.assets]\n'/x' = '/x'", "script.assets", "ending"),
        ("[script.assets]\n'/event' = '/x.js'", "script.assets", "the gateway's own"),
        ("[script.assets]\n'x.js' = '/x.js'", "script.assets", "absolute path"),
        ("[script.assets]\n'/../x.js' = '/x.js'", "script.assets", "absolute path"),
        ("[script.assets]\n'/x.js' = 'x.js'", "script.assets", "script.upstream_url"),
        ("[script.hosts]\n'a.cdp.asia' = 'drop'", "script.hosts", '"keep"'),
        ("[script.pins]\n'/insight.js' = ['abc']", "script.pins", "64 lower-case hex digits"),
        ("max_bytes = 99999999", "script.max_bytes", "less than or equal to 8388608"),
        (
            "[server]\npublic_url = 'https://a.example/x?y'\n[script]\nsource = 'upstream'",
            "script",
            "set script.public_urls",
        ),
        (
            "[script]\nsource = 'upstream'\n[paths]\nevent = ['/webpush.js']",
            "script",
            "/webpush.js would be both /event and /webpush.js",
        ),
        (
            "[script]\nsource = 'upstream'\n[script.assets]\n'/t/p.css' = '/p.css'\n[paths]\nprefix = '/t'\nppid = ['/p.css']",
            "script",
            "/t/p.css would be both /ppid and /t/p.css",
        ),
        (
            "[script]\nsource = 'upstream'\n[paths]\ndefault_names = false\nscript = ['/a.js']\nevent = ['/e']",
            "script",
            "/webpush.js has no name: add it to [paths.assets]",
        ),
        ("[paths]\nevent = ['/insight.js.map']", "script", "both /event and /insight.js.map"),
        ("refresh = 5", "script.refresh", "refresh_seconds"),
    ],
)
def test_a_wrong_setting_says_what_to_write(tmp_path, text, key, hint):
    """The key, and what would do."""
    path = tmp_path / "gateway.toml"
    path.write_text(
        f"[script]\n{text}\n{PROPERTY}" if not text.startswith("[") else f"{text}\n{PROPERTY}",
        encoding="utf-8",
    )
    with pytest.raises(SettingsError) as error:
        settings.load(path)
    [problem] = error.value.problems
    assert problem.key.startswith(key)
    assert hint in problem.hint


def test_a_script_for_very_many_sites_needs_its_names(tmp_path):
    """Said by `check`, not first when the gateway starts."""
    path = tmp_path / "gateway.toml"
    sites = "".join(
        f'[[properties]]\nportal_id = "1"\nprop_id = "{number}"\nsite = "s{number}.example"\n'
        for number in range(65)
    )
    path.write_text(f'[script]\nsource = "upstream"\n{sites}', encoding="utf-8")
    with pytest.raises(SettingsError) as error:
        settings.load(path)
    [problem] = error.value.problems
    assert "script.public_urls" in problem.hint
    path.write_text(
        f'server.public_url = "https://t.example"\n{path.read_text(encoding="utf-8")}', encoding="utf-8"
    )
    assert 65 == len(settings.load(path).properties)
