"""The configuration: what is read, and what a person reads when it is wrong."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from gateway import settings
from gateway.settings_errors import SettingsError

ROOT = Path(__file__).parents[2]
PROPERTY = '[[properties]]\nportal_id = "33167"\nprop_id = "556300706"\nsite = "shop.example"\n'


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    import os

    for name in [name for name in os.environ if name.startswith("TRACKING_GATEWAY_")]:
        monkeypatch.delenv(name)


def write(folder, text):
    path = folder / "gateway.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder, text):
    with pytest.raises(SettingsError) as caught:
        settings.load(write(folder, text))
    return {problem.key: problem for problem in caught.value.problems}


def test_the_shipped_configuration_can_be_used():
    """`config/gateway.toml` is right as it stands."""
    loaded = settings.load(ROOT / "config/gateway.toml")
    assert (loaded.server.port, loaded.properties[0].site) == (8080, "shop.example")


def test_the_reference_shows_every_setting_with_its_default():
    """`config/reference.toml` and the code say the same, key by key."""
    written = tomllib.loads((ROOT / "config/reference.toml").read_text(encoding="utf-8"))
    loaded = settings.load(ROOT / "config/reference.toml")
    expected = settings.Settings(properties=loaded.properties).model_dump(mode="json")
    expected["identity"]["fields"] = loaded.identity.field_policies
    own = expected.pop("properties")[0]
    assert set(own) == set(written.pop("properties")[0])
    assert expected == written


def test_the_environment_wins_over_the_file(tmp_path, monkeypatch):
    """`TRACKING_GATEWAY_SECTION__KEY`, lists and tables as JSON."""
    monkeypatch.setenv("TRACKING_GATEWAY_SERVER__PORT", "9999")
    monkeypatch.setenv("TRACKING_GATEWAY_SERVER__TRUSTED_PROXIES", '["10.0.0.0/8"]')
    monkeypatch.setenv("TRACKING_GATEWAY_DATA_DIR", "/var/lib/gateway")
    loaded = settings.load(write(tmp_path, f'[server]\nport = 1\nhost = "0.0.0.0"\n{PROPERTY}'))
    assert (loaded.server.port, loaded.server.host) == (9999, "0.0.0.0")
    assert (loaded.server.trusted_proxies, loaded.data_dir) == (("10.0.0.0/8",), Path("/var/lib/gateway"))


def test_a_value_can_stand_in_a_file(tmp_path, monkeypatch):
    """`…__KEY_FILE` names it: the way secrets reach a container."""
    secret = tmp_path / "url"
    secret.write_text("https://a.cdp.asia/event\n", encoding="utf-8")
    monkeypatch.setenv("TRACKING_GATEWAY_COLLECTOR__URL_FILE", str(secret))
    assert settings.load(write(tmp_path, PROPERTY)).collector.url == "https://a.cdp.asia/event"
    monkeypatch.setenv("TRACKING_GATEWAY_COLLECTOR__URL_FILE", str(tmp_path / "missing"))
    with pytest.raises(SettingsError, match="TRACKING_GATEWAY_COLLECTOR__URL_FILE"):
        settings.load(write(tmp_path, PROPERTY))


def test_a_key_that_ends_in_file_is_still_a_key(tmp_path, monkeypatch):
    """`logging.file` is no reference to a file's content."""
    monkeypatch.setenv("TRACKING_GATEWAY_LOGGING__FILE", "/tmp/log")
    assert settings.load(write(tmp_path, PROPERTY)).logging.file == "/tmp/log"


def test_a_variable_of_an_unknown_section_is_refused(tmp_path, monkeypatch):
    """A typing error in the environment is not silently ignored."""
    monkeypatch.setenv("TRACKING_GATEWAY_SEVER__PORT", "1")
    with pytest.raises(SettingsError, match="did you mean TRACKING_GATEWAY_SERVER__"):
        settings.load(write(tmp_path, PROPERTY))


