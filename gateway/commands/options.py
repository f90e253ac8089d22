"""What the commands have in common: their options, and how they find the settings and the stores of a gateway.

The stores are those of `data_dir`; a command works beside a running gateway, or without one.
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway import settings
from gateway.settings_errors import SettingsError
from gateway.terminal import fail, print_json

if TYPE_CHECKING:
    from gateway.ledger.contract import Ledger
    from gateway.settings import Settings

DEFAULT_CONFIG = Path("config/gateway.toml")
_CACHE_ENTRIES = 1_000
_AGO = re.compile(r"(\d{1,6})(s|m|h|d|w)\Z", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        help="The settings, a TOML file. Every key can also stand in the environment.",
        envvar="TRACKING_GATEWAY_CONFIG",
    ),
]
PortalOption = Annotated[str, typer.Option(help="Only this portal.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]


def load(config: Path, *, as_json: bool = False) -> Settings:
    """Read the settings, or say what is wrong with them and end with 2."""
    try:
        return settings.load(config)
    except SettingsError as error:
        if as_json:
            print_json({"ok": False, "problems": [problem._asdict() for problem in error.problems]})
        else:
            sys.stderr.write(f"{error}\n")
        raise typer.Exit(2) from None


def store(config: Path, name: str, *, as_json: bool) -> Path:
    """Give the file of a store that the gateway has made; end with 1 where it has not been started yet."""
    path = load(config, as_json=as_json).data_dir / f"{name}.db"
    if not path.exists():
        hint = "start the gateway once, or name the right settings with --config"
        fail(f"no {name} at {path}: {hint}", as_json=as_json)
    return path


def opened(path: Path, *, read_only: bool = True) -> Ledger:
    """Open a ledger for one command: nothing is remembered for later. Raises `LedgerUnavailable`."""
    from gateway.ledger.sqlite import open_sqlite_ledger  # noqa: PLC0415 -- `--help` need not wait for it

    return open_sqlite_ledger(path, cache_entries=_CACHE_ENTRIES, read_only=read_only)


def now_ms() -> int:
    """Give the time: Unix milliseconds."""
    return time.time_ns() // 1_000_000


def seconds_ago(text: str) -> int | None:
    """Give how many seconds a text such as `30m`, `2h` or `3d` means; `None` when it is not of this kind."""
    found = _AGO.match(text.strip())
    return None if found is None else int(found[1]) * _SECONDS[found[2]]


def counted(number: int, one: str, many: str = "") -> str:
    """Give a number with its noun: `1 row`, `1,024 rows`."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
