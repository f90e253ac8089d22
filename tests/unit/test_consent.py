"""Consent, through the whole pipeline: what counts as a yes and as a no, and what becomes of an event without one."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.outcome import Outcome, Reason
from gateway.events.pipeline import Pipeline
from gateway.events.ppid import ppid
from gateway.events.world import Location, World
from tests.builders import ORIGIN, QUERY, STAMP, bindings, decide, event, forwarded, get, make_settings, post
from tests.unit.test_tcf import of_bits

UID = "1234567890123"
OTHER = "222222222333"
GPC = {"named": {"sec-gpc": "1"}}
TC_NO = of_bits("000010" + "0" * 260).rstrip("=")
TC_YES = of_bits("000010" + "0" * 146 + "100000010000000000000000" + "0" * 90).rstrip("=")
SIGNALS = ("gpc", "dnt", "cookie", "header", "event", "tcf")
BASE = {"signals": SIGNALS, "cookie": "choice", "header": "X-Consent", "tcf_header": "X-TCF"}
_LINES: dict[str, Pipeline] = {}


def line(mode="require", **consent):
    """Give the pipeline of these settings; making one takes a moment."""
    key = repr((mode, consent))
    if key not in _LINES:
        _LINES[key] = Pipeline(make_settings(consent={**BASE, **consent, "mode": mode}))
    return _LINES[key]


def said(request, mode="require", **consent):
    """Give the state and the source that the log would show for the first event of a request."""
    verdict = decide(request, pipeline=line(mode, **consent))[1].verdicts[0]
    return verdict.remarks["consent"], verdict.remarks["consent_source"]


def cookies(reply):
    return [value for name, value in reply.headers if name == "Set-Cookie"]


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (post(event()), ("unknown", "none")),
        (post(event(), **GPC), ("denied", "gpc")),
        (post(event(), named={"sec-gpc": "0"}), ("unknown", "none")),
        (post(event(context={"gpc": True})), ("denied", "gpc")),
        (post(event(), named={"dnt": "1"}), ("denied", "dnt")),
        (post(event(), cookie="choice=granted"), ("granted", "cookie")),
        (post(event(), cookie="choice=0; other=1"), ("denied", "cookie")),
        (post(event(), cookie="xchoice=1"), ("unknown", "none")),
        (post(event(), cookie="choice=yes; choice=no"), ("denied", "cookie")),
        (post(event(), cookie="choice=%7B%22analytics%22%3Atrue%7D"), ("granted", "cookie")),
        (post(event(), named={"x-consent": "Granted"}), ("granted", "header")),
        (post(event(extra={"consent": True})), ("granted", "event")),
        (post(event(extra={"consent": {"analytics_storage": "denied", "ad_storage": "granted"}})), ("denied", "event")),
        (post(event(extra={"consent": {"ad_storage": "granted"}})), ("unknown", "none")),
        (post(event(context={"consent": "granted"})), ("granted", "event")),
        (post(event(context={"consent": "pending"})), ("unknown", "none")),
        (post(event(extra={"consent": TC_YES})), ("granted", "tcf_event")),
        (post(event(extra={"tcf": TC_NO})), ("denied", "tcf_event")),
        (post(event(extra={"tcf": {"tcString": TC_YES, "gdprApplies": True}})), ("granted", "tcf_event")),
        (post(event(extra={"tcf": TC_NO, "gdprApplies": False})), ("unknown", "none")),
        (post(event(), cookie=f"euconsent-v2={TC_YES}"), ("granted", "tcf_cookie")),
        (post(event(), named={"x-tcf": TC_NO}), ("denied", "tcf_header")),
        (post(event(), QUERY + f"&gdpr=1&gdpr_consent={TC_YES}"), ("granted", "tcf_query")),
        (post(event(), QUERY + f"&gdpr=0&gdpr_consent={TC_NO}"), ("unknown", "none")),
        (post(event(), QUERY + "&consent=granted"), ("granted", "event")),
        (post(event(extra={"consent": True}), **GPC), ("denied", "gpc")),
        (post(event(extra={"consent": False}), cookie="choice=1"), ("denied", "event")),
        (post(event(), cookie=f"choice=1; euconsent-v2={TC_NO}"), ("denied", "tcf_cookie")),
        (post(event(), cookie="euconsent-v2=CGarbage"), ("unknown", "none")),
    ],
)  # fmt: skip
def test_what_each_signal_says(request_, expected):
    """A refusal beats a grant, and what can't be read says nothing."""
    assert expected == said(request_)