@pytest.mark.parametrize(
    ("text", "key", "got", "hint"),
    [
        ("[server]\nport = 'x'", "server.port", "'x'", "valid integer"),
        ("[server]\nport = 70000", "server.port", "70000", "less than or equal to 65535"),
        ("[server]\nprot = 1", "server.prot", "1", "did you mean 'port'?"),
        ("[sever]\nport = 1", "sever", "{'port': 1}", "did you mean 'server'?"),
        (
            "[server]\ntrusted_proxies = ['10.0.0.0/99']",
            "server.trusted_proxies[0]",
            "'10.0.0.0/99'",
            "10.0.0.0/8",
        ),
        ("[identity]\ncid_hash = 'md6'", "identity.cid_hash", "'md6'", "'sha256' or 'hmac-sha256'"),
        ("[identity]\non_conflict = 'merge'", "identity.on_conflict", "'merge'", "'quarantine'"),
        ("[identity]\ndefault_region = 'Vietnam'", "identity.default_region", "'Vietnam'", "two letters"),
        (
            "[identity]\ncid_hash = 'hmac-sha256'",
            "identity.cid_hash",
            "'hmac-sha256'",
            'add identity.hash_keys = ["id:key"]',
        ),
        ("[identity]\non_conflict = 'merge'", "identity.on_conflict", "'merge'", "'new_uid' or 'strip'"),
        ("[cookies]\ntwin_name = '_asm_uid'", "cookies.twin_name", "'_asm_uid'", "a name of its own"),
        ("[cookies]\nname = 'a b'", "cookies.name", "'a b'", "letters, digits"),
        ("[cookies]\nsecure = false\nsame_site = 'none'", "cookies.same_site", "'none'", "secure = true"),
        ("[identity.fields]\nemail = 'hsh'", "identity.fields.email", "'hsh'", "'hash'"),
        ("[collector]\nurl = 'a.cdp.asia'", "collector.url", "'a.cdp.asia'", "https://a.cdp.asia/event"),
        ("[collector]\ntimeout_seconds = 0", "collector.timeout_seconds", "0", "greater than 0"),
        ("[cookies]\nlifetime_days = 4000", "cookies.lifetime_days", "4000", "400"),
        ("[geo]\nlanguage = 'Vietnamese'", "geo.language", "'Vietnamese'", "such as vi"),
        ("[bots]\nhoneypot_path = 'members'", "bots.honeypot_path", "'members'", "an absolute path"),
        ("[bots]\nhoneypot_path = '/event'", "bots.honeypot_path", "'/event'", "such as /members/list"),
        ("[collector.regions]\nVietnam = 'https://a.b/c'", "collector.regions.Vietnam", "'Vietnam'", "VN"),
        (
            "[privacy.id_patterns]\na = '(?=x)'",
            "privacy.id_patterns.a",
            "'(?=x)'",
            "(invalid perl operator: (?=)",
        ),
        (
            "[session]\ncookie = '_asm_uid'",
            "session",
            "{'cookie': '_asm_uid', 'inactivity_minutes': 30.0, 'new_at_midnight': False, …",
            "session.cookie = '_asm_uid'",
        ),
    ],
)
def test_a_wrong_setting_names_the_key_the_value_and_the_mend(tmp_path, text, key, got, hint):
    """One problem for each key, in words that say what to write."""
    found = problems(tmp_path, f"{text}\n{PROPERTY}")
    assert key in found
    assert got == found[key].got
    assert hint in found[key].hint


def test_a_list_is_not_called_short_for_what_is_wrong_in_it(tmp_path):
    """One wrong step of a transformation is one problem."""
    text = f"[[transformations]]\nsteps = [{{ set = 'uid', value = 'x' }}]\n{PROPERTY}"
    assert ["transformations[0].steps[0].set"] == list(problems(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[[properties]]\nportal_id = "1"\nprop_id = "2"\n', "properties[0].site"),
        (
            '[[properties]]\nportal_id = "1"\nprop_id = "2"\nsite = "https://shop.example"\n',
            "properties[0].site",
        ),
        (f'{PROPERTY}origins = ["https://shop.example/path"]\n', "properties[0].origins[0]"),
        (f'{PROPERTY}redirect_hosts = ["*"]\n', "properties[0].redirect_hosts[0]"),
        (f"{PROPERTY}{PROPERTY}", "properties"),
        ("", "properties"),
    ],
)
def test_a_wrong_property_is_named(tmp_path, text, key):
    """Also when there is none, or the same one twice."""
    assert key in problems(tmp_path, text)


def test_ids_may_be_written_without_quotes(tmp_path):
    """To a person `portal_id = 33167` means the same."""
    text = PROPERTY.replace('"33167"', "33167")
    assert settings.load(write(tmp_path, text)).properties[0].portal_id == "33167"


def test_broken_toml_and_missing_files_are_explained(tmp_path):
    """With the position, or the name that does not exist."""
    assert "line 2" in problems(tmp_path, "[server]\nport = \n")["--config"].hint
    with pytest.raises(SettingsError, match="name a file that exists"):
        settings.load(tmp_path / "none.toml")


