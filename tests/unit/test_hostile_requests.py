"""Requests by which somebody would be somebody else: links that were passed on or laid out, query strings beside a body, odd types."""

from __future__ import annotations

import hashlib
import time
from urllib.parse import quote, urlencode

import orjson
import pytest

from gateway.events.identity import Identities
from gateway.events.outcome import Reason
from gateway.events.pipeline import Pipeline
from gateway.settings import Identity
from tests.builders import PORTAL_ID, QUERY, event, get, make_settings, post
from tests.unit.ingest_fakes import Bench

UID, OTHER, THIRD = "1234567890123", "9876543210987", "5555555555555"
LAN, BINH = "lan@example.com", "binh@example.com"


def md5(text):
    return hashlib.md5(text.encode()).hexdigest()


def cookies(reply):
    pairs = [value.partition(";")[0].partition("=") for name, value in reply.headers if name == "Set-Cookie"]
    return {name: value for name, _, value in pairs}


def link(response_type="redirect", **parameters):
    values = {"resp_type": response_type, "redirect_url": "https://www.shop.example/", **parameters}
    return f"portal_id=33167&prop_id=556300706&{urlencode({'ec': 'message', 'ea': 'click'} | values)}"


@pytest.fixture
async def bench():
    return Bench(Pipeline(make_settings(identity={"on_conflict": "new_uid"})))


async def visit(bench, uid=UID):
    """Let a visitor of a page of the shop get her cookies, and give them as the browser sends them."""
    reply = await bench.ingest.take(post(event(uid=uid)))
    await bench.spooled()
    return "; ".join(f"{name}={value}" for name, value in cookies(reply).items())


REVIEW = {
    "fetch_site": "same-site",
    "fetch_mode": "no-cors",
    "fetch_dest": "image",
    "referer": "https://www.shop.example/review",
}
NAVIGATION = {"fetch_site": "cross-site", "fetch_mode": "navigate"}
RESET = {"ec": "user", "ea": "reset_anonymous_id", "extra": '{"generate_uid":"666666666"}'}


@pytest.mark.parametrize("parameters", [{}, {"resp_type": "redirect"}, {"resp_type": "json"}, {"uid": UID}])
@pytest.mark.parametrize("browser", [NAVIGATION, REVIEW, {}, {"referer": "https://www.shop.example/"}])
async def test_a_link_signs_nobody_out_into_a_uid_of_its_maker(bench, parameters, browser):
    """The next visit would be filed under a UID that somebody else knows."""
    cookie = await visit(bench)
    reply = await bench.ingest.take(get(link(**{**RESET, **parameters}), cookie=cookie, **browser))
    assert {} == cookies(reply)


@pytest.mark.parametrize("kind", ["json", "javascript", "pixel", "redirect"])
async def test_a_link_gives_a_stranger_no_uid_that_its_maker_chose(bench, kind):
    """Whoever follows it gets no cookie with that UID."""
    reply = await bench.ingest.take(get(link(kind, uid="666666666"), **NAVIGATION))
    assert {} == cookies(reply)


async def test_a_link_without_an_id_is_a_first_visit_like_any_other(bench):
    """A campaign's link may begin a visitor's history."""
    reply = await bench.ingest.take(get(link(), **NAVIGATION))
    assert cookies(reply)["_asm_uid"]


async def test_who_follows_a_link_is_not_whom_it_names(bench):
    """The message was passed on: its reader stays who she is, and the click counts for whom it was sent to."""
    cookie = await visit(bench)
    for _ in range(2):
        reply = await bench.ingest.take(get(link(cid=md5(BINH)), cookie=cookie, **NAVIGATION))
        assert (302, {}) == (reply.status, cookies(reply))
    assert None is bench.ledger.lookup(PORTAL_ID, UID).cid
    clicks = await bench.spooled()
    assert 1 == len({record.uid for record in clicks})
    assert UID not in {record.uid for record in clicks}
    assert {md5(BINH)} == {orjson.loads(record.body)["cid"] for record in clicks}
    await bench.ingest.take(post(event("user", "sign_in", uid=UID, dims={"customers": {"email": LAN}})))
    assert md5(LAN) == bench.ledger.lookup(PORTAL_ID, UID).cid


