"""Where a command's output goes: onto a full disk, into a pipe that somebody closes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECK = [sys.executable, "-m", "gateway", "check", "--config", "config/gateway.toml"]


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_a_full_disk_behind_standard_output_is_one_sentence(form):
    """`… > file` on a full disk ends with 1 and says so; no trace of Python."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            CHECK + form, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert (1, b"tracking-gateway: standard output: No space left on device\n") == (
        ended.returncode,
        ended.stderr,
    )


def test_a_reader_that_has_seen_enough_is_no_error():
    """`… | head -1` says nothing on standard error."""
    line = f"{' '.join(CHECK)} --json | head -1"
    ended = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert (b"{\n", b"") == (ended.stdout, ended.stderr)
