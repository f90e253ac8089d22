"""The line between a process that takes events and the one that delivers them: messages over a Unix socket.

::

    message   length u32 | MessagePack of one of the records below

A worker connects and says which partition is its (`Hello`); from then on it sends `Entries` and `Floor`s, and hears the rest. The socket is
a file that only the gateway's own user may open; both ends are of one version, because one supervisor has started both.

What always holds: messages come whole and in order, as long as the connection lives. After bytes that are no message nothing more of that
connection is heard: it is broken off, and the loop's exception handler is told. Nothing comes behind a `close` of this end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from typing import TYPE_CHECKING, TypeAlias, cast

import msgspec

from gateway.spool.contract import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MOST_BYTES = 512 << 20
"""No message is longer: the room of a partition and the largest entry that a spool can hold are less."""

_LENGTH = struct.Struct("<I")
_MOST_PATH_BYTES = 100


class Hello(msgspec.Struct, array_like=True, tag=0):
    """A worker says which partition is its."""

    partition: int


class Entries(msgspec.Struct, array_like=True, tag=1):
    """Entries, in the partition's order, maybe none; how many there are that are not acknowledged, after so many acknowledgements were heard.

    What waited below the position `dropped_before` was dropped to make room.
    """

    entries: list[Entry]
    pending: int
    heard: int
    dropped_before: int = 0


class Floor(msgspec.Struct, array_like=True, tag=2):
    """Nothing of before this moment will come, in nanoseconds of Unix time; the rest as in `Entries`."""

    moment: int
    pending: int
    heard: int


class Grant(msgspec.Struct, array_like=True, tag=3):
    """There is room for so many bytes more."""

    size: int


class Ask(msgspec.Struct, array_like=True, tag=4):
    """A floor is wanted."""


class Settled(msgspec.Struct, array_like=True, tag=5):
    """These positions need no more delivery."""

    positions: list[int]


class Told(msgspec.Struct, array_like=True, tag=6):
    """Something about an event for whoever waits in the worker: what, the two ends agree on."""

    event_id: str
    content: bytes


class Bye(msgspec.Struct, array_like=True, tag=7):
    """The delivering process ends in order, and nothing more is settled; the worker lets go of the line."""


Message: TypeAlias = Hello | Entries | Floor | Grant | Ask | Settled | Told | Bye
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


class UnreadableMessage(Exception):
    """The other end of a line sent bytes that are no message."""

    def __init__(self, cause: str) -> None:
        super().__init__(
            f"the line between the gateway's processes was broken off: {cause}; let nobody else open its socket"
        )
        self.cause = cause


class Line(asyncio.Protocol):
    """One end of a connection. `heard(line, message)` and `lost(line)`, once, are called on the loop."""

    def __init__(self, heard: Callable[[Line, Message], None], lost: Callable[[Line], None]) -> None:
        self._heard = heard
        self._lost = lost
        self._held = bytearray()
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        """Whether messages go and come."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, message: Message) -> None:
        """Send a message; on a lost connection it goes nowhere."""
        if self._transport is not None and not self._transport.is_closing():
            payload = _encode(message)
            self._transport.writelines((_LENGTH.pack(len(payload)), payload))

    def close(self) -> None:
        """Close the connection, after what was sent."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Hand on every message that is whole."""
        if self._held:
            self._held += data
            self._held = self._messages(self._held)
        else:
            self._held = self._messages(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that nothing more will come."""
        del exc
        self._transport = None
        self._lost(self)

    def _messages(self, held: bytes | bytearray) -> bytearray:
        """Hand on the messages in these bytes; gives the rest."""
        at, size = 0, len(held)
        with memoryview(held) as view:
            while size - at >= _LENGTH.size and self.is_open:
                (length,) = _LENGTH.unpack_from(view, at)
                if length > MOST_BYTES:
                    self._break_off(f"a message of {length} bytes")
                    break
                end = at + _LENGTH.size + length
                if size < end:
                    break
                try:
                    message = _decode(view[at + _LENGTH.size : end])
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    self._break_off(f"{length} bytes that are no message ({type(error).__name__})")
                    break
                at = end
                self._heard(self, message)
        if not self.is_open:
            return bytearray()
        if isinstance(held, bytearray) and not at:
            return held
        return bytearray(memoryview(held)[at:])

    def _break_off(self, cause: str) -> None:
        assert self._transport is not None
        self._transport.abort()
        error = UnreadableMessage(cause)
        asyncio.get_running_loop().call_exception_handler(
            {"message": "a line was broken off", "exception": error}
        )


def listen(path: Path) -> socket.socket:
    """Give a listening socket at this path, for its owner alone; one that an ended process left there is replaced. Raises `OSError`."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # Before there is a file: it is never anybody else's, whatever the umask.
        os.fchmod(listener.fileno(), 0o600)
        with _short(path) as address:
            listener.bind(address)
        listener.listen(256)
        listener.setblocking(False)  # noqa: FBT003 - the standard library's own signature
    except BaseException:
        listener.close()
        raise
    return listener


async def connect(path: Path, make: Callable[[], Line]) -> Line:
    """Connect to whoever listens at this path. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)  # noqa: FBT003 - see above
    try:
        with _short(path) as address:
            await loop.sock_connect(connection, address)
        _, line = await loop.create_unix_connection(make, sock=connection)
    except BaseException:
        connection.close()
        raise
    return line


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give an address of a socket's path that fits: the system takes 107 bytes, and a data folder may lie deep."""
    if len(os.fsencode(path)) <= _MOST_PATH_BYTES:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
