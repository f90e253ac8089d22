"""What browsers and compilers get of the script is made of the file that people read, is small, and is whole."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import brotli  # type: ignore[import-untyped]
import pytest
from backports import zstd

from gateway.sdk import script_source, script_types, source_map

_ROOT = Path(__file__).parents[2]
_SIX_KB = 6 * 1_024


def _file(name: str) -> str:
    return resources.files("gateway.sdk").joinpath(name).read_text("utf-8")


def _node_tool(name: str) -> str:
    """Give a tool's path, or skip; TRACKING_GATEWAY_REQUIRE_NODE=1 says that this would hide something."""
    found = _ROOT / "tools" / "node_modules" / ".bin" / name if name != "node" else shutil.which("node")
    if found is None or not Path(found).exists() or not (_ROOT / "tools" / "node_modules").exists():
        missing = f"no {name}: `make script` installs what checks the script's types and its minified form (needs npm)"
        if os.environ.get("TRACKING_GATEWAY_REQUIRE_NODE") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    return str(found)


@pytest.mark.parametrize(
    ("coding", "compress"),
    [
        ("gzip", lambda text: gzip.compress(text, 9)),
        ("br", brotli.compress),
        ("zstd", lambda text: zstd.compress(text, 19)),
    ],
)
def test_the_script_is_under_6_kb_on_the_wire(coding: str, compress):
    """In each coding that the gateway serves, also under the longest names that a site may give it."""
    longest = "/" + "x" * 40
    for names in ((), (longest,) * 4):
        assert len(compress(script_source(*names))) < _SIX_KB, coding


def test_the_minified_script_and_its_map_are_made_of_the_file():
    """Whoever changes web_event.js runs `make script`; this tells also where there is no node."""
    told = json.loads(_file("web_event.min.js.map"))["x_sha256"]
    for name, digest in told.items():
        assert hashlib.sha256(_file(name).encode()).hexdigest() == digest, f"{name}: run `make script`"
    assert {"web_event.js", "web_event.min.js"} == told.keys()


def test_minifying_anew_gives_the_same():
    """The committed files are the minifier's, to the byte."""
    done = subprocess.run(
        [_node_tool("node"), "minify.mjs", "--check"],
        cwd=_ROOT / "tools",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_map_holds_the_readable_lines():
    """A debugger needs nothing but the map."""
    assert json.loads(source_map())["sourcesContent"] == [_file("web_event.js")]


def test_the_map_leads_to_the_line_that_was_written():
    """A text that stands once in both, behind the line that is the minifier's own, is found where it was written."""
    script, told = script_source().decode().splitlines(), json.loads(source_map())
    readable = told["sourcesContent"][0].splitlines()
    text = '"prerenderingchange"'
    line, column = next((number, each.index(text)) for number, each in enumerate(script) if text in each)
    written = next(number for number, each in enumerate(readable) if text in each)
    source_line, found = 0, -1
    for number, mappings in enumerate(told["mappings"].split(";")):
        generated = 0
        for segment in filter(None, mappings.split(",")):
            steps = _decoded(segment)
            generated += steps[0]
            source_line += steps[2]
            if number == line and generated <= column:
                found = source_line
    assert written == found


def _decoded(segment: str) -> list[int]:
    """Read the numbers of a mapping (ECMA-426, base64 VLQ)."""
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    numbers, value, shift = [], 0, 0
    for character in segment:
        digit = digits.index(character)
        value += (digit & 31) << shift
        shift += 5
        if not digit & 32:
            numbers.append(-(value >> 1) if value & 1 else value >> 1)
            value = shift = 0
    return numbers


def test_the_script_names_its_map():
    """Seen from the script's own place; not at all where the map is not served."""
    assert script_source().endswith(b"\n//# sourceMappingURL=insight.js.map\n")
    assert script_source("/a/b.js", source_map="/c.map").endswith(b"\n//# sourceMappingURL=../c.map\n")
    assert b"sourceMappingURL" not in script_source(source_map="")


def test_the_types_take_right_code_and_refuse_wrong_code():
    """`tsc --strict` passes over a page's code in which each line that must not compile is marked."""
    done = subprocess.run(
        [
            _node_tool("tsc"), "--strict", "--noEmit", "--target", "es2020", "--lib", "es2020,dom",
            str(_ROOT / "tests" / "unit" / "script" / "page.ts"),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_types_name_every_call_of_the_script():
    """What the script puts on `web_event` stands in the types, and in the docs."""
    source = _file("web_event.js")
    commands = source[source.index("const commands = {") :]
    names = [
        line.split(":")[0].strip(" ,")
        for line in commands[: commands.index("  };")].splitlines()
        if line.startswith("    ") and line[4] not in " }"
    ]
    assert names == ["track", "resetAnonymousUId", "trackEventWithUri", "consent", "decorate"]
    docs = (_ROOT / "docs" / "script.md").read_text("utf-8")
    assert all(f"{name}" in script_types() and f"web_event.{name}(" in docs for name in names)
