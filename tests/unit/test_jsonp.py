"""Scripts as answers: what they call, and what they never call, whatever their address says."""

from __future__ import annotations

from urllib.parse import urlencode

import orjson
import pytest

from gateway.events.jsonp import is_callback, script
from gateway.events.outcome import Reason
from tests.builders import PORTAL_ID, PROP_ID, decide, get

QUERY = f"portal_id={PORTAL_ID}&prop_id={PROP_ID}&resp_type=javascript&uid=123456789&ec=a&ea=b"


def answered(**parameters):
    _, decision = decide(get(f"{QUERY}&{urlencode(parameters)}"))
    assert Reason.OK is decision.verdicts[0].reason
    assert "callback" not in decision.verdicts[0].record.query
    return decision.reply


@pytest.mark.parametrize("parameters", [{}, {"callback": ""}, {"callback": "_event_callback_data"}])
def test_a_script_calls_the_collectors_function(parameters):
    """As the vendor's answer does, to the letter."""
    reply = answered(**parameters)
    head, _, text = reply.body.partition(b"(")
    assert b"_event_callback_data" == head
    assert "123456789" == orjson.loads(text.removesuffix(b");"))["au_id"]
    assert "Content-Disposition" not in dict(reply.headers)


@pytest.mark.parametrize("parameter", ["callback", "jsonp"])
@pytest.mark.parametrize(
    "name",
    ["jQuery3610123456789_1690000000000", "__jp0", "cdpCallback", "ng_jsonp_callback_0", "$callback1", "angular.callbacks._1a", "Zepto12_3"],
)  # fmt: skip
def test_a_library_s_own_callback_is_called(parameter, name):
    """Behind a comment, as a file, in a type that nobody guesses at."""
    reply = answered(**{parameter: name})
    assert reply.body.startswith(b"/**/" + name.encode() + b'({"')
    headers = dict(reply.headers)
    assert ("nosniff", 'attachment; filename="f.txt"') == (
        headers["X-Content-Type-Options"],
        headers["Content-Disposition"],
    )
    assert "application/javascript; charset=utf-8" == headers["Content-Type"]


@pytest.mark.parametrize(
    "name",
    [
        "alert", "eval", "logout", "document.write", "opener.document.body.click", "callback.call", "a.callback", "callback()", "callback;alert",
        "1callback", "call back", "callback\n", "callbäck", "\u0441allback", "callback-1", "callback[0]", "callback<script>", "x" * 60 + "callback",
        "angular.callbacks._0.x", "angular.callbacks.constructor", "jQuery1_2x", "CWSMIC0D0Up0", "/**/callback", "callback*/", "\u2028callback",
    ],
)  # fmt: skip
def test_no_other_function_is_ever_called(name):
    """The event is kept, the answer is a comment without the name, and a header says why."""
    reply = answered(callback=name)
    assert b"/* tracking-gateway: the callback's name is none that a script may call */" == reply.body
    assert (200, "accepted; reason=ok; field=callback") == (
        reply.status,
        dict(reply.headers)["X-Tracking-Outcome"],
    )
    assert not is_callback(name)


def test_a_callback_is_nothing_to_the_other_answers():
    """It is no part of the event, and no parameter for the collector."""
    for kind in ("json", "pixel"):
        _, decision = decide(get(f"{QUERY.replace('javascript', kind)}&callback=alert"))
        assert "X-Tracking-Outcome" not in dict(decision.reply.headers)
        assert "callback" not in decision.verdicts[0].record.query


def test_nothing_in_the_json_ends_the_script():
    """Markup and the two line ends that JSON allows and old scripts do not."""
    assert b"cdpCallback" in script("cdpCallback", b"{}")
    assert b'_event_callback_data({"a":"\\u003c/script>\\u2028\\u2029"});' == script(
        "", '{"a":"</script>\u2028\u2029"}'.encode()
    )
