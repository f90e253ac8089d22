"""Asks for the script over HTTPS as a browser does: at the addresses that DNS gave, with the certificate checked.

What always holds: no redirect is followed, no more than the head of the answer is read, and every step has a time-out.
"""

from __future__ import annotations

import errno
import http.client
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from gateway.doctor.model import Answer, Fault

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.doctor.model import Address
    from gateway.doctor.names import Place

_NO_WAY_THERE = {
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
    errno.EACCES,
    errno.EPERM,
}

_MOST_ADDRESSES = 8
_TELLING = (Fault.CERTIFICATE, Fault.TLS, Fault.NOT_HTTP)
_SILENT = (Fault.REFUSED, Fault.TIMEOUT, Fault.UNREACHABLE)


def trust(ca_file: str = "") -> ssl.SSLContext:
    """Give the rules for certificates: the system's authorities, and those of a PEM file beside them.

    Raises `OSError` for a file that can't be read, `ssl.SSLError` (an `OSError`) for one without a certificate.
    """
    context = ssl.create_default_context()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def fetch_script(
    tracking: Place,
    addresses: Sequence[Address],
    context: ssl.SSLContext,
    timeout_seconds: float,
    script: str = "/insight.js",
) -> Answer:
    """Ask each address (the first eight) for the script's path below the tracking URL, and give the answer that says most.

    What a visitor could stumble over comes first: a refused certificate at one address, then a bad answer, then a good one;
    addresses that take no connection count only where none does, as a browser tries the next. Plain HTTP is not asked at all.
    """
    url = f"{tracking.url}{script}"
    if tracking.scheme != "https":
        return Answer(url, fault=Fault.TLS, detail="plain HTTP")
    if not addresses:
        return Answer(url, fault=Fault.NO_ADDRESS)
    with ThreadPoolExecutor(_MOST_ADDRESSES) as pool:
        answers = pool.map(
            lambda address: _ask(tracking, str(address), context, timeout_seconds, script),
            addresses[:_MOST_ADDRESSES],
        )
        return min(answers, key=_rank)._replace(url=url)


def _rank(answer: Answer) -> int:
    if answer.fault is None:
        return len(_TELLING) + (answer.status == 200)
    return _TELLING.index(answer.fault) if answer.fault in _TELLING else 10 + _SILENT.index(answer.fault)


def _ask(
    tracking: Place, address: str, context: ssl.SSLContext, timeout_seconds: float, script: str
) -> Answer:
    try:
        with (
            socket.create_connection((address, tracking.port), timeout_seconds) as plain,
            context.wrap_socket(plain, server_hostname=tracking.host) as channel,
        ):
            return _request(tracking, address, channel, script)
    except ssl.SSLCertVerificationError as error:
        return Answer("", address, fault=Fault.CERTIFICATE, detail=error.verify_message)
    except TimeoutError:
        return Answer("", address, fault=Fault.TIMEOUT, detail=f"nothing within {timeout_seconds:g} s")
    except ssl.SSLError as error:
        return Answer(
            "", address, fault=Fault.TLS, detail=(error.reason or str(error)).lower().replace("_", " ")
        )
    except OSError as error:
        unreachable = error.errno in _NO_WAY_THERE
        detail = (error.strerror or type(error).__name__).lower()
        return Answer("", address, fault=Fault.UNREACHABLE if unreachable else Fault.REFUSED, detail=detail)


def _request(tracking: Place, address: str, channel: ssl.SSLSocket, script: str) -> Answer:
    connection = http.client.HTTPConnection(tracking.host)
    connection.sock = channel
    headers = {"Host": tracking.authority, "User-Agent": "tracking-gateway-doctor", "Connection": "close"}
    try:
        connection.request("GET", f"{tracking.path}{script}", headers=headers)
        with connection.getresponse() as response:
            # A stranger's bytes, on their way to a terminal.
            kind = "".join(each for each in response.getheader("Content-Type", "") if each.isprintable())
            return Answer("", address, response.status, kind[:100])
    except TimeoutError:
        return Answer("", address, fault=Fault.NOT_HTTP, detail="no answer in time")
    except (http.client.HTTPException, OSError) as error:
        detail = type(error).__name__
        return Answer("", address, fault=Fault.NOT_HTTP, detail=detail)