def test_secrets_are_not_shown(tmp_path, monkeypatch):
    """A variable that is named like a secret appears as dots."""
    monkeypatch.setenv("TRACKING_GATEWAY_IDENTTY__HMAC_KEY", "s3cret")
    with pytest.raises(SettingsError) as caught:
        settings.load(write(tmp_path, PROPERTY))
    assert "s3cret" not in str(caught.value)


def test_a_url_holds_no_password_and_the_error_does_not_show_it(tmp_path):
    """The collector's URL stands in the log and in what `check` prints."""
    found = problems(tmp_path, f"[collector]\nurl = 'https://me:s3cret@a.cdp.asia/event'\n{PROPERTY}")
    assert "user and password" in found["collector.url"].hint
    assert "'https://•••@a.cdp.asia/event'" == found["collector.url"].got


@pytest.mark.parametrize("keys", ["['no-colon']", "['a:short']", "['A:0123456789abcdef']", "['a:0123456789abcdef', 'a:0123456789abcdeg']"])  # fmt: skip
@pytest.mark.parametrize("where", ["cookies.keys", "identity.hash_keys"])
def test_a_wrong_secret_is_told_without_the_secret(tmp_path, where, keys):
    """The error may end up in a ticket."""
    section, key = where.split(".")
    found = problems(tmp_path, f"[{section}]\n{key} = {keys}\n{PROPERTY}")
    assert [each for each in found if each.startswith(where)]
    assert not [each for each in found.values() if "0123" in str(each) or "short" in str(each)]


def test_a_secret_shows_as_dots_but_to_the_gateways_own_processes(tmp_path):
    """`check --json` and a traceback may be read by anybody."""
    secret = "2026a:0123456789abcdef"
    loaded = settings.load(write(tmp_path, f"[cookies]\nkeys = ['{secret}']\n{PROPERTY}"))
    assert secret not in repr(loaded)
    assert secret not in str(loaded.model_dump(mode="json"))
    again = settings.Settings(**loaded.revealed())
    assert [secret] == [key.get_secret_value() for key in again.cookies.keys]


def test_secrets_can_stand_in_a_file_as_a_list(tmp_path, monkeypatch):
    """The newest first, as JSON."""
    file = tmp_path / "keys"
    file.write_text('["2026b:0123456789abcdef", "2026a:0123456789abcdef"]\n', encoding="utf-8")
    monkeypatch.setenv("TRACKING_GATEWAY_COOKIES__KEYS_FILE", str(file))
    keys = settings.load(write(tmp_path, PROPERTY)).cookies.keys
    assert ["2026b", "2026a"] == [key.get_secret_value().partition(":")[0] for key in keys]


def test_a_secret_that_is_no_list_is_told_without_the_secret(tmp_path, monkeypatch):
    """Somebody writes the bare key; the error names the variable and the form, not the key."""
    monkeypatch.setenv("TRACKING_GATEWAY_COOKIES__KEYS", "2026b:0123456789abcdef")
    with pytest.raises(SettingsError) as caught:
        settings.load(write(tmp_path, PROPERTY))
    assert "cookies" in str(caught.value).lower()
    assert "0123456789" not in str(caught.value)


def test_a_host_in_its_own_script_is_meant_as_browsers_send_it(tmp_path):
    """`Domain` and `Host` are ASCII on the wire; a site in Vietnamese or German is still covered."""
    text = PROPERTY.replace("shop.example", "bücher.example") + "redirect_hosts = ['*.bücher.example']\n"
    [loaded] = settings.load(write(tmp_path, text)).properties
    assert ("xn--bcher-kva.example", ("*.xn--bcher-kva.example",)) == (loaded.site, loaded.redirect_hosts)


def test_a_relay_budget_fits_into_an_attempt(tmp_path):
    """Beyond the time limit of an attempt nothing could come."""
    text = f"[collector]\ntimeout_seconds = 0.5\nrelay_budget_ms = 501\n{PROPERTY}"
    assert "at most 500" in problems(tmp_path, text)["collector.relay_budget_ms"].hint
    fitting = settings.load(write(tmp_path, text.replace("501", "500"))).collector
    assert (fitting.mode, fitting.relay_budget_ms) == ("async", 500)


@pytest.mark.parametrize("name", ["_asm_uid", "_asm_uid_s", "mine"])
def test_the_gateways_own_cookies_are_not_the_collectors(tmp_path, name):
    """Identity is the ledger's business, whatever the cookies are called."""
    own = "[cookies]\nppid_name = 'mine'\n" if name == "mine" else ""
    found = problems(tmp_path, f"[collector]\nrelay_cookies = ['seg', '{name}']\n{own}{PROPERTY}")
    assert f"{name} is the gateway's own cookie" in found["cookies"].hint
