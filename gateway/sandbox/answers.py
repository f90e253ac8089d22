"""What the stand-in collector answers: the wire's four types, with a campaign and cookies where it is told to have some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from gateway.events.replies import PIXEL

if TYPE_CHECKING:
    from gateway.sandbox.behaviour import Behaviour


def success(asked: str, answer: dict[str, Any], behaviour: Behaviour) -> web.Response:
    """Answer an event that was taken, in the type that was `asked` for: a script, an image, or else JSON."""
    if behaviour.campaign is not None:
        answer["campaigns"] = [{"id": behaviour.campaign, "html": f"<b>{behaviour.campaign}</b>"}]
    if asked == "javascript":
        script = b"_event_callback_data(" + orjson.dumps(answer) + b");"
        response = web.Response(body=script, content_type="application/javascript", charset="utf-8")
    elif asked == "pixel":
        response = web.Response(body=PIXEL, content_type="image/gif")
    else:
        response = web.Response(body=orjson.dumps(answer), content_type="application/json")
    for cookie in behaviour.set_cookies or ():
        response.headers.add("Set-Cookie", cookie)
    return response
