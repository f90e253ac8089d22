"""Between mitmproxy's flows and the gateway's plain values, both ways. Nothing is decided here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mitmproxy import ctx

from gateway.qa.calls import Call, Heard
from gateway.qa.reports.wording import shown
from gateway.web.heads import plain_target

if TYPE_CHECKING:
    from mitmproxy.connection import Connection
    from mitmproxy.http import Headers, HTTPFlow, Message, Response

    from gateway.qa.calls import Headers as PlainHeaders
    from gateway.qa.findings import Finding
    from gateway.qa.session import Examined

_OURS = "tracking: "
_MARKS = {"error": ":red_circle:", "warning": ":warning:", "note": ":information_source:"}


def place_of(flow: HTTPFlow) -> tuple[str, str]:
    """Give host and path of a call, the host in lower case, without a port, as the page named it."""
    return flow.request.pretty_host.lower().rstrip("."), _target_of(flow)[0]


def passing_of(flow: HTTPFlow, number: int, place: tuple[str, str]) -> Call:
    """Give the request of a flow that is no tracking, to `place`: without its query, its headers and its body."""
    request = flow.request
    return Call(
        number=number, started_ms=int(request.timestamp_start * 1000), method=request.method, host=place[0], path=place[1],
        scheme=request.scheme, port=request.port, peer=_address_of(flow.client_conn),
    )  # fmt: skip


def call_of(flow: HTTPFlow, number: int) -> Call:
    """Give a flow's request."""
    request = flow.request
    host, path = place_of(flow)
    headers = _headers(request.headers)
    if not any(name == "host" for name, _ in headers):
        # HTTP/2 and 3 say it as `:authority`.
        headers = (("host", request.host_header or request.pretty_host), *headers)
    return Call(
        number=number,
        started_ms=int(request.timestamp_start * 1000),
        method=request.method,
        host=host,
        path=path,
        query=_target_of(flow)[1],
        scheme=request.scheme,
        port=request.port,
        headers=headers,
        body=request.raw_content or b"",
        peer=_address_of(flow.client_conn),
        page=next((value for name, value in headers if name == "referer"), ""),
    )


def heard_of(flow: HTTPFlow, sent: float | None = None) -> Heard:
    """Give what was answered to a flow's request, or why nothing was; `sent` is when it went on, in Unix seconds, where that was not at once."""
    response, started = flow.response, sent or flow.request.timestamp_start
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


class Collected:
    """A body that is collected while it goes on in pieces, where mitmproxy may not wait for its end."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def __call__(self, piece: bytes) -> bytes:
        """Keep a piece, and let it go on."""
        self._pieces.append(piece)
        return piece

    @property
    def body(self) -> bytes:
        """What has gone on so far."""
        return b"".join(self._pieces)


def read_whole(message: Message, *, may_pass: bool) -> None:
    """Have a message read whole, whatever `stream_large_bodies` says; to be said when its head is there.

    What is longer than that goes on piece by piece, whatever an addon says. With `may_pass` it may, and is collected.
    """
    message.stream = Collected() if may_pass and ctx.options.stream_large_bodies else False


def is_whole(message: Message) -> bool:
    """Tell whether a message was read whole; what was collected stands in it then."""
    if isinstance(message.stream, Collected):
        message.raw_content = message.stream.body
    return message.raw_content is not None


def never_ends(response: Response) -> bool:
    """Tell whether an answer is a stream of server-sent events, by its head."""
    return str(response.headers.get("content-type", "")).startswith("text/event-stream")


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


def asked(call: Call) -> str:
    """Say in one line what was asked, and of whom, without the query: `POST a.cdp.asia/event`."""
    return shown(f"{call.method} {call.host}{call.path}")


def line_of(finding: Finding) -> str:
    """Say a finding in one line."""
    event = f"event {finding.event + 1} " if finding.event >= 0 else ""
    other = f" (see call {finding.other})" if finding.other else ""
    return f"{finding.severity} {finding.rule}: {event}{shown(finding.place)}: {shown(finding.detail)}{other}"


def _target_of(flow: HTTPFlow) -> tuple[str, str]:
    """Give path and query, as the gateway's public port would have them."""
    came = flow.request.data.path
    path, _, query = (
        (plain_target(flow.request.data.method, came) or came).decode("utf-8", "replace").partition("?")
    )
    return path, query


def _address_of(connection: Connection) -> str:
    return str(connection.peername[0]).partition("%")[0] if connection.peername else ""


def _headers(headers: Headers) -> PlainHeaders:
    return tuple(
        (name.decode("latin-1").lower(), value.decode("utf-8", "replace")) for name, value in headers.fields
    )
