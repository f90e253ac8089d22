"""Events that servers send (`is_s2s`): who may, whose they are, and what is not taken for the customer's."""

from __future__ import annotations

import gzip
import hashlib

import orjson
import pytest

from gateway import settings
from gateway.events.outcome import Reason
from gateway.events.pipeline import Pipeline
from gateway.settings import SettingsError
from tests.builders import (
    CHROME,
    ORIGIN,
    PORTAL_ID,
    PROP_ID,
    QUERY,
    decide,
    event,
    forwarded,
    get,
    make_settings,
    post,
)
from tests.encodings import clothes
from tests.unit.ingest_fakes import Bench

NEW, OLD = "s2s-new-0123456789abcdef", "s2s-old-0123456789abcdef"
SERVER = f"{QUERY}&is_s2s=true"
PROPERTY = {"portal_id": PORTAL_ID, "prop_id": PROP_ID, "site": "shop.example", "origins": (ORIGIN,)}


def pipeline(secret=(NEW, OLD)):
    return Pipeline(make_settings(properties=({**PROPERTY, "s2s_secret": secret},)))


GUARDED = pipeline()


@pytest.mark.parametrize("authorization", [f"Bearer {NEW}", f"bearer  {OLD}", f"BEARER {NEW} "])
def test_a_server_that_knows_a_secret_may_send(authorization):
    """Any of them: while one takes the place of the other, servers know one or the other."""
    _, decision = decide(post(event(), SERVER, authorization=authorization), pipeline=GUARDED)
    assert Reason.OK is decision.verdicts[0].reason


@pytest.mark.parametrize(
    "authorization",
    ["", NEW, "Bearer", "Bearer ", f"Bearer {NEW}x", f"Bearer {NEW[:-1]}", f"Basic {NEW}", f"Bearer {NEW} {NEW}", "Bearer \udcff", "Bearer é"],
)  # fmt: skip
@pytest.mark.parametrize(
    "query", [SERVER, SERVER.replace("true", "TRUE"), SERVER.replace("json", "pixel", 1)]
)
def test_a_server_without_the_secret_is_refused(authorization, query):
    """Dropped as unauthorized with 401 in every answer type, told how to ask, and never told what it sent."""
    _, decision = decide(post(event(), query, authorization=authorization), pipeline=GUARDED)
    verdict, reply = decision.verdicts[0], decision.reply
    assert ("dropped", Reason.UNAUTHORIZED, "Authorization") == (
        verdict.outcome, verdict.reason, verdict.rejection.field
    )  # fmt: skip
    assert (401, 'Bearer realm="tracking-gateway"') == (reply.status, dict(reply.headers)["WWW-Authenticate"])
    assert NEW[:12] not in str(reply)


def test_a_page_does_not_become_a_server_by_saying_so():
    """In the query string, in any kind of body, or in one event of an array."""
    for content_type, body in clothes(event(is_s2s="true")).values():
        _, decision = decide(post(body, content_type=content_type), pipeline=GUARDED)
        assert Reason.UNAUTHORIZED is decision.verdicts[0].reason
    _, decision = decide(post([event(), event(is_s2s=True)]), pipeline=GUARDED)
    assert [Reason.OK, Reason.BAD_FIELD] == [each.reason for each in decision.verdicts]
    _, decision = decide(post([event(is_s2s=True), event()]), pipeline=GUARDED)
    assert (401, {Reason.UNAUTHORIZED}) == (
        decision.reply.status,
        {each.reason for each in decision.verdicts},
    )
    assert "WWW-Authenticate" in dict(decision.reply.headers)


def test_pages_need_no_secret():
    """Where one is set, what does not call itself a server's is taken as ever."""
    for query in (QUERY, f"{QUERY}&is_s2s=false"):
        _, decision = decide(post(event(), query), pipeline=GUARDED)
        assert [Reason.OK] == [each.reason for each in decision.verdicts]


def test_a_body_that_was_not_read_is_a_stranger_s_without_the_secret():
    """A wrong coding is told to who may send; to others that they may not."""
    broken = {"content_encoding": "lzma"}
    for authorization, reason in ((f"Bearer {NEW}", Reason.UNKNOWN_CODING), ("", Reason.UNAUTHORIZED)):
        _, decision = decide(post(b"x", SERVER, authorization=authorization, **broken), pipeline=GUARDED)
        assert reason is decision.verdicts[0].reason


async def test_a_secret_is_in_no_answer_no_log_and_no_record():
    """Not the one that is sent, nor the one that is set."""
    bench = Bench(GUARDED)
    answers = [
        await bench.ingest.take(post(event(), SERVER, authorization=f"Bearer {each}"))
        for each in (NEW, "wrong-0123")
    ]
    text = f"{answers}{await bench.spooled()}{bench.close()}{pipeline()._properties.find(PORTAL_ID, PROP_ID)}"
    assert NEW not in text
    assert OLD not in text
    assert "wrong-0123" not in text


