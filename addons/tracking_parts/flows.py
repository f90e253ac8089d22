"""Between mitmproxy's flows and the gateway's plain values, both ways. Nothing is decided here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.qa.calls import Call, Heard

if TYPE_CHECKING:
    from mitmproxy.connection import Connection
    from mitmproxy.http import Headers, HTTPFlow

    from gateway.qa.calls import Headers as PlainHeaders
    from gateway.qa.findings import Finding
    from gateway.qa.session import Examined

_OURS = "tracking: "
_MARKS = {"error": ":red_circle:", "warning": ":warning:", "note": ":information_source:"}


def place_of(flow: HTTPFlow) -> tuple[str, str]:
    """Give host and path of a call, the host in lower case, without a port, as the page named it."""
    target = flow.request.data.path.partition(b"?")[0].decode("utf-8", "replace")
    return flow.request.pretty_host.lower().rstrip("."), target


def call_of(flow: HTTPFlow, number: int, *, is_whole: bool = True) -> Call:
    """Give a flow's request; without its headers and its body unless `is_whole`."""
    request = flow.request
    host, path = place_of(flow)
    started_ms = int(request.timestamp_start * 1000)
    if not is_whole:
        return Call(
            number=number, started_ms=started_ms, method=request.method, host=host, path=path, scheme=request.scheme, port=request.port,
            peer=_address_of(flow.client_conn),
        )  # fmt: skip
    headers = _headers(request.headers)
    if not any(name == "host" for name, _ in headers):
        # HTTP/2 and 3 say it as `:authority`.
        headers = (("host", request.host_header or request.pretty_host), *headers)
    return Call(
        number=number,
        started_ms=started_ms,
        method=request.method,
        host=host,
        path=path,
        query=request.data.path.partition(b"?")[2].decode("utf-8", "replace"),
        scheme=request.scheme,
        port=request.port,
        headers=headers,
        body=request.raw_content or b"",
        peer=_address_of(flow.client_conn),
        page=next((value for name, value in headers if name == "referer"), ""),
    )


def heard_of(flow: HTTPFlow) -> Heard:
    """Give what was answered to a flow's request, or why nothing was."""
    response, started = flow.response, flow.request.timestamp_start
    if response is None:
        error = flow.error
        took_ms = (error.timestamp - started) * 1000 if error is not None else 0.0
        return Heard(took_ms=took_ms, failure=error.msg if error is not None else "no answer")
    return Heard(
        status=response.status_code,
        headers=_headers(response.headers),
        body=response.get_content(strict=False),
        took_ms=((response.timestamp_end or response.timestamp_start) - started) * 1000,
    )


def mark(flow: HTTPFlow, examined: Examined) -> None:
    """Mark and comment a flow with what became of it; what the tester wrote stays."""
    lines = [_OURS + fates(examined), *(_OURS + line_of(each) for each in examined.findings)]
    kept = [line for line in flow.comment.split("\n") if line and not line.startswith(_OURS)]
    flow.comment = "\n".join([*kept, *lines])
    worst = next((name for name in _MARKS if any(each.severity == name for each in examined.findings)), "")
    if worst and flow.marked in {"", *_MARKS.values()}:
        flow.marked = _MARKS[worst]


def fates(examined: Examined) -> str:
    """Say in a few words what the gateway makes of a call: `accepted (ok)`, `quarantined (cid_conflict), accepted (ok)`, `answered 200`."""
    if not examined.events:
        return f"answered {examined.taken.reply.status}"
    return ", ".join(f"{each.verdict.outcome} ({each.verdict.reason})" for each in examined.events)


def line_of(finding: Finding) -> str:
    """Say a finding in one line."""
    event = f"event {finding.event + 1} " if finding.event >= 0 else ""
    other = f" (see call {finding.other})" if finding.other else ""
    return f"{finding.severity} {finding.rule}: {event}{finding.place}: {finding.detail}{other}"


def _address_of(connection: Connection) -> str:
    return str(connection.peername[0]).partition("%")[0] if connection.peername else ""


def _headers(headers: Headers) -> PlainHeaders:
    return tuple(
        (name.decode("latin-1").lower(), value.decode("utf-8", "replace")) for name, value in headers.fields
    )
