"""What the commands have in common: their options, and how they find the settings and the stores of a gateway.

The stores are those of `data_dir`; a command works beside a running gateway, or without one.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway import settings
from gateway.settings_errors import SettingsError
from gateway.terminal import fail, print_json

if TYPE_CHECKING:
    from gateway.settings import Settings

DEFAULT_CONFIG = Path("config/gateway.toml")

ConfigOption = Annotated[
    Path,
    typer.Option(
        "--config",
        "-c",
        help="The settings, a TOML file. Every key can also stand in the environment.",
        envvar="TRACKING_GATEWAY_CONFIG",
    ),
]
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


def moment(milliseconds: int) -> str:
    """Give a Unix time in milliseconds as RFC 3339 text in UTC, to the millisecond."""
    text = datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