def test_texts_of_a_banners_cookie():
    """OneTrust's groups and Cookiebot's categories, by a text to look for."""
    one = {"granted_texts": ("C0002:1",), "denied_texts": ("C0002:0",)}
    cookie = "choice=isGpcEnabled=0&groups=C0001%3A1%2CC0002%3A{}"
    assert ("granted", "cookie") == said(post(event(), cookie=cookie.format(1)), **one)
    assert ("denied", "cookie") == said(post(event(), cookie=cookie.format(0)), **one)
    assert ("unknown", "none") == said(post(event(), cookie="choice=1"), **one)
    two = {"granted_texts": ("statistics:true",), "denied_texts": ("statistics:false",)}
    cookie = "choice={stamp:%27Zk==%27%2Cnecessary:true%2Cstatistics:true%2Cmarketing:false}"
    assert ("granted", "cookie") == said(post(event(), cookie=cookie), **two)


def test_signals_that_are_not_named_do_not_count():
    """A shop that listens to its banner alone."""
    only = {"signals": ("cookie",)}
    request = post(
        event(context={"gpc": True, "consent": "denied"}), cookie=f"choice=1; euconsent-v2={TC_NO}", **GPC
    )
    assert ("granted", "cookie") == said(request, **only)
    assert not {"sec-gpc", "dnt", "x-consent", "x-tcf"} & set(line(**only).wanted_headers)
    assert set(line().wanted_headers) >= {"sec-gpc", "dnt", "x-consent", "x-tcf"}


@given(st.permutations(SIGNALS))
def test_the_order_of_the_signals_names_the_source_and_changes_no_decision(order):
    """The first of those that agree is named."""
    from gateway.events.consenting import ConsentPolicy
    from gateway.settings_consent import Consent

    policy = ConsentPolicy(Consent(**{**BASE, "signals": order, "mode": "require"}))
    head = post(
        event(), cookie=f"choice=no; euconsent-v2={TC_YES}", named={"sec-gpc": "1", "x-consent": "yes"}
    ).head
    heard = policy.of_request(head)
    assert ("denied", min(("gpc", "cookie"), key=order.index)) == (heard.state, heard.source)


@given(st.recursive(st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False) | st.text(max_size=50)
    | st.sampled_from(["granted", "denied", TC_YES, TC_NO]), lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.sampled_from(["consent", "state", "analytics", "tcf", "purposes", "gdprApplies", "x"]), inner)))  # fmt: skip
def test_whatever_a_page_says_is_one_of_three(value):
    """Nothing raises, and everything is a yes, a no, or nothing."""
    assert said(post(event(extra={"consent": value, "tcf": value})))[0] in {"granted", "denied", "unknown"}


def test_events_that_need_no_consent_are_as_they_were():
    """With `off` nothing is read or written."""
    request = post(event(context={"consent": "denied"}), **GPC)
    _, decision = decide(request)
    assert "denied" == forwarded(decision)["context"]["consent"]
    assert ({}, []) == (decision.verdicts[0].remarks, decision.verdicts[0].tallies)
    assert cookies(decision.reply)


