"""`tracking-gateway doctor` as people and programs run it, over a small internet on loopback: text, JSON and exit codes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from typing import NamedTuple

import orjson
import pytest

from tests.integration.doctor_world import Shop, Zone, make_certificate, running_dns, running_https
from tests.processes import ROOT

PAGE, TRACK = "www.shop.example", "track.shop.example"
CHECKS = [
    "site_domain", "site_dns", "tracking_dns", "same_site", "cookie_domain", "cname", "address", "changing", "https", "script",
]  # fmt: skip


class Ended(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The one JSON document on standard output; nothing else may stand there or on standard error."""
        assert self.err == ""
        return orjson.loads(self.out)


def run(*arguments, cwd=ROOT):
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "doctor", *map(str, arguments)], cwd=cwd, stdin=subprocess.DEVNULL,
        capture_output=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"},
    )  # fmt: skip
    return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())


class World:
    """A zone, a gateway's HTTPS port and a settings file; `look` runs the command over them."""

    def __init__(self, zone, shop, port, resolver, certificate, config):
        self.zone, self.shop, self.port = zone, shop, port
        self._fixed = ("--resolver", resolver, "--ca-file", certificate.cert, "--config", config)

    def look(self, *arguments, tracking=None):
        return run(
            "--site", f"https://{PAGE}", "--tracking", tracking or f"https://{TRACK}:{self.port}", *self._fixed, *arguments
        )  # fmt: skip


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("ca"), TRACK, PAGE)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "gateway.toml"
    path.write_text(
        f'[server]\npublic_url = "https://{TRACK}:1"\n'
        '[[properties]]\nportal_id = "33167"\nprop_id = "556300706"\nsite = "shop.example"\n'
    )
    return path


@pytest.fixture
def world(certificate, config):
    zone, shop = Zone(), Shop()
    with running_dns(zone) as resolver, running_https(shop, certificate) as port:
        yield World(zone, shop, port, resolver, certificate, config)


def checks(document):
    return {each["check"]: each["status"] for each in document["checks"]}


def test_a_site_in_order_ends_with_0(world):
    """Both names in one network: the cookie stays, the script is there, and only the private addresses are warned of."""
    world.zone.add(PAGE, "127.0.7.1")
    world.zone.add(TRACK, "127.0.0.1")
    as_text, document = world.look(), world.look("--json")
    assert (0, 0) == (as_text.code, document.code)
    assert list(checks(document.json)) == CHECKS
    assert {"site_dns": "warn", "tracking_dns": "warn"} == {
        name: status for name, status in checks(document.json).items() if status != "ok"
    }
    assert (True, "none") == (document.json["ok"], document.json["cap"])
    assert as_text.out.startswith(f"Safari would keep the cookie of {TRACK} 400 days.")
    assert as_text.err == ""
    assert len([line for line in as_text.out.splitlines() if line.startswith(("ok ", "warn "))]) == len(
        CHECKS
    )


def test_a_cname_to_a_vendor_ends_with_1_and_the_advice(world):
    """The chain, the reason and the repair are named, in the text and in the document."""
    world.zone.add(PAGE, "127.0.7.1")
    world.zone.add(TRACK, cname="shop33167.vendor.example")
    world.zone.add("shop33167.vendor.example", "127.0.0.1")
    as_text, document = world.look(), world.look("--json")
    assert (1, 1) == (as_text.code, document.code)
    assert (False, "all") == (document.json["ok"], document.json["cap"])
    assert checks(document.json)["cname"] == "fail"
    assert document.json["dns"]["tracking"]["cname_chain"] == ["shop33167.vendor.example"]
    assert document.json["dns"]["tracking"]["addresses"] == ["127.0.0.1"]
    assert "an A record to the same load balancer or CDN zone" in document.json["advice"][0]
    told = f"Safari would keep the cookie 7 days instead of 400, with the twin not helping either, because {TRACK} is a CNAME to"
    assert as_text.out.startswith(told)
    assert "What to do\n1. Give track.shop.example an A record" in as_text.out
    assert f"https://{PAGE}/t/" in as_text.out


def test_another_network_ends_with_1(world):
    """The first halves of the addresses are shown."""
    world.zone.add(PAGE, "127.200.0.1")
    world.zone.add(TRACK, "127.0.0.1")
    document = world.look("--json")
    assert document.code == 1
    assert checks(document.json)["address"] == "fail"
    assert "127.0.0.0/16" in document.json["summary"]
    assert "127.200.0.0/16" in document.json["summary"]


def test_a_gateway_below_a_path_of_the_page_is_well(world):
    """The advice holds: served below a path of the site, nothing is left to compare."""
    world.zone.add(PAGE, "127.0.0.1")
    document = world.look("--json", tracking=f"https://{PAGE}:{world.port}/t")
    assert document.code == 0
    assert document.json["cap"] == "none"
    assert world.shop.seen == [(f"{PAGE}:{world.port}", "/t/insight.js")]


def test_the_script_is_asked_for_by_the_name_that_the_snippet_has(world, config):
    """`[paths]` says what that is."""
    world.zone.add(PAGE, "127.0.0.1")
    world.zone.add(TRACK, "127.0.0.1")
    text = config.read_text()
    config.write_text(f'[paths]\nprefix = "/x7"\nscript = ["/a.js"]\n{text}')
    document = world.look("--json")
    assert document.code == 0
    assert world.shop.seen == [(f"{TRACK}:{world.port}", "/x7/a.js")]


