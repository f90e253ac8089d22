"""A case of the corpus: what a client sends, and what becomes of it, in one text file that people write and compare.

`README.md` beside this file shows the form. What always holds: the requests of a case are the author's and are never changed; all the rest is what
`tests.corpus.rendering` makes of a player's results, so that a file is right exactly when a player's text is the file's.
"""

from __future__ import annotations

import base64
import gzip
import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gateway.events.keyring import Keyring
from gateway.events.twin import TwinSigner
from tests.builders import COOKIE_KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

FOLDER = Path(__file__).parent / "requests"
_LIVE_ONLY = "players: live"
_MARK = "--- "
_MACRO = re.compile(r"\{\{(twin|forged twin|repeat|bytes) (.*?)\}\}(?!\})")


class Message(NamedTuple):
    """One request: its head's lines and its body as it is coded; `is_before`: it only prepares what follows."""

    lines: tuple[bytes, ...]
    body: bytes
    is_before: bool = False
    is_chunked: bool = False

    @property
    def method(self) -> str:
        """The method, as it came."""
        return self.lines[0].partition(b" ")[0].decode("latin-1")

    @property
    def target(self) -> str:
        """The target, as it came."""
        return self.lines[0].partition(b" ")[2].rpartition(b" ")[0].decode("utf-8", "replace")

    @property
    def fields(self) -> list[tuple[str, str]]:
        """The head's fields, with names in lower case."""
        pairs = (line.decode("utf-8", "replace").partition(":") for line in self.lines[1:])
        return [(name.lower(), value.strip(" \t")) for name, _, value in pairs]

    def wire(self) -> bytes:
        """Give the bytes of the request; a body that does not say how long it is gets a `Content-Length`."""
        named = {name for name, _ in self.fields}
        is_silent = not named & {"content-length", "transfer-encoding"}
        more = [b"Content-Length: %d" % len(self.body)] if self.body and is_silent else []
        body = _chunked(self.body) if self.is_chunked else self.body
        return b"\r\n".join([*self.lines, *more, b"", b""]) + body


class Step(NamedTuple):
    """Requests that are sent at once over one connection, as texts with their options, and the blocks that say what becomes of them."""

    requests: tuple[tuple[tuple[str, ...], str], ...]
    expected: tuple[str, ...] = ()


class Case(NamedTuple):
    """A file: its path below the folder without the suffix, the sentence that it begins with, and its steps."""

    name: str
    title: str
    steps: tuple[Step, ...]
    is_live_only: bool = False

    @property
    def path(self) -> Path:
        """Where it is."""
        return FOLDER / f"{self.name}.http"

    def text(self, expected: Iterable[Iterable[str]]) -> str:
        """Give the file with these blocks as what is expected of each step."""
        parts = [self.title]
        for step, blocks in zip(self.steps, expected, strict=True):
            parts += [f"{_MARK}{' '.join(options)}\n{text}" for options, text in step.requests]
            parts += blocks
        return "\n\n".join(part.rstrip("\n") for part in parts) + "\n"


def read_case(path: Path) -> Case:
    """Read a file. Raises `ValueError` for one that is no case."""
    name = str(path.relative_to(FOLDER).with_suffix(""))
    title, *blocks = re.split(rf"^(?={_MARK})", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if not title.strip() or not blocks:
        raise ValueError(f"{name}: begin with a sentence, and write at least one request")
    steps: list[Step] = []
    for block in blocks:
        line, _, text = block.partition("\n")
        kind, *options = line.removeprefix(_MARK).split()
        if kind in {"request", "before"}:
            request = (kind, *options), text.rstrip("\n")
            if steps and not steps[-1].expected and "before" not in (kind, steps[-1].requests[0][0][0]):
                steps[-1] = steps[-1]._replace(requests=(*steps[-1].requests, request))
            else:
                steps.append(Step((request,)))
        elif kind in {"event", "answer"} and steps:
            steps[-1] = steps[-1]._replace(expected=(*steps[-1].expected, block.rstrip("\n")))
        else:
            raise ValueError(f"{name}: a block is a request, a before, an event or an answer: {line!r}")
    return Case(name, title.rstrip("\n"), tuple(steps), _LIVE_ONLY in title.splitlines())


def read_cases(names: Iterable[str] = ()) -> list[Case]:
    """Read all cases in the order of their names, or those whose name begins with one of `names`."""
    chosen = tuple(names)
    cases = (read_case(path) for path in sorted(FOLDER.rglob("*.http")))
    return [case for case in cases if not chosen or case.name.startswith(chosen)]


def messages(step: Step, now_ms: int, portal_id: Callable[[bytes], bytes] = bytes) -> list[Message]:
    """Give the requests of a step as they are sent at this moment; `portal_id` may put another portal into a text."""
    return [_message(options, text, now_ms, portal_id) for options, text in step.requests]


def _message(
    options: tuple[str, ...], text: str, now_ms: int, portal_id: Callable[[bytes], bytes]
) -> Message:
    head, _, tail = text.partition("\n\n")
    lines = tuple(portal_id(_bytes(line, now_ms)) for line in head.split("\n"))
    body = tail.encode() if "base64" in options else portal_id(_bytes(tail, now_ms))
    for option in options[1:]:
        body = _CODINGS[option](body)
    return Message(lines, body, options[0] == "before", "chunked" in options)


def _bytes(text: str, now_ms: int) -> bytes:
    """Give the bytes of a text in which `{{twin UID}}`, `{{forged twin UID}}`, `{{repeat N TEXT}}` and `{{bytes HEX}}` stand for what can't be written."""
    parts: list[bytes] = []
    end = 0
    for found in _MACRO.finditer(text):
        parts.append(text[end : found.start()].encode())
        parts.append(_macro(found[1], found[2], now_ms))
        end = found.end()
    return b"".join([*parts, text[end:].encode()])


def _macro(name: str, argument: str, now_ms: int) -> bytes:
    if name == "bytes":
        return bytes.fromhex(argument)
    if name == "repeat":
        number, _, text = argument.partition(" ")
        return text.encode() * int(number)
    twin = TwinSigner(Keyring([COOKIE_KEY])).sign("shop.example", argument, now_ms // 1000 - 60)
    return (twin if name == "twin" else twin[:-3] + "AAA").encode()


def _chunked(body: bytes) -> bytes:
    pieces = [body[start : start + 50] for start in range(0, len(body), 50)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in (*pieces, b""))


def _zstd(body: bytes) -> bytes:
    from backports import zstd

    return zstd.compress(body)


def _brotli(body: bytes) -> bytes:
    import brotli

    compressed: bytes = brotli.compress(body)
    return compressed


_CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "base64": base64.b64decode,
    "gzip": lambda body: gzip.compress(body, mtime=0),
    "deflate": zlib.compress,
    "zstd": _zstd,
    "br": _brotli,
    # Framing, not coding: `Message.wire` does it.
    "chunked": bytes,
}