def test_the_decision_is_in_the_event_and_in_the_log():
    """Beside what the page said."""
    _, decision = decide(
        post(event(context={"consent": "granted"}, extra={"consent": "yes"})), pipeline=line()
    )
    fields = forwarded(decision)
    assert {"state": "granted", "source": "event", "page": "granted"} == fields["context"]["consent"]
    assert ("yes", UID) == (fields["extra"]["consent"], fields["uid"])
    assert {"consent": "granted", "consent_source": "event"} == decision.verdicts[0].remarks
    assert [("consent", "granted")] == decision.verdicts[0].tallies
    assert cookies(decision.reply)


@pytest.mark.parametrize("kind", ["json", "javascript", "pixel", "redirect"])
def test_a_required_consent_that_is_missing_keeps_the_event_nowhere(kind):
    """200 in every type of answer, the link's reader arrives, no cookie, nothing asked of the ledger."""
    query = QUERY.replace("resp_type=json", f"resp_type={kind}") + "&redirect_url=https://shop.example/"
    request = post(event(dims={"customers": {"customer_id": "c1"}}), query)
    prepared, decision = decide(request, pipeline=line())
    (verdict,) = decision.verdicts
    assert (Outcome.DROPPED, Reason.CONSENT_DENIED, False) == (
        verdict.outcome,
        verdict.reason,
        verdict.is_kept,
    )
    assert ([], [], "") == (prepared.claims, decision.notes, verdict.uid)
    assert 302 if kind == "redirect" else 200 == decision.reply.status
    assert cookies(decision.reply) == []
    assert ("X-Tracking-Outcome", "dropped; reason=consent_denied; field=none") in decision.reply.headers


def twin_cookies(pipeline):
    """Give a browser's cookies after a granted event."""
    _, decision = decide(post(event(extra={"consent": True})), pipeline=pipeline)
    return "; ".join(value.partition(";")[0] for value in cookies(decision.reply))


@pytest.mark.parametrize("mode", ["require", "anonymise"])
def test_a_refusal_ends_the_cookies_that_the_browser_has(mode):
    """The plain one and its twin, for the site and for the host; a visitor who has only not been asked yet keeps them."""
    has = twin_cookies(line(mode))
    assert ("_asm_uid=" in has, "_asm_uid_s=" in has) == (True, True)
    refusing = post(event(), cookie=has, **GPC)
    ended = cookies(decide(refusing, pipeline=line(mode))[1].reply)
    assert [
        "_asm_uid=; Path=/; Max-Age=0; Domain=shop.example; Secure; SameSite=Lax",
        "_asm_uid=; Path=/; Max-Age=0; Secure; SameSite=Lax",
        "_asm_uid_s=; Path=/; Max-Age=0; Domain=shop.example; Secure; SameSite=Lax; HttpOnly",
        "_asm_uid_s=; Path=/; Max-Age=0; Secure; SameSite=Lax; HttpOnly",
    ] == ended
    assert [] == cookies(decide(post(event(), cookie=has), pipeline=line(mode))[1].reply)
    assert [] == cookies(decide(post(event(), cookie="a=b", **GPC), pipeline=line(mode))[1].reply)


def test_nobody_else_can_end_a_visitors_cookies():
    """Not another site's page, not a link or an image in a message, not a server."""
    has = twin_cookies(line())
    foreign = post(event(extra={"consent": False}), cookie=has, origin="https://evil.example")
    image = get(QUERY + "&ec=a&ea=b&consent=denied", cookie=has)
    server = post(event(extra={"consent": False}), QUERY + "&is_s2s=true", cookie=has)
    for request in (foreign, image, server):
        prepared, decision = decide(request, pipeline=line())
        assert ("denied", []) == (prepared.consent.state, cookies(decision.reply))


def test_a_grant_that_a_link_claims_is_nobodys():
    """Who lays out a link can't agree for who follows it; the visitor's own cookie can."""
    query = QUERY.replace("resp_type=json", "resp_type=pixel") + "&ec=mail&ea=open&consent=granted"
    assert ("unknown", "none") == said(get(query))
    assert ("granted", "cookie") == said(get(query, cookie="choice=1"))