async def test_a_link_does_not_ask_the_signed_cookie_for_its_readers_uid(bench):
    """`uid_new=1` is the word of our script on a page of the shop, of nobody else."""
    twin = (await visit(bench)).partition("; ")[2]
    reply = await bench.ingest.take(
        get(link("json", uid="777777777", uid_new="1", cid=md5(BINH)), cookie=twin, **NAVIGATION)
    )
    assert "777777777" == orjson.loads(reply.body)["au_id"]
    assert None is bench.ledger.lookup(PORTAL_ID, UID).cid


@pytest.mark.parametrize(
    "browser",
    [
        {"fetch_site": "same-site", "fetch_mode": "no-cors", "fetch_dest": "script"},
        {"fetch_site": "same-origin", "fetch_mode": "cors", "fetch_dest": "empty"},
        {"origin": "https://www.shop.example"},
    ],
)
async def test_a_script_of_the_shop_may_still_use_get(bench, browser):
    """By fetch or by a script tag: the browser says so itself."""
    reply = await bench.ingest.take(get(link("javascript", uid=THIRD, cid=md5(LAN)), **browser))
    assert THIRD == cookies(reply)["_asm_uid"]
    assert md5(LAN) == bench.ledger.lookup(PORTAL_ID, THIRD).cid


async def test_nothing_goes_past_the_ledger_in_the_query_string_of_a_body(bench):
    """The body's own fields win, and no identity is handed on beside it, under no spelling."""
    dims = quote(orjson.dumps({"customers": {"email": "raw@x.example"}}))
    query = f"{QUERY}&cid={md5(BINH)}&uid={OTHER}&dims={dims}&CID=x&customer_id=y&Extra=z&utm=kept"
    await bench.ingest.take(post(event(uid=UID, cid=md5(LAN)), query))
    [record] = await bench.spooled()
    fields = orjson.loads(record.body)
    assert (UID, md5(LAN)) == (fields["uid"], fields["cid"])
    carried = record.query.partition("request_id=")[2].partition("&")[2]
    assert "utm=kept" == carried
    assert "raw@x.example" not in str(record)
    assert hashlib.sha256(b"raw@x.example").hexdigest() == fields["dims"]["customers"]["email"]


@pytest.mark.parametrize(
    "name",
    [
        "uid[]",
        "cid[0]",
        "customer_id[]",
        "customers[customer_id]",
        "customer.customer_id",
        "DIMS[customers][x]",
        " dims",
        "Uid\x00",
        "dims[customers",
    ],
)
async def test_no_framework_finds_an_id_in_what_goes_beside_a_body(bench, name):
    """Of `uid[]` many a server makes a UID, and of ` dims` an object."""
    await bench.ingest.take(post(event(uid=UID), f"{QUERY}&{quote(name)}=C-17&utm.items=kept"))
    [record] = await bench.spooled()
    assert "C-17" not in record.query
    assert "utm.items=kept" in record.query


@pytest.mark.parametrize(
    "name", ["phone[]", "customers[phone][0]", "customer.phone", " phone", "phone\x00", "Phone[mobile]"]
)
@pytest.mark.parametrize("in_form", [False, True])
async def test_a_number_in_a_part_of_a_parameter_is_hashed(bench, name, in_form):
    """A number shows nothing in itself: only its name says that it is a phone's."""
    parameter = f"{quote(name)}=0912345678"
    form = {"content_type": "application/x-www-form-urlencoded"}
    if in_form:
        request = post(f"ec=user&ea=view&{parameter}".encode(), QUERY, **form)
    else:
        request = post(event(uid=UID), f"{QUERY}&{parameter}")
    await bench.ingest.take(request)
    [record] = await bench.spooled()
    assert "912345678" not in record.query
    assert hashlib.sha256(b"+84912345678").hexdigest() in record.query


@pytest.mark.parametrize("name", [LAN, "0912345678", "+84912345678", "(091) 234-5678"])
async def test_a_link_that_ends_in_an_address_takes_it_nowhere(bench, name):
    """Behind the `?` stands nothing but the address: it is a parameter's name, without a value."""
    await bench.ingest.take(post(event(uid=UID), f"{QUERY}&{quote(name)}&utm=kept"))
    [record] = await bench.spooled()
    assert LAN not in record.query.replace("%40", "@")
    assert "5678" not in record.query
    assert "utm=kept" in record.query


async def test_a_column_s_blanks_hide_no_address(bench):
    """Names of fields come out of spreadsheets too."""
    await bench.ingest.take(post(event(uid=UID, extra={"Phone ": "0912345678", " email": LAN})))
    [record] = await bench.spooled()
    assert "912345678" not in record.body.decode()
    assert LAN not in record.body.decode()


