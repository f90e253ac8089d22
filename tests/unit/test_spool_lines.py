"""Messages on a line: framing, and what a line does with bytes that are none."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import struct

import pytest
import uvloop
from hypothesis import given
from hypothesis import strategies as st

from gateway.spool import lines
from gateway.spool.contract import Entry
from gateway.spool.lines import (
    MOST_BYTES,
    Ask,
    Bye,
    Entries,
    Floor,
    Grant,
    Hello,
    Line,
    Settled,
    Told,
    UnreadableMessage,
    connect,
    listen,
)

POSITIONS = st.integers(0, (1 << 63) - 1)
MESSAGES = st.one_of(
    st.builds(Hello, st.integers(0, 99)),
    st.builds(Entries, st.lists(st.builds(Entry, POSITIONS, st.binary(max_size=300))), POSITIONS, POSITIONS),
    st.builds(Floor, POSITIONS, POSITIONS, POSITIONS),
    st.builds(Grant, POSITIONS),
    st.builds(Ask),
    st.builds(Settled, st.lists(POSITIONS)),
    st.builds(Told, st.text(st.characters(codec="utf-8"), max_size=20), st.binary()),
    st.builds(Bye),
)


class FakeTransport:
    """Keeps what is written."""

    def __init__(self):
        self.written = b""
        self.is_closed = False

    def writelines(self, parts):
        self.written += b"".join(parts)

    def write(self, data):
        self.written += data

    def is_closing(self):
        return self.is_closed

    def close(self):
        self.is_closed = True

    abort = close


def line(on_message=lambda _line, _message: None):
    """Give a line that is connected, what it hears, and its transport."""
    heard = []

    def hear(of, message):
        heard.append(message)
        on_message(of, message)

    made, transport = Line(hear, lambda _line: None), FakeTransport()
    made.connection_made(transport)
    return made, heard, transport


def bytes_of(*messages) -> bytes:
    made, _, transport = line()
    for message in messages:
        made.send(message)
    return transport.written


@given(st.lists(MESSAGES, max_size=8), st.data())
def test_messages_come_whole_and_in_order_however_their_bytes_are_split(messages, data):
    """What the system reads at once has nothing to do with what was sent at once."""
    stream = bytes_of(*messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    made, heard, transport = line()
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        made.data_received(stream[start:end])
    assert messages == heard
    assert not transport.is_closed
    for message in heard:
        if isinstance(message, Entries):
            assert all(isinstance(entry, Entry) for entry in message.entries)


@given(st.binary(max_size=60), st.data())
def test_bytes_that_are_no_message_break_one_line_off(garbage, data):
    """Messages before them were heard, nothing behind them is, and the fault is told once, at most."""
    told = []

    async def play():
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        made, heard, transport = line()
        stream = bytes_of(Ask(), Grant(5)) + garbage
        at = 0
        while at < len(stream):
            size = data.draw(st.integers(1, len(stream)))
            made.data_received(stream[at : at + size])
            at += size
        assert [Ask(), Grant(5)] == heard[:2]
        assert len(told) == transport.is_closed
        assert all(isinstance(error, UnreadableMessage) for error in told)

    asyncio.run(play())


@pytest.mark.parametrize(
    "garbage",
    [
        struct.pack("<I", 4) + b"\xff\xff\xff\xff",
        struct.pack("<I", 0),
        struct.pack("<I", 2) + b"\x91\x63",
        struct.pack("<I", 5) + b"\x93\x06\xa1\xff\xc4",
        struct.pack("<I", 1) + b"\xc0" + bytes_of(Grant(6)),
        struct.pack("<I", MOST_BYTES + 1),
        b"GET / HTTP/1.1\r\nhost: gateway\r\n\r\n",
    ],
)
async def test_garbage_is_told_and_nothing_behind_it_is_heard(garbage):
    """A message that is too long is refused by its length, before its bytes are waited for."""
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    made, heard, transport = line()
    made.data_received(bytes_of(Ask()) + garbage)
    made.data_received(bytes_of(Grant(7)))
    assert [Ask()] == heard
    assert transport.is_closed
    assert [UnreadableMessage] == [type(error) for error in told]
    assert "open its socket" in str(told[0])


async def test_nothing_is_heard_behind_a_close():
    """Who closes a line because of a message is not called with the next one."""
    made, heard, _ = line(lambda of, _message: of.close())
    made.data_received(bytes_of(Ask(), Grant(5)))
    made.data_received(bytes_of(Grant(6)))
    assert [Ask()] == heard
    assert not made.is_open


async def test_sending_on_a_lost_line_goes_nowhere():
    """The one end does not have to know that the other is gone."""
    made, _, transport = line()
    made.connection_lost(None)
    made.send(Ask())
    made.close()
    assert b"" == transport.written


LOOPS = pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])


@LOOPS
def test_a_line_reaches_a_socket_in_a_deep_folder_that_is_its_owners_alone(tmp_path, loop):
    """Paths may be longer than a socket's address, a file that an ended process left is replaced, and no umask opens the new one."""
    folder = tmp_path.joinpath(*["a-rather-long-folder-name"] * 6)
    folder.mkdir(parents=True)
    path = folder / "feed.sock"
    assert len(os.fsencode(path)) > 107

    async def play():
        heard = asyncio.get_running_loop().create_future()
        lost = asyncio.Event()
        listen(path).close()
        before = os.umask(0)
        try:
            listener = listen(path)
        finally:
            os.umask(before)
        assert 0o600 == stat.S_IMODE(path.stat().st_mode)
        made = []

        def accept():
            made.append(Line(lambda _line, message: heard.set_result(message), lambda _line: lost.set()))
            return made[0]

        server = await asyncio.get_running_loop().create_unix_server(accept, sock=listener)
        calling = await connect(path, lambda: Line(lambda *_: None, lambda _: None))
        message = Entries([Entry(1, b"x" * 2_000_000)], 1, 0)
        calling.send(message)
        calling.close()
        assert message == await asyncio.wait_for(heard, 20)
        await asyncio.wait_for(lost.wait(), 20)
        server.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(play())


@LOOPS
def test_calling_where_nobody_listens_fails_with_an_os_error(tmp_path, loop):
    """No file, and a file that an ended process left."""

    async def play():
        for _ in range(2):
            with pytest.raises(OSError):
                await connect(tmp_path / "feed.sock", lambda: Line(lambda *_: None, lambda _: None))
            listen(tmp_path / "feed.sock").close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(play())


def test_a_folder_that_is_not_there_is_an_os_error(tmp_path):
    """Nothing is left open."""
    with pytest.raises(OSError):
        listen(tmp_path / "absent" / ("x" * 100) / "feed.sock")


def test_a_file_that_is_no_socket_is_not_in_the_way(tmp_path):
    """The path is the gateway's own."""
    path = tmp_path / "feed.sock"
    path.write_text("left here by somebody")
    listener = listen(path)
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert socket.AF_UNIX == listener.family
    listener.close()
    assert lines.MOST_BYTES > 300 << 20
