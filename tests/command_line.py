"""Runs the command line as people and programs do: a process of its own, whose two outputs and exit code are looked at."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any, NamedTuple

import orjson

from tests.processes import ROOT


class Ended(NamedTuple):
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on standard output; nothing else may stand there or on standard error."""
        assert self.err == ""
        return orjson.loads(self.out)


def environment(**more: str) -> dict[str, str]:
    """Give the environment of a terminal 200 columns wide, without colours."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1", **more}


async def run(*arguments: object, given: str | None = None, **more: str) -> Ended:
    """Run a command as a person would; `given` is its standard input."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *map(str, arguments),
        cwd=ROOT, stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment(**more),
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(process.communicate(None if given is None else given.encode()), 60)
    except TimeoutError:
        process.kill()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def both(*arguments: object) -> list[Ended]:
    """Run a command as text and with `--json`."""
    return await asyncio.gather(run(*arguments), run(*arguments, "--json"))