async def test_what_only_the_query_string_says_of_an_event_counts(bench):
    """A POST whose fields stand beside it, in part: nothing of it is lost."""
    extra = quote('{"order_id": "o1"}')
    await bench.ingest.take(
        post([{"ec": "a", "ea": "b"}, event("c", "d")], f"{QUERY}&uid={OTHER}&extra={extra}")
    )
    first, second = [orjson.loads(record.body) for record in await bench.spooled()]
    assert ((OTHER, "o1"), (UID, "o1")) == tuple(
        (each["uid"], each["extra"]["order_id"]) for each in (first, second)
    )
    reply = await bench.ingest.take(post({"ec": "a", "ea": "b"}, f"{QUERY}&extra=%7Bbroken"))
    assert "extra" in orjson.loads(reply.body)["field"]


async def test_the_first_person_who_signs_in_again_has_her_page_views_back(bench):
    """In one array: hers, the other's, hers; and the cookie is the last one's."""
    signs = [
        event("user", "sign_in", uid=UID, dims={"customers": {"email": each}}) for each in (LAN, BINH, LAN)
    ]
    await bench.ingest.take(post(signs[0]))
    await bench.spooled()
    reply = await bench.ingest.take(post([signs[1], event(), signs[2], event()], cookie=f"_asm_uid={UID}"))
    cids = [orjson.loads(record.body)["cid"] for record in await bench.spooled()]
    assert [md5(BINH), md5(BINH), md5(LAN), md5(LAN)] == cids
    assert UID == cookies(reply)["_asm_uid"]
    other = await bench.ingest.take(post([signs[0], signs[1], event()], cookie=f"_asm_uid={UID}"))
    assert UID != cookies(other)["_asm_uid"]


@pytest.mark.parametrize(
    "uid", ["0912345678", "+84912345678", "tel:+84912345678", "mailto:lan@example.com", "lan@example.com"]
)
@pytest.mark.parametrize("where", ["uid", "cookie", "generate_uid"])
async def test_no_uid_is_a_raw_address_wherever_it_comes_from(bench, uid, where):
    """Not in the ledger, not in a record, not in an answer, a cookie or the log."""
    fields = event("user", "reset_anonymous_id", uid="")
    head = {}
    if where == "cookie":
        head = {"cookie": f"_asm_uid={uid}"}
    elif where == "uid":
        fields |= {"uid": uid, "aid": uid}
    else:
        fields |= {"extra": {"generate_uid": uid, "email": uid}}
    reply = await bench.ingest.take(post(fields, **head))
    records = (
        str([(each.uid, each.body) for each in await bench.spooled()]) if where != "generate_uid" else ""
    )
    everything = f"{records}{reply}{bench.close()}"
    for raw in ("912345678", LAN):
        assert raw not in everything


@pytest.mark.parametrize(
    "value",
    [
        {"address": LAN},
        [{"value": LAN}],
        [[LAN, {"deep": [LAN]}]],
        {"email": {"email": LAN}},
    ],
)
def test_an_address_in_parts_is_hashed_like_one_in_one_piece(value):
    """A list of lists, an object: no depth hides it."""
    fields = event(dims={"customers": {"email": value}})
    Identities(Identity()).identify(fields, may_hold_fields=True)
    text = orjson.dumps(fields).decode()
    assert LAN not in text
    assert hashlib.sha256(LAN.encode()).hexdigest() in text


@pytest.mark.parametrize("kind", [["customers"], {"a": 1}, None, 5])
async def test_a_type_that_is_no_text_breaks_nothing(kind):
    """What a page writes there may be anything; the event is taken."""
    bench = Bench(Pipeline(make_settings(identity={"on_conflict": "strip"})))
    items, dims = [{"type": kind, "id": "1"}], [{"type": kind}, {"customers": {"email": BINH}}]
    replies = [
        await bench.ingest.take(post(each))
        for each in (event(cid=md5(LAN)), event(items=items, dims=dims), event(items=items, cid=md5(BINH)))
    ]
    assert [200, 200, 200] == [reply.status for reply in replies]


