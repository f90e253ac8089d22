"""Certificates for tests, by an authority of their own, and the files that a gateway reads them from."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path

HOST = "track.shop.example"


class TlsFiles:
    """A folder with `chain.pem` and `key.pem`, in which one pair takes another's place."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.chain, self.key = folder / "chain.pem", folder / "key.pem"
        self.sections = {"certificate_file": str(self.chain), "key_file": str(self.key)}

    def issued(self, *names: str, days: float = 90) -> trustme.LeafCert:
        """Give a certificate for some names (`track.shop.example` when none is named), valid for so many days from now."""
        # One that has expired began before.
        now = datetime.now(UTC)
        return self.authority.issue_cert(
            *(names or (HOST,)), not_before=now - timedelta(days=400), not_after=now + timedelta(days=days)
        )

    def put(self, leaf: trustme.LeafCert, key: trustme.LeafCert | None = None) -> None:
        """Let a pair take the place of what is there, one file after the other, each by a rename: as `certbot` does."""
        for path, content in (
            (self.chain, chain_of(leaf)),
            (self.key, (key or leaf).private_key_pem.bytes()),
        ):
            fresh = path.with_suffix(".new")
            fresh.write_bytes(content)
            fresh.rename(path)

    def client(self) -> ssl.SSLContext:
        """Give the TLS of a client that trusts the authority, and no other."""
        # Without the system's authorities, whose reading takes longer than a handshake.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        return context


def chain_of(leaf: trustme.LeafCert) -> bytes:
    """Give the PEM of a certificate with its chain."""
    return b"".join(part.bytes() for part in leaf.cert_chain_pems)
