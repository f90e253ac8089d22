"""What a session says at its end: a summary for who watches, reports as files, and the exit code."""

from __future__ import annotations

import atexit
import io
import sys
from typing import TYPE_CHECKING

from mitmproxy import ctx, version
from rich.console import Console

from gateway.qa.reports import gather, summary, write_reports

if TYPE_CHECKING:
    from gateway.qa.reports import SessionModel
    from gateway.qa.session import Session
    from tracking_parts.options import Wanted

_FAILING = {
    "never": (),
    "error": ("error",),
    "warning": ("error", "warning"),
    "note": ("error", "warning", "note"),
}


def model_of(session: Session, wanted: Wanted) -> SessionModel:
    """Give the model of a finished session."""
    source = ctx.options.rfile or f"mitmproxy {version.VERSION}"
    return gather(session, wanted.settings, source=source, mode=wanted.mode)


def show(model: SessionModel) -> None:
    """Print the summary: now, or where mitmproxy has the screen to itself, when it is gone. Not where mitmdump is to be quiet."""
    if ctx.master.addons.get("termlog") is not None:  # type: ignore[no-untyped-call]
        # The option is that addon's own: mitmproxy with its own screen has neither.
        if ctx.options.termlog_verbosity in {"error", "warn"}:
            return
        Console(file=sys.stdout, highlight=False).print(summary(model))
        sys.stdout.flush()
        return
    text = io.StringIO()
    Console(file=text, highlight=False, force_terminal=sys.stdout.isatty()).print(summary(model))
    atexit.register(sys.stdout.write, text.getvalue())


def write(model: SessionModel, wanted: Wanted) -> list[str]:
    """Write the reports that are asked for and give their paths. Raises `OSError`."""
    files = {name.removeprefix("tracking_"): path for name, path in wanted.files.items()}
    written = write_reports(
        model,
        html=files.get("report"),
        junit=files.get("junit"),
        json=files.get("json"),
        sarif=files.get("sarif"),
        fail_on="error" if wanted.fail_on == "never" else wanted.fail_on,
    )
    return [str(path) for path in written]


def is_failure(model: SessionModel, wanted: Wanted) -> bool:
    """Tell whether something was found that the tester does not let pass."""
    return any(model.counts.severities[name] for name in _FAILING[wanted.fail_on])