CONTRADICTIONS = {
    "two e-mails": ({"email": LAN}, {"email": BINH}),
    "two phones": ({"phone": "0912345678"}, {"phone": "0912345679"}),
    "one is named": ({"customer_id": md5(LAN), "email": LAN}, {"email": BINH}),
    "two hashes": ({"email": md5(LAN)}, {"email": md5(BINH)}),
    "two LINE users": ({"line_user_id": "U1"}, {"line_user_id": "U2"}),
}


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_two_people_in_one_event_are_a_contradiction_also_without_their_ids(case):
    """A friend's address beside the customer's: it is never guessed whose event it is."""
    first, second = CONTRADICTIONS[case]
    fields = event(dims={"customers": dict(first)}, items=[{"type": "customers", **second}])
    identities = Identities(Identity(derive_cid_from=["email", "phone", "line_user_id"]))
    found = identities.identify(fields, may_hold_fields=True)
    assert found.rejection is not None
    assert Reason.CID_CONTRADICTION is found.rejection.reason
    assert "dims.customers and items[0] name different customers" == found.rejection.detail
    assert LAN not in str(fields)


AGREEMENTS = {
    "the same e-mail, written otherwise": ({"email": LAN}, {"email": " LAN@Example.com"}),
    "an e-mail and a phone": ({"email": LAN}, {"phone": "0912345678"}),
    "both name her": ({"customer_id": "C1", "email": LAN}, {"customer_id": "C1", "email": BINH}),
    "an address and its hash": ({"email": LAN}, {"email": md5(LAN)}),
}


@pytest.mark.parametrize("case", AGREEMENTS)
def test_one_person_described_twice_is_no_contradiction(case):
    """Pages repeat the customer in items and dims."""
    first, second = AGREEMENTS[case]
    fields = event(dims={"customers": dict(first)}, items=[{"type": "customers", **second}])
    found = Identities(Identity()).identify(fields, may_hold_fields=True)
    assert (None, True) == (found.rejection, found.cid is not None)


@pytest.mark.parametrize(
    "word", ["[object Object]", "NaN", "None", "NULL", "Undefined", "GUEST", "undefined", "", "n/a"]
)
@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_the_hash_of_a_placeholder_names_nobody_however_it_was_spelled(word, algorithm):
    """Else all who are signed out would be one customer."""
    hashed = hashlib.new(algorithm, word.encode()).hexdigest()
    found = Identities(Identity()).identify(event(cid=hashed), may_hold_fields=True)
    assert (None, ("cid",)) == (found.cid, found.placeholders)


def test_a_placeholder_may_be_an_address():
    """`placeholder_cids` may name the address that a till writes when the customer has none."""
    identities = Identities(Identity(placeholder_cids=["noemail@shop.example"]))
    for customer in ({"email": " NoEmail@shop.example"}, {"customer_id": "noemail@shop.example"}):
        fields = event(dims={"customers": customer})
        assert None is identities.identify(fields, may_hold_fields=True).cid


async def test_a_phone_that_may_not_be_told_apart_is_a_visitor_of_its_own(bench):
    """Without consent an iPhone's advertising id is all zeros: no two of them are one visitor."""
    nil = "00000000-0000-0000-0000-000000000000"
    replies = [await bench.ingest.take(post(event(uid=nil, aid=nil))) for _ in range(2)]
    assert 2 == len({orjson.loads(reply.body)["au_id"] for reply in replies} - {nil})


def seconds(work):
    started = time.process_time()
    work()
    return time.process_time() - started


def crowd(people):
    return [
        {"type": "customers", "customer_id": md5(f"c{each}"), "email": f"{each}@x.example", "phone": f"+8491{each:07d}"}
        for each in range(people)
    ]  # fmt: skip


MARKS = "\u0315\u0300"


@pytest.mark.parametrize(
    ("small", "large"),
    [
        (lambda: event(dims=crowd(20)), lambda: event(dims=crowd(200))),
        (
            lambda: event(cid=md5("x"), dims=crowd(20)),
            lambda: event(cid=md5("x"), dims=crowd(200)),
        ),
        (
            lambda: event(dims={"customers": {"phone": MARKS * 2_000}}),
            lambda: event(dims={"customers": {"phone": MARKS * 20_000}}),
        ),
        (
            lambda: event(dims={"customers": {"email": MARKS * 2_000 + "@x.example"}}),
            lambda: event(dims={"customers": {"email": MARKS * 20_000 + "@x.example"}}),
        ),
        (
            lambda: event(dims={"customers": {"line_user_id": MARKS * 2_000}}),
            lambda: event(dims={"customers": {"line_user_id": MARKS * 20_000}}),
        ),
    ],
)
def test_ten_times_the_nonsense_costs_no_more_than_ten_times_the_work(small, large):
    """What grows with the square of its size would let one request of 64 KB stop a worker for a minute."""
    norms = {name: ["meta", "google", "tiktok"] for name in ("email", "phone", "first_name")}
    identity = Identity(derive_cid_from=["email", "phone", "line_user_id"], norms=norms)
    fields = [large(), large(), small(), small()]
    identities = Identities(identity)
    times = [seconds(lambda each=each: identities.identify(each, may_hold_fields=True)) for each in fields]
    # A square would be a hundred times; a slow moment of the machine is not ten.
    assert min(times[:2]) < 40 * max(0.001, *times[2:])


