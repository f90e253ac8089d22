"""What a tester sets: the options of the addon, read once, and each mistake with its mend."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast, get_args

from mitmproxy.utils import human

from gateway import settings
from gateway.settings_errors import SettingsError

if TYPE_CHECKING:
    from mitmproxy.addonmanager import Loader

Mode = Literal["observe", "enforce", "redirect"]
FailOn = Literal["never", "error", "warning", "note"]
OPTIONS = (
    ("tracking_config", "", "The gateway's TOML file, such as config/gateway.toml. Nothing is looked at without it."),
    ("tracking_mode", "observe",
     ("observe: change nothing and report. enforce: send on what the gateway would have sent. "
      "redirect: answer tracking calls as the gateway would, as if the tracking name pointed at it already.")),
    ("tracking_fail_on", "never",
     "End mitmdump with exit code 1 when something of this severity, or worse, was found: error, warning or note; never: end with 0."),
    ("tracking_report", "", "Write an HTML report to this file at the end."),
    ("tracking_junit", "", "Write JUnit XML to this file at the end."),
    ("tracking_json", "", "Write everything as JSON to this file at the end."),
    ("tracking_sarif", "", "Write SARIF 2.1.0 to this file at the end."),
)  # fmt: skip
"""Name, default and help of each option."""
FILES = ("tracking_report", "tracking_junit", "tracking_json", "tracking_sarif")


class OptionWrong(Exception):
    """An option can't be used: which, what it says, and what to write instead."""

    def __init__(self, name: str, value: str, mend: str) -> None:
        super().__init__(f"{name}={value or '(nothing)'}: {mend}")
        self.name = name


class Wanted(NamedTuple):
    """The options, read. `files` are the reports to write, by option."""

    settings: settings.Settings
    config: Path
    mode: Mode
    fail_on: FailOn
    files: dict[str, Path]


def add_options(loader: Loader) -> None:
    """Tell mitmproxy of the options."""
    for name, default, words in OPTIONS:
        choices = {"tracking_mode": get_args(Mode), "tracking_fail_on": get_args(FailOn)}.get(name)
        loader.add_option(name, str, default, words, choices=choices)


def wanted(options: Any) -> Wanted:
    """Read the options off mitmproxy's. Raises `OptionWrong` for the first that can't be used."""
    names = [name for name, *_ in OPTIONS]
    for name in options.deferred:
        # What no addon has asked for; mitmproxy says nothing of it.
        if name.startswith("tracking_"):
            near = difflib.get_close_matches(name, names, 1) or [", ".join(names)]
            raise OptionWrong(name, "…", f"there is no such option; write {near[0]}")
    for name in ("tracking_mode", "tracking_fail_on"):
        known = get_args(Mode if name == "tracking_mode" else FailOn)
        if getattr(options, name) not in known:
            raise OptionWrong(name, getattr(options, name), f"write one of: {', '.join(known)}")
    files = {name: Path(getattr(options, name)).expanduser() for name in FILES if getattr(options, name)}
    for name, path in files.items():
        if path.is_dir() or not path.parent.is_dir():
            raise OptionWrong(name, str(path), "name a file in a folder that exists")
    config = options.tracking_config
    if not config:
        raise OptionWrong(
            "tracking_config", "", "name the gateway's TOML file: --set tracking_config=config/gateway.toml"
        )
    path = Path(config).expanduser()
    try:
        read = settings.load(path)
    except SettingsError as error:
        raise OptionWrong(
            "tracking_config", config, str(error).replace("--config", "tracking_config")
        ) from None
    _reads_whole(options, read)
    return Wanted(
        read, path, cast("Mode", options.tracking_mode), cast("FailOn", options.tracking_fail_on), files
    )


def _reads_whole(options: Any, read: settings.Settings) -> None:
    """See that what may become something else is never on its way before it is read. Raises `OptionWrong`."""
    streams = options.stream_large_bodies
    most = read.server.max_body_bytes
    if options.tracking_mode != "observe" and streams and (human.parse_size(streams) or 0) < most:
        mend = f"write {most} or more (server.max_body_bytes), or leave it out: a tracking call must be read whole"
        raise OptionWrong("stream_large_bodies", streams, mend)
