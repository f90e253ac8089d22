"""A small internet for the doctor: a DNS server and an HTTPS server on loopback, both real, both on a port of their own."""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import struct
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MOST_HOPS = 8


class Zone:
    """What the DNS server knows. Names are without a final dot; a name that is nowhere does not exist."""

    def __init__(self) -> None:
        self.cnames: dict[str, str] = {}
        self.addresses: dict[tuple[str, str], list[str]] = {}
        self.rotations: dict[tuple[str, str], Iterator[list[str]]] = {}
        self.silent: set[tuple[str, str]] = set()
        self.broken: set[str] = set()
        self.only_over_tcp: set[str] = set()
        self.is_full_resolver = True
        self.asked: list[tuple[str, str, str]] = []

    def add(self, name: str, *addresses: str, cname: str = "") -> None:
        """Give a name its addresses, or a CNAME."""
        if cname:
            self.cnames[name] = cname
        for address in addresses:
            self.addresses.setdefault((name, "AAAA" if ":" in address else "A"), []).append(address)

    def rotate(self, name: str, *answers: list[str]) -> None:
        """Give another answer to each question for IPv4 addresses, round and round."""
        self.rotations[name, "A"] = cycle(answers)

    def answer(self, query: dns.message.Message, transport: str) -> bytes | None:
        """Answer a question as a resolver does: the CNAME chain and the records at its end. `None`: stay silent."""
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind, transport))
        if (name, kind) in self.silent:
            return None
        response = dns.message.make_response(query, recursion_available=True)
        if name in self.broken:
            response.set_rcode(dns.rcode.SERVFAIL)
            return response.to_wire()
        if name in self.only_over_tcp and transport == "udp":
            response.flags |= dns.flags.TC
            return response.to_wire()
        for _ in range(_MOST_HOPS if self.is_full_resolver else 1):
            if name not in self.cnames:
                break
            response.answer.append(
                dns.rrset.from_text(f"{name}.", 60, "IN", "CNAME", f"{self.cnames[name]}.")
            )
            name = self.cnames[name]
        else:
            return response.to_wire()
        key = (name, kind)
        found = next(self.rotations[key]) if key in self.rotations else self.addresses.get(key, [])
        if found:
            response.answer.append(dns.rrset.from_text(f"{name}.", 60, "IN", kind, *found))
        elif not any(known == name for known, _ in (*self.addresses, *self.rotations)):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()


@contextlib.contextmanager
def running_dns(zone: Zone) -> Iterator[str]:
    """Serve a zone over UDP and TCP; gives `address:port`."""

    class Udp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            data, channel = self.request
            wire = zone.answer(dns.message.from_wire(data), "udp")
            if wire is not None:
                channel.sendto(wire, self.client_address)

    class Tcp(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            (length,) = struct.unpack("!H", self.rfile.read(2))
            wire = zone.answer(dns.message.from_wire(self.rfile.read(length)), "tcp")
            if wire is not None:
                self.wfile.write(struct.pack("!H", len(wire)) + wire)

    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tcp))
        udp = stack.enter_context(socketserver.ThreadingUDPServer(tcp.server_address, Udp))
        for server in (tcp, udp):
            server.daemon_threads = True
            stack.enter_context(_serving(server))
        yield f"127.0.0.1:{tcp.server_address[1]}"


class Certificate(NamedTuple):
    """A certificate that signed itself, and its key: PEM files."""

    cert: Path
    key: Path


def make_certificate(folder: Path, *names: str) -> Certificate:
    """Make a certificate for some names."""
    made = Certificate(folder / f"{names[0]}.crt", folder / f"{names[0]}.key")
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-keyout", made.key, "-out", made.cert, "-subj", f"/CN={names[0]}",
            "-addext", f"subjectAltName={','.join(f'DNS:{each}' for each in names)}",
        ],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    return made


class Shop:
    """What the HTTPS server says, and the heads that it saw."""

    def __init__(self) -> None:
        self.status = 200
        self.content_type = "application/javascript; charset=utf-8"
        self.seen: list[tuple[str, str]] = []


@contextlib.contextmanager
def running_https(
    shop: Shop, certificate: Certificate | None, address: str = "127.0.0.1", port: int = 0
) -> Iterator[int]:
    """Serve one answer for each path on a loopback address, over TLS where there is a certificate; gives the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shop.seen.append((self.headers["Host"], self.path))
            self.send_response(shop.status)
            self.send_header("Content-Type", shop.content_type)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b";\n")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer((address, port), Handler) as server:
        server.daemon_threads = True
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.cert, certificate.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        with _serving(server):
            yield server.server_address[1]


@contextlib.contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join(5)