async def test_whom_a_server_names_has_one_uid_and_the_others_one_each():
    """A till that knows the phone alone makes one profile of a customer, not one for each receipt."""
    bench = Bench()
    people = [
        {"email": "lan@example.com"},
        {"email": " LAN@example.com"},
        {"email": "binh@example.com"},
        {},
        {},
    ]
    for each in people:
        fields = {"ec": "product", "ea": "purchase", "dims": {"customers": each}}
        reply = await bench.ingest.take(post(fields, SERVER, origin="", cookie="_asm_uid=1234567890123"))
        assert not [value for name, value in reply.headers if name == "Set-Cookie"]
    uids = [record.uid for record in await bench.spooled()]
    assert uids[0] == uids[1]
    assert 4 == len({*uids}) == len({*uids} - {"1234567890123"})
    assert ["server", "server", "server", "fresh", "fresh"] == [
        line["uid_source"] for line in bench.log("event")
    ]


def test_a_server_s_own_uid_and_context_go_on_as_they_are():
    """Its address, program and language are not the customer's; what it says of the customer's device is."""
    uid = hashlib.md5(b"+84912345678").hexdigest()
    head = {"user_agent": "crm/2.0", "accept_language": "vi", "referer": "https://crm.example/?utm_source=x"}
    sent = forwarded(decide(post(event(uid=uid), SERVER, **head))[1])
    assert (uid, uid, {}) == (sent["uid"], sent["aid"], sent["context"])
    assert {"event_id", "receive_time"} == set(sent["extra"])
    told = {"ip": "198.51.100.7", "userAgent": CHROME, "locale": "th"}
    context = forwarded(decide(post(event(uid=uid, context=told), SERVER, **head))[1])["context"]
    assert told == {name: context[name] for name in told}
    assert "Windows" == context["os"]["name"]


def test_a_compressed_batch_of_a_server_is_taken_in_one_piece():
    """A hundred people from one address, each with an id to tell a resend by."""
    people = [
        {
            "uid": hashlib.md5(b"84%d" % number).hexdigest(),
            "ec": "crm",
            "ea": "call",
            "request_id": f"crm-{number}-x",
        }
        for number in range(100)
    ]
    body = gzip.compress(b"\n".join(map(orjson.dumps, people)))
    head = {
        "content_type": "application/x-ndjson",
        "content_encoding": "gzip",
        "authorization": f"Bearer {NEW}",
    }
    _, decision = decide(post(body, SERVER, origin="", **head), pipeline=GUARDED)
    assert {Reason.OK} == {each.reason for each in decision.verdicts}
    assert [each["request_id"] for each in people] == [each.request_id for each in decision.verdicts]
    assert [each["uid"] for each in people] == [each.uid for each in decision.verdicts]


def test_a_server_may_use_get_too():
    """With the secret in its header, never in the address."""
    query = f"{SERVER}&uid=123456789&ec=a&ea=b"
    assert 200 == decide(get(query, authorization=f"Bearer {NEW}"), pipeline=GUARDED)[1].reply.status
    assert 401 == decide(get(f"{query}&s2s_secret={NEW}"), pipeline=GUARDED)[1].reply.status


@pytest.mark.parametrize(
    "secret", ["short", "with a blank in it, and long", "tiếng-việt-0123456789", ["ok-0123456789abcdef", "x"]]
)
def test_a_secret_that_is_none_is_told_without_it(tmp_path, secret):
    """The error names the key and what to write, and shows dots."""
    path = tmp_path / "gateway.toml"
    table = "\n".join(f"{name} = {orjson.dumps(value).decode()}" for name, value in PROPERTY.items())
    path.write_text(
        f"[[properties]]\n{table}\ns2s_secret = {orjson.dumps(secret).decode()}\n", encoding="utf-8"
    )
    with pytest.raises(SettingsError, match=r"properties\[0\].s2s_secret") as caught:
        settings.load(path)
    assert "openssl rand" in str(caught.value)
    assert not [
        each
        for each in (secret if isinstance(secret, list) else [secret])
        if f"{each!r}" in str(caught.value)
    ]


def test_a_secret_may_be_one_text_and_shows_as_dots(tmp_path):
    """Also where something else in its table is wrong."""
    path = tmp_path / "gateway.toml"
    table = f'[[properties]]\nportal_id = "1"\nprop_id = "2"\nsite = "shop.example"\ns2s_secret = "{NEW}"\n'
    path.write_text(table, encoding="utf-8")
    loaded = settings.load(path)
    assert [NEW] == [each.get_secret_value() for each in loaded.properties[0].s2s_secret]
    assert NEW not in repr(loaded) + str(loaded.model_dump(mode="json"))
    assert NEW in str(loaded.revealed())
    path.write_text(table + table, encoding="utf-8")
    with pytest.raises(SettingsError, match="stands twice") as caught:
        settings.load(path)
    assert NEW[:8] not in str(caught.value)
