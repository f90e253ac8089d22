"""Writes reports to files. A file is there whole or not at all: who waits for it in a pipeline never reads half of one."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from gateway.qa.reports.documents import json_document
from gateway.qa.reports.junit import junit_document
from gateway.qa.reports.page import html_document
from gateway.qa.reports.sarif import sarif_document

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gateway.qa.findings import Order
    from gateway.qa.reports.model import SessionModel


def write_reports(
    model: SessionModel,
    *,
    html: Path | None = None,
    junit: Path | None = None,
    json: Path | None = None,
    sarif: Path | None = None,
    fail_on: Order = "error",
) -> list[Path]:
    """Write the reports that are asked for, and give their paths; folders that are missing are made.

    `fail_on` is the least grave severity at which a rule is a failed test in the JUnit report. Raises `OSError` for a place that can't be written.
    """
    asked: tuple[tuple[Path | None, Callable[[], bytes]], ...] = (
        (html, lambda: html_document(model)),
        (junit, lambda: junit_document(model, fail_on)),
        (json, lambda: json_document(model)),
        (sarif, lambda: sarif_document(model)),
    )
    written = []
    for path, make in asked:
        if path is not None:
            _write(path, make())
            written.append(path)
    return written


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # Beside it, so that the exchange is one step; another name each time, so that two who write don't meet.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
