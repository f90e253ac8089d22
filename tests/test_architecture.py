"""The house: which room may import which, and how large a module may grow."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "gateway").rglob("*.py"))
ADDONS = sorted((ROOT / "addons").rglob("*.py"))

# Each room and what it may import, besides itself. `settings` are types that all may read.
ROOMS = {
    "events": set(),
    "storage": set(),
    "ledger": {"events", "storage"},
    "quarantine": {"events", "storage"},
    "spool": {"events", "storage"},
    "delivery": {"events", "spool"},
    "telemetry": {"events"},
    "archive": {"events", "ledger", "delivery", "telemetry"},
    "sdk": set(),
    "names": set(),
    "assets": {"events", "names", "telemetry"},
    "tls": {"telemetry"},
    "duplicates": {"events", "telemetry"},
    "web": {"assets", "tls", "names", "events", "ledger", "quarantine", "spool", "telemetry"},
    "sandbox": {"events", "sdk"},
    "stores": {"ledger", "quarantine", "spool", "telemetry"},
    "deadline": set(),
    "far_desk": {"events"},
    "releases": {"deadline", "events", "ledger", "quarantine", "spool", "telemetry"},
    "outflow": {
        "events",
        "ledger",
        "quarantine",
        "spool",
        "delivery",
        "archive",
        "telemetry",
        "stores",
        "deadline",
    },
    "crawler_proof": set(),
    "surroundings": {
        "crawler_proof",
        "daily_salt",
        "duplicates",
        "events",
        "geo",
        "outflow",
        "plans",
        "plugins",
        "telemetry",
        "time_zones",
    },
    "time_zones": set(),
    "daily_salt": set(),
    "plugins": {"events", "telemetry"},
    "plans": {"events", "telemetry", "archive", "settings_errors"},
    "geo": {"events", "telemetry"},
    "vendor_scripts": {"assets", "names", "telemetry", "__init__"},
    "app": {
        "assets",
        "vendor_scripts",
        "surroundings",
        "events",
        "ledger",
        "quarantine",
        "spool",
        "telemetry",
        "sdk",
        "names",
        "tls",
        "web",
        "stores",
        "outflow",
        "releases",
        "deadline",
        "far_desk",
        "cookie_key",
        "running",
        "chores",
        "descriptors",
        "__init__",
    },
    "qa": {
        "assets",
        "cookie_key",
        "deadline",
        "events",
        "ledger",
        "names",
        "outflow",
        "plans",
        "quarantine",
        "sdk",
        "spool",
        "stores",
        "surroundings",
        "telemetry",
        "terminal",
        "vendor_scripts",
        "web",
        "__init__",
    },
    "running": {"ledger", "quarantine", "spool", "stores"},
    "cookie_key": set(),
    "chores": {"spool", "telemetry"},
    "descriptors": set(),
    "supervisor": {"telemetry", "web"},
    "server": {"app", "descriptors", "stores", "supervisor", "surroundings", "telemetry"},
    "demo": {"app", "server", "stores", "sandbox", "telemetry"},
    "doctor": {"terminal"},
    "commands": {
        "assets",
        "vendor_scripts",
        "tls",
        "names",
        "events",
        "ledger",
        "quarantine",
        "spool",
        "delivery",
        "archive",
        "doctor",
        "plans",
        "plugins",
        "geo",
        "qa",
        "telemetry",
        "settings_errors",
        "terminal",
    },
    "cli": {"server", "demo", "sdk", "commands", "telemetry", "settings_errors", "terminal", "__init__"},
    "terminal": set(),
    "settings": {"settings_errors"},
    **{each.stem: set() for each in (ROOT / "gateway").glob("settings_*.py")},
    "__init__": set(),
    "__main__": {"cli"},
}
# What can be set is known to all who need it.
EVERYBODYS = {each.stem for each in (ROOT / "gateway").glob("settings*.py") if each.stem != "settings_errors"}
AIOHTTP_ROOMS = {"assets", "web", "delivery", "sandbox", "app", "supervisor", "demo"}
IMPURE = {
    "asyncio",
    "time",
    "random",
    "secrets",
    "os",
    "socket",
    "threading",
    "subprocess",
    "uuid",
    "pathlib",
}


def room(module: Path) -> str:
    return module.relative_to(ROOT / "gateway").parts[0].removesuffix(".py")


def imports(module: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_imports_go_one_way(module):
    """A room imports only the rooms that stand before it."""
    allowed = ROOMS[room(module)] | EVERYBODYS | {room(module)}
    inner = {name.split(".")[1] for name in imports(module) if name.startswith("gateway.")} - {"__version__"}
    assert inner <= allowed


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(ROOT)))
def test_the_transport_stays_in_its_rooms(module):
    """Only the adapters know aiohttp, and nothing in the gateway knows mitmproxy."""
    outer = {name.split(".")[0] for name in imports(module)}
    assert "mitmproxy" not in outer
    assert "aiohttp" not in outer or room(module) in AIOHTTP_ROOMS


def test_ingest_knows_no_transport():
    """Another transport can stand in for aiohttp on the hot path."""
    assert "aiohttp" not in {name.split(".")[0] for name in imports(ROOT / "gateway/web/ingest.py")}


@pytest.mark.parametrize(
    "module", [each for each in MODULES if room(each) == "events"], ids=lambda module: module.name
)
def test_the_pure_core_has_no_clock_no_randomness_and_no_io(module):
    """Time and chance are arguments there."""
    assert not {name.split(".")[0] for name in imports(module)} & IMPURE
    calls = {node.func.attr for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}  # fmt: skip
    assert not calls & {"now", "utcnow", "today"}


@pytest.mark.parametrize("module", [*MODULES, *ADDONS], ids=lambda module: str(module.relative_to(ROOT)))
def test_a_module_is_about_one_thing(module):
    """It says what in its docstring, and stays short."""
    text = module.read_text(encoding="utf-8")
    assert ast.get_docstring(ast.parse(text))
    assert text.count("\n") <= 350