def test_withdrawal_holds_from_the_next_event_on_within_one_request():
    """What came before it is kept, what comes after it is not, until the visitor agrees anew; the last word decides the cookies."""
    batch = [
        event(extra={"consent": True}),
        event(extra={"consent": False}),
        event(),
        event(extra={"consent": True}),
    ]
    request = post(batch, cookie=twin_cookies(line()) + "; choice=1")
    prepared, decision = decide(request, pipeline=line())
    assert ["ok", "consent_denied", "consent_denied", "ok"] == [
        each.reason.value for each in decision.verdicts
    ]
    assert "granted" == prepared.consent.state
    prepared, decision = decide(post(batch[:3], cookie=request.head.cookie), pipeline=line())
    assert ["ok", "consent_denied", "consent_denied"] == [each.reason.value for each in decision.verdicts]
    assert all("Max-Age=0" in each for each in cookies(decision.reply))
    assert cookies(decision.reply)


def test_a_server_speaks_for_each_event_by_itself():
    """Its own headers and cookies are nobody's consent; what it does not say, a setting does."""
    batch = [
        event(uid="1001", extra={"consent": False}),
        event(uid="1002"),
        event(uid="1003", extra={"consent": 1}),
    ]
    request = post(batch, QUERY + "&is_s2s=true", cookie="choice=1", **GPC)
    reasons = [each.reason.value for each in decide(request, pipeline=line())[1].verdicts]
    assert ["consent_denied", "consent_denied", "ok"] == reasons
    reasons = [each.reason.value for each in decide(request, pipeline=line(servers="granted"))[1].verdicts]
    assert ["consent_denied", "ok", "ok"] == reasons


def test_a_property_can_ask_for_what_others_do_not():
    """`[properties.consent]` over `[consent]`, key by key."""
    shop = {"portal_id": "33167", "prop_id": "556300706", "site": "shop.example", "origins": (ORIGIN,)}
    own = {**shop, "consent": {"mode": "require"}}
    settings = make_settings(consent={"cookie": "choice"}, properties=(own, {**shop, "prop_id": "2"}))
    pipeline = Pipeline(settings)
    assert ("granted", "cookie") == tuple(
        decide(post(event(), cookie="choice=1"), pipeline=pipeline)[1].verdicts[0].remarks.values()
    )
    other = decide(post(event(), QUERY.replace("556300706", "2")), pipeline=pipeline)[1].verdicts[0]
    assert (Reason.OK, {}) == (other.reason, other.remarks)
    again = type(settings).model_validate(settings.revealed())
    assert settings.properties[0].consent == again.properties[0].consent


@pytest.mark.parametrize("method", ["HEAD"])
def test_a_page_can_have_the_cookies_ended_without_an_event(method):
    """Whatever the mode: `HEAD …&consent=denied`, from a page of the property's own."""
    has = twin_cookies(line())
    head = post(event(), QUERY + "&consent=denied", cookie=has).head
    import msgspec

    def glance(**changes):
        request = msgspec.structs.replace(
            post(b""), head=msgspec.structs.replace(head, method=method, **changes)
        )
        return [each.partition("=")[0] for each in cookies(line("off").glance(request))]

    assert ["_asm_uid", "_asm_uid", "_asm_uid_s", "_asm_uid_s"] == glance()
    assert ["_asm_uid", "_asm_uid", "_asm_uid_s", "_asm_uid_s"] == glance(
        origin="", fetch_site="same-origin", fetch_mode="cors"
    )
    assert [] == glance(origin="https://evil.example")
    assert [] == glance(origin="")
    assert [] == glance(query=QUERY)


@pytest.mark.parametrize(
    ("named", "cookie", "query", "is_named"),
    [
        ({}, "", "", False),
        ({"sec-gpc": "1"}, "; choice=1", "", False),
        ({}, "; choice=1", "", True),
        ({}, "", "&consent=granted", True),
        ({}, "; choice=0", "&consent=granted", False),
    ],
)
@pytest.mark.parametrize("mode", ["require", "anonymise"])
def test_ppid_names_nobody_who_has_not_agreed(mode, named, cookie, query, is_named):
    """By the request, or by what the page says."""
    request = get(QUERY + query, cookie=f"_asm_uid={UID}{cookie}", named=named)
    answer = orjson.loads(line(mode).ppid(request, STAMP.now_ms).body)
    assert {"ppid": ppid(UID) if is_named else None} == answer


