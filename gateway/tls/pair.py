"""A certificate and its key, from their files into a context that connections can be made with."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gateway.tls.certificate import Certificate, read_certificate

if TYPE_CHECKING:
    from gateway.settings_tls import Tls
    from gateway.tls.handshakes import Failures

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
# For 1.2: those with forward secrecy and authenticated encryption. 1.3 has no others.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_WHOLE_KEY = re.compile(rb"-----END [A-Z ]*PRIVATE KEY-----")
_TRIES = 3


class TlsUnusable(Exception):
    """The certificate or its key can't be used: the file, why, and what would mend it."""

    def __init__(self, path: str, cause: str) -> None:
        self.path = path
        self.cause = cause
        self.hint = "tls.certificate_file is the whole chain in PEM, the gateway's own certificate first, tls.key_file its key"
        super().__init__(f"{path} can't be used for TLS: {cause}")


class Pair(NamedTuple):
    """A usable pair: what connections are made with, and what the certificate says."""

    context: ssl.SSLContext
    certificate: Certificate


class _Watched(ssl.SSLObject):
    """The TLS of one connection, that tells why its handshake failed."""

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            told: Failures | None = self.context.failures  # type: ignore[attr-defined]
            if told is not None:
                told.failed(error.reason or "")
            raise


class _Context(ssl.SSLContext):
    sslobject_class = _Watched
    failures: Failures | None = None


def files_of(tls: Tls) -> tuple[Path, ...]:
    """Give the files that a pair is made of."""
    names = (tls.certificate_file, tls.key_file, tls.key_password_file)
    return tuple(Path(name) for name in names if name)


def load_pair(tls: Tls, failures: Failures | None = None) -> Pair:
    """Read the pair; `failures` hears of the handshakes with it that fail. Raises `TlsUnusable`.

    Files that are changed while they are read are read again: what is given is what stood in all of them at one time.
    """
    for _ in range(_TRIES):
        before = [_read(path) for path in files_of(tls)]
        pair = _load(tls, before[0], failures)
        if before == [_read(path) for path in files_of(tls)]:
            return pair
    raise TlsUnusable(tls.certificate_file, "it changes all the time")


def _load(tls: Tls, pem: bytes, failures: Failures | None) -> Pair:
    try:
        certificate = read_certificate(pem)
    except ValueError as error:
        raise TlsUnusable(tls.certificate_file, str(error)) from None
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.failures = failures
    context.minimum_version = _VERSIONS[tls.minimum_version]
    context.set_ciphers(_CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    password = _read(Path(tls.key_password_file)).strip(b"\r\n") if tls.key_password_file else b""
    try:
        # Always with a password: else OpenSSL would ask for one on the terminal.
        context.load_cert_chain(tls.certificate_file, tls.key_file, lambda: password)
    except ssl.SSLError as error:
        raise _explained(tls, error) from None
    except OSError as error:
        raise TlsUnusable(tls.key_file, error.strerror or type(error).__name__) from None
    except ValueError:
        raise TlsUnusable(tls.key_password_file, "the password is too long") from None
    return Pair(context, certificate)


def _explained(tls: Tls, error: ssl.SSLError) -> TlsUnusable:
    """Say which of the files it is: OpenSSL's own words name none."""
    if error.reason == "KEY_VALUES_MISMATCH":
        return TlsUnusable(tls.key_file, "it is another certificate's key")
    key = _read(Path(tls.key_file))
    if not _WHOLE_KEY.search(key):
        return TlsUnusable(tls.key_file, "it holds no whole private key in PEM form")
    if b"ENCRYPTED" in key:
        wrong = f"the password in {tls.key_password_file} does not open it"
        return TlsUnusable(
            tls.key_file,
            wrong if tls.key_password_file else "it has a password: name its file in tls.key_password_file",
        )
    return TlsUnusable(tls.certificate_file, "its chain, or the key, can't be read")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise TlsUnusable(str(path), error.strerror or type(error).__name__) from None