def test_a_script_that_is_a_page_ends_with_1(world):
    """A catch-all route that answers with HTML is found."""
    world.zone.add(PAGE, "127.0.0.1")
    world.zone.add(TRACK, "127.0.0.1")
    world.shop.content_type = "text/html"
    document = world.look("--json")
    assert document.code == 1
    assert {"https": "ok", "script": "fail"}.items() <= checks(document.json).items()


def test_without_http_only_names_are_looked_at(world):
    """`--no-http` connects to nothing and says so."""
    world.zone.add(PAGE, "127.0.0.1")
    world.zone.add(TRACK, "127.0.0.1")
    as_text, document = world.look("--no-http"), world.look("--no-http", "--json")
    assert (0, 0) == (as_text.code, document.code)
    assert world.shop.seen == []
    assert list(checks(document.json)) == CHECKS[:-2]
    assert "--no-http" in as_text.out


def test_dns_that_says_nothing_ends_with_1(world):
    """What can't be told is not called fine."""
    world.zone.silent |= {(name, kind) for name in (PAGE, TRACK) for kind in ("A", "AAAA")}
    document = world.look("--timeout", "0.3", "--json")
    assert document.code == 1
    assert (False, "unknown") == (document.json["ok"], document.json["cap"])
    assert document.json["dns"]["site"]["unanswered"] == ["A", "AAAA"]


def test_the_tracking_name_comes_from_the_settings(world, config):
    """Without `--tracking`, `server.public_url` is looked at."""
    world.zone.add(PAGE, "127.0.0.1")
    world.zone.add(TRACK, "127.0.0.1")
    resolver = world._fixed[1]
    document = run("--site", PAGE, "--config", config, "--resolver", resolver, "--no-http", "--json")
    assert document.json["tracking"] == f"https://{TRACK}:1"
    assert document.code == 0


def test_a_site_is_looked_at_before_there_is_a_gateway(world, tmp_path):
    """Where no settings stand, the defaults do, and the report says that none were read."""
    world.zone.add(PAGE, "127.0.0.1")
    world.zone.add(TRACK, "127.0.0.1")
    document = run("--site", PAGE, "--resolver", world._fixed[1], "--no-http", "--json", cwd=tmp_path)
    assert document.code == 0
    assert document.json["tracking"] == f"https://{TRACK}"
    assert any("no settings were read" in each["seen"] for each in document.json["checks"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--site", "https://203.0.113.1"), "--site: write a host name, not an address"),
        (("--site", "lan@shop.example"), "--site: write a URL without user"),
        (("--site", PAGE, "--tracking", "ftp://x"), "--tracking: write an http:// or https:// URL"),
        (("--site", PAGE, "--resolver", "dns.example"), "--resolver: write the resolver's address"),
        (("--site", PAGE, "--ca-file", "/nowhere.pem"), "--ca-file: name a file with certificates"),
        (("--site", PAGE, "--ca-file", str(ROOT / "README.md")), "--ca-file: name a file with certificates"),
        (("--site", PAGE, "--timeout", "0"), "--timeout"),
        ((), "--site"),
    ],
)
def test_a_wrong_argument_ends_with_2(arguments, told):
    """The option is named, what to write too, and what was typed is not repeated: a person's address may be in it."""
    document = run(*arguments, "--json")
    assert document.code == 2
    assert document.json["ok"] is False
    assert told in document.json["error"]
    assert "lan" not in document.out


def test_a_wrong_argument_is_told_on_standard_error():
    """Without `--json` the sentence goes where errors go, and standard output stays empty."""
    ended = run("--site", "https://203.0.113.1")
    assert (2, "") == (ended.code, ended.out)
    assert ended.err.startswith("tracking-gateway: --site: write a host name, not an address")


def test_wrong_settings_end_with_2(tmp_path):
    """A settings file that was named must be there."""
    assert run("--site", PAGE, "--config", tmp_path / "none.toml", "--json").code == 2


def test_help_teaches_what_it_is_about():
    """The rule, the exit codes and an example stand in the help."""
    help_ = run("--help")
    assert help_.code == 0
    for each in ("7 days", "CNAME", "/16", "Exit codes", "--resolver", "--no-http", "--ca-file", "--site"):
        assert each in help_.out


def test_a_person_at_a_terminal_sees_that_it_is_at_work(world):
    """On a terminal a spinner says what is looked at; the other tests show that a pipe gets none."""
    world.zone.add(PAGE, "127.0.0.1")
    world.zone.add(TRACK, "127.0.0.1")
    reader, terminal = os.openpty()
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, reader)
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "doctor", "--site", PAGE, "--resolver", world._fixed[1], "--no-http"],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=terminal,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "200"},
        )  # fmt: skip
        os.close(terminal)
        shown = b""
        # A terminal whose other end is closed gives an error, not an end of file.
        with contextlib.suppress(OSError):
            while chunk := os.read(reader, 65_536):
                shown += chunk
        assert process.wait(30) == 0
    assert f"looking at {PAGE} and {TRACK}".encode() in shown