async def test_an_image_in_a_review_makes_nobody_somebody_else(bench):
    """What a visitor wrote on the shop's own page may hold an image: its readers keep their UIDs, bound to nobody by it."""
    cookie = await visit(bench)
    reply = await bench.ingest.take(get(link("pixel", cid=md5(BINH)), cookie=cookie, **REVIEW))
    assert {} == cookies(reply)
    assert None is bench.ledger.lookup(PORTAL_ID, UID).cid


async def test_people_of_a_servers_batch_share_no_uid(bench):
    """A server may send many people's events at once, none with a UID."""
    events = [{"ec": "a", "ea": "b", **each} for each in ({"cid": md5(LAN)}, {}, {"cid": md5(BINH)})]
    await bench.ingest.take(post(events, f"{QUERY}&is_s2s=true"))
    records = await bench.spooled()
    assert 3 == len({record.uid for record in records})
    assert [md5(LAN), None, md5(BINH)] == [orjson.loads(record.body).get("cid") for record in records]


async def test_an_array_is_of_one_property(bench):
    """A customer of one portal does not get into another's ledger."""
    mine = {"ec": "a", "ea": "b", "portal_id": "33167", "prop_id": 556300706, "cid": md5(LAN)}
    reply = await bench.ingest.take(post([mine, mine | {"portal_id": "2", "cid": md5(BINH)}], ""))
    first, second = orjson.loads(reply.body)["results"]
    assert ("accepted", "portal_id") == (first["outcome"], second["field"])
    assert ["33167"] == [row.portal_id for row in bench.ledger.export()]


@pytest.mark.parametrize(
    "fields",
    [
        {"sid": LAN},
        {"dims": {"users": {"id": LAN}}},
        {"dims": {"customers": [{"name": "x", "id": LAN}]}},
        {"items": [{"type": "customers", "id": f" {LAN}"}]},
        {"extra": {"identify_id": LAN, "reset_uid": "+84912345678", "deep": [{"User_Id": "0912 345 678"}]}},
        {"extra": {"email": {LAN: True}}},
    ],
)
async def test_an_id_that_is_an_address_is_hashed_wherever_it_stands(bench, fields):
    """Not every place of an id names the customer, but none lets an address through."""
    await bench.ingest.take(post(event(uid=THIRD, **fields)))
    [record] = await bench.spooled()
    text = record.body.decode().lower()
    assert LAN not in text
    assert "12345678" not in text.replace(" ", "")


@pytest.mark.parametrize(
    "parameter", [f"customer[email]={LAN}", f'customer={{"email":"{LAN}"}}', f"who={LAN}", f"Email={LAN}"]
)
async def test_a_carried_parameter_lets_no_address_through(bench, parameter):
    """Also not as a part of something larger."""
    name, _, value = parameter.partition("=")
    await bench.ingest.take(post(event(), f"{QUERY}&{quote(name)}={quote(value)}"))
    [record] = await bench.spooled()
    assert LAN not in record.query.replace("%40", "@")
    assert quote(name, safe="") in record.query


async def test_a_form_of_a_hundred_thousand_fields_is_refused(bench):
    """And so is a query string that no collector would take."""
    head = {"content_type": "application/x-www-form-urlencoded"}
    many = "&".join(f"p{number}=1" for number in range(100_000))
    long = f"{QUERY}&p={9_000 * 'x'}"
    requests = (post(many.encode(), QUERY, **head), post(event(), long))
    assert [413, 413] == [(await bench.ingest.take(each)).status for each in requests]


@pytest.mark.parametrize("cid", ["\x1b]0;owned\x07", "a\nb", "a\u202eb"])
async def test_a_cid_of_control_characters_is_refused(bench, cid):
    """It would write to the terminal of whoever looks at the ledger."""
    reply = await bench.ingest.take(post(event(cid=cid)))
    assert (400, "cid") == (reply.status, orjson.loads(reply.body)["field"])
