"""What `check` says of the certificate: for whom it is, until when, and what is wrong with it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gateway.tls.keeper import SOON_SECONDS
from gateway.tls.pair import TlsUnusable, load_pair

if TYPE_CHECKING:
    from gateway.settings import Settings


def seen_certificate(settings: Settings) -> tuple[dict[str, Any] | None, list[str]]:
    """Give the certificate as JSON values (`None` without TLS), and what is to be noted of it."""
    if not settings.tls.is_on:
        return None, []
    try:
        certificate = load_pair(settings.tls).certificate
    except TlsUnusable as error:
        # Not a wrong setting: whoever checks may not be the one who may read keys.
        return {"problem": str(error)}, [f"{error} ({error.hint}): `serve` would not start like this"]
    days = int((certificate.expires - time.time()) // 86_400)
    notes = []
    if certificate.expires - time.time() < SOON_SECONDS:
        when = f"expires in {days} days" if days >= 0 else "has expired"
        notes.append(f"tls.certificate_file {when}: renew it")
    host = urlsplit(settings.server.public_url).hostname
    if host and not certificate.covers(host):
        notes.append(
            f"tls.certificate_file is for {', '.join(certificate.names)}, but browsers reach the gateway as {host} (server.public_url)"
        )
    expires = datetime.fromtimestamp(certificate.expires, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"names": list(certificate.names), "expires": expires, "expires_days": days}, notes