CLIENT_IDS = {
    "gclid": "Cj0gclid111", "fbclid": "IwARfbclid222", "fbp": "fb.1.1596403881668.1116446470", "_fbc": "fb.1.15.IwAR333",
    "ga_client_id": "GA1.1.444444.555555", "device_id": "dev-666666", "idfa": "EA7583CD-A667-48BC-B806-42ECB2B48606",
}  # fmt: skip
FULL = event(
    "product",
    "view",
    aid="aid-1234567",
    cid="cid-7654321",
    sid="sid-9999999",
    request_id="req-1",
    items=[
        {"type": "product", "id": "42", "name": "Phin"},
        {"type": "customers", "customer_id": "cid-7654321"},
    ],
    dims={
        "customers": {"customer_id": "cid-7654321", "email": "lan@shop.example"},
        "campaign": {"id": "spring"},
    },
    extra={
        **CLIENT_IDS,
        "event_id": "client-event-1",
        "note": "uid 1234567890123 again",
        "payload": '{"uid":"1234567890123","colour":"red"}',
        "page_type": "product",
        "lat": 10.77,
        "again": "lan@shop.example",
        "tcf": TC_NO,
        "order_id": "SO-1",
    },
    context={
        "ip": "203.0.113.9",
        "geo": {"country": "VN", "region": "SG", "city": "Thu Duc", "latitude": 10.8},
        "navigation": {
            "url": "https://a:b@www.shop.example/p?utm_source=x&gclid=Cj0gclid111&uid=1234567890123&q=phin&next=https%3A%2F%2Fshop.example%2F%3Ffbclid%3DIwARfbclid222%26a%3D1#sid=sid-9999999"
        },
        "device": {"id": "dev-1", "type": "mobile"},
        "consent": "denied",
    },
)


def test_an_anonymised_event_says_what_happened_and_not_to_whom():
    """No UID, CID, address, place, click id or client's id is left anywhere in what goes out; campaign, page and country are."""
    pipeline = line("anonymise", anonymise_drop=("order_id",))
    request = post(
        FULL,
        QUERY + "&delivery_src=web&uid2=1234567890123",
        cookie=twin_cookies(pipeline),
        referer="https://www.shop.example/?gclid=Cj0gclid111",
    )
    prepared, decision = decide(request, pipeline=pipeline)
    (verdict,) = decision.verdicts
    record = verdict.record
    assert record is not None
    assert (Reason.ANONYMISED, "", "", "", []) == (
        verdict.reason,
        verdict.uid,
        record.uid,
        record.client_ip,
        prepared.claims,
    )
    assert (record.cookie, verdict.session, f"&request_id={record.event_id}&" in f"{record.query}&") == (
        "",
        "",
        True,
    )
    whole = f"{record.query} {record.body.decode()} {decision.reply.body.decode()} {verdict.remarks}"
    for secret in (
        UID,
        "7654321",
        "9999999",
        "aid-1",
        "dev-",
        "req-1",
        "client-event",
        "lan@",
        "203.0.113",
        "Thu Duc",
        'SG"',
        "10.7",
        "10.8",
        "SO-1",
        "a:b@",
        TC_NO,
        *CLIENT_IDS.values(),
    ):
        assert secret not in whole, secret
    fields = forwarded(decision)
    assert {"state": "denied", "source": "event", "anonymised": True, "page": "denied"} == fields["context"][
        "consent"
    ]
    assert (
        "https://www.shop.example/p?utm_source=x&q=phin&next=https%3A%2F%2Fshop.example%2F%3Fa%3D1"
        == fields["context"]["navigation"]["url"]
    )
    assert {"country": "VN"} == fields["context"]["geo"]
    assert ({"type": "mobile"}, "x") == (fields["context"]["device"], fields["context"]["campaign"]["source"])
    assert [{"type": "product", "id": "42", "name": "Phin"}] == fields["items"]
    assert ({"campaign": {"id": "spring"}}, "product") == (fields["dims"], fields["extra"]["page_type"])
    assert '{"colour":"red"}' == fields["extra"]["payload"]
    assert record.event_id == fields["extra"]["event_id"]


