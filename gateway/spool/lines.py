"""The line between a process that takes events and the one that delivers them: messages over a Unix socket.

::

    message   length u32 | MessagePack of one of the records below

A worker connects and says which partition is its (`Hello`); from then on it sends `Entries` and `Floor`s, and hears the rest. The socket is
a file that only the gateway's own user may open; both ends are of one version, because one supervisor has started both.
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

_LENGTH = struct.Struct("<I")
_MOST_PATH_BYTES = 100


class Hello(msgspec.Struct, array_like=True, tag=0):
    """A worker says which partition is its."""

    partition: int


class Entries(msgspec.Struct, array_like=True, tag=1):
    """Entries, in the partition's order, and how many there are altogether that are not acknowledged."""

    entries: list[Entry]
    pending: int


class Floor(msgspec.Struct, array_like=True, tag=2):
    """Nothing of before this moment will come, in nanoseconds of Unix time."""

    moment: int
    pending: int


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
    """The delivering process ends in order; nothing more is settled."""


Message: TypeAlias = Hello | Entries | Floor | Grant | Ask | Settled | Told | Bye
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


class Line(asyncio.Protocol):
    """One end of a connection. `heard(line, message)` and `lost(line)` are called on the loop."""

    def __init__(self, heard: Callable[[Line, Message], None], lost: Callable[[Line], None]) -> None:
        self._heard = heard
        self._lost = lost
        self._held = bytearray()
        self._transport: asyncio.Transport | None = None

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
        held = self._held
        held += data
        at = 0
        while len(held) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(held, at)
            end = at + _LENGTH.size + length
            if len(held) < end:
                break
            message = _decode(bytes(held[at + _LENGTH.size : end]))
            at = end
            self._heard(self, message)
        del held[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that nothing more will come."""
        del exc
        self._transport = None
        self._lost(self)


def listen(path: Path) -> socket.socket:
    """Give a listening socket at this path, for its owner alone; one that an ended process left there is replaced. Raises `OSError`."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as address:
            listener.bind(address)
        path.chmod(0o600)
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
