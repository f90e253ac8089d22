"""Both ends of HTTP/2, for the environment that mitmproxy is in: `python h2_ends.py PROXY_PORT CHAIN KEY ROUTES`.

An origin with a certificate of its own answers what is asked by path; a client asks for each path through the proxy, in one connection, and prints what came to
the origin and what came back, as JSON. The payloads are those of ROUTES, a JSON file: `[{"path": …, "headers": [[…]], "body": hex, "answer": hex, "coding": …}]`.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys
from pathlib import Path

import h2.config
import h2.connection
import h2.events


def told(headers):
    return [[each.decode() if isinstance(each, bytes) else each for each in pair] for pair in headers]


class Origin(asyncio.Protocol):
    """The site's end."""

    def __init__(self, routes, seen):
        self.routes, self.seen = routes, seen
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.bodies, self.heads, self.waiting = {}, {}, {}

    def connection_made(self, transport):
        self.transport = transport
        self.h2.initiate_connection()
        transport.write(self.h2.data_to_send())

    def data_received(self, data):
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.heads[event.stream_id] = told(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.answer(event.stream_id)
        self.flush()

    def answer(self, stream_id):
        head = self.heads[stream_id]
        path = dict(head)[":path"]
        self.seen[path] = [head, self.bodies.get(stream_id, b"").hex()]
        route = self.routes[path]
        self.h2.send_headers(
            stream_id,
            [(":status", "200"), ("content-encoding", route["coding"]), ("x-odd", "a"), ("x-odd", "b")],
        )
        self.waiting[stream_id] = bytes.fromhex(route["answer"])

    def flush(self):
        for stream_id, whole in list(self.waiting.items()):
            rest = whole
            while rest and (room := min(self.h2.local_flow_control_window(stream_id), 16_384)):
                self.h2.send_data(stream_id, rest[:room])
                rest = rest[room:]
            self.waiting[stream_id] = rest
            if not rest:
                self.h2.end_stream(stream_id)
                del self.waiting[stream_id]
        self.transport.write(self.h2.data_to_send())


async def ask(proxy, port, routes):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy)
    writer.write(f"CONNECT localhost:{port} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    tls.set_alpn_protocols(["h2"])
    await writer.start_tls(tls, server_hostname="localhost")
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    client = h2.connection.H2Connection()
    client.initiate_connection()
    streams, came = {}, {}
    for route in routes.values():
        stream_id = client.get_next_available_stream_id()
        streams[stream_id] = route["path"]
        body = bytes.fromhex(route["body"])
        head = [(":method", "POST" if body else "GET"), (":scheme", "https"), (":authority", f"localhost:{port}"), (":path", route["path"])]  # fmt: skip
        client.send_headers(stream_id, [*head, *map(tuple, route["headers"])], end_stream=not body)
        if body:
            client.send_data(stream_id, body, end_stream=True)
    ended = 0
    while ended < len(routes):
        writer.write(client.data_to_send())
        data = await reader.read(65_536)
        assert data, "the connection was closed"
        for event in client.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                came[streams[event.stream_id]] = [told(event.headers), ""]
            elif isinstance(event, h2.events.DataReceived):
                came[streams[event.stream_id]][1] += event.data.hex()
                client.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                ended += 1
    writer.close()
    return came


async def main(proxy, chain, key, path):
    routes = {each["path"]: each for each in json.loads(Path(path).read_text(encoding="utf-8"))}
    seen = {}
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(chain, key)
    tls.set_alpn_protocols(["h2"])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Origin(routes, seen), "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    came = await asyncio.wait_for(ask(int(proxy), port, routes), 60)
    text = json.dumps({"seen": seen, "came": came}).replace(f"localhost:{port}", "localhost:PORT")
    sys.stdout.write(text)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
