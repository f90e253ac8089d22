"""Runs the command line as people and programs do: a process of its own, whose two outputs and exit code are looked at."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from tests.processes import ROOT

if TYPE_CHECKING:
    import signal


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


async def on_a_terminal(question: str, answer: bytes | signal.Signals, *arguments: object) -> Ended:
    """Run a command whose standard input and error are a terminal, on which a question is answered: typed, or by a signal.

    `err` is what stood on the terminal.
    """
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", *map(str, arguments), cwd=ROOT, env=environment(TERM="xterm"),
        stdin=slave, stdout=asyncio.subprocess.PIPE, stderr=slave, start_new_session=True,
    )  # fmt: skip
    os.close(slave)

    def converse() -> bytes:
        text, is_answered = b"", False
        # At its end a pseudo-terminal gives an error, not an empty read.
        with contextlib.suppress(OSError):
            while chunk := os.read(master, 65_536):
                text += chunk
                if not is_answered and question.encode() in text:
                    is_answered = True
                    if not isinstance(answer, bytes):
                        process.send_signal(answer)
                    # Between its last look for signals and its read a process hears of one with the next key.
                    os.write(master, answer if isinstance(answer, bytes) else b"\n")
        return text

    said = asyncio.create_task(asyncio.to_thread(converse))
    try:
        out, _ = await asyncio.wait_for(process.communicate(), 60)
    except TimeoutError:
        process.kill()
        raise
    finally:
        text = await said
        os.close(master)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), text.decode())


async def both(*arguments: object) -> list[Ended]:
    """Run a command as text and with `--json`."""
    return await asyncio.gather(run(*arguments), run(*arguments, "--json"))