def test_what_the_gateway_adds_is_as_coarse():
    """The address, the city and the referrer's click ids come from the request: they stay out too."""
    world = World(locate=lambda _: Location("VN", "SG", "Thu Duc"))
    pipeline = Pipeline(make_settings(consent={"mode": "anonymise"}), world)
    request = post(event(), referer="https://www.shop.example/?fbclid=IwARfbclid222&utm_source=x")
    prepared = pipeline.prepare(request, STAMP)
    decision = pipeline.decide(prepared, bindings(prepared, None))
    body = decision.verdicts[0].record.body.decode()
    assert not [each for each in ("IwAR", "203.0.113", "Thu Duc", UID) if each in body]
    assert "utm_source=x" in body


@pytest.mark.parametrize("on_conflict", ["quarantine", "new_uid", "strip"])
def test_an_anonymised_event_is_held_for_nothing(on_conflict):
    """It names nobody, so it contradicts nobody: neither itself nor the ledger."""
    pipeline = Pipeline(make_settings(consent={"mode": "anonymise"}, identity={"on_conflict": on_conflict}))
    fields = event(cid="a-customer", extra={"customer_id": "another"})
    prepared, decision = decide(post([fields, event(extra={"consent": True})]), "bound", pipeline=pipeline)
    assert 1 == len(prepared.claims)
    assert [Reason.ANONYMISED, Reason.OK] == [each.reason for each in decision.verdicts]


def test_no_cookie_is_set_for_nobody():
    """The granted event of the same request sets its own."""
    pipeline = line("anonymise")
    assert [] == cookies(decide(post(event()), pipeline=pipeline)[1].reply)
    both = decide(post([event(), event(uid=OTHER, extra={"consent": True})]), pipeline=pipeline)[1]
    assert [OTHER] == [each.partition("=")[2].partition(";")[0] for each in cookies(both.reply)][:1]


def test_nothing_of_nobodys_goes_to_the_collector_in_relay_mode():
    """Its own cookies stay in the browser, and its answer is not waited for."""
    collector = {"mode": "relay", "relay_cookies": ("_cdp",)}
    pipeline = Pipeline(make_settings(consent={"mode": "anonymise"}, collector=collector))
    prepared, decision = decide(post(event(), cookie="_cdp=abc"), pipeline=pipeline)
    assert ("", "") == (decision.verdicts[0].record.cookie, pipeline.relay.awaited(prepared, decision))


def test_what_is_asked_of_a_header_is_not_masked_first():
    """`session=…` is masked wherever it is kept; what it says of consent is heard all the same."""
    pipeline = line(granted_texts=("session=granted",), denied_texts=("session=no",))
    request = post(event(), named={"x-consent": "v=1&session=granted"})
    assert Outcome.ACCEPTED is decide(request, pipeline=pipeline)[1].verdicts[0].outcome


def test_a_refusal_ends_the_collectors_cookies_too():
    """The gateway has set them on the site's name, so nobody else will end them."""
    sections = {
        "collector": {"mode": "relay", "relay_cookies": ("campaign",)},
        "consent": {"mode": "require"},
    }
    pipeline = Pipeline(make_settings(**sections))
    request = post(event(), cookie="campaign=abc; other=1", **GPC)
    names = {each.partition("=")[0] for each in cookies(decide(request, pipeline=pipeline)[1].reply)}
    assert {"campaign"} == names
