"""What leaves of a visitor's address, wherever it stands."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.events.address_policy import AddressPolicies, truncated
from gateway.events.model import UNBOUND, Head, Request
from gateway.events.pipeline import Pipeline
from gateway.events.world import Location, World
from gateway.settings import Settings
from tests.builders import PORTAL_ID, PROP_ID, STAMP

VISITOR = "203.0.113.77"
SALT = b"s" * 32
HANOI = Location("VN", "Hà Nội", "Hà Nội", {"country": "VN", "region": "Hà Nội", "city": "Hà Nội"})


def recorded(policy, fields, *, peer=VISITOR, query="", world=None, own="", address_header=""):
    """Give the record and the body of an event under a policy."""
    settings = Settings(
        network={"client_address": policy},
        server={"trusted_proxies": ["127.0.0.0/8"]},
        properties=[
            {"portal_id": PORTAL_ID, "prop_id": PROP_ID, "site": "shop.example", "client_address": own}
        ],
    )
    pipeline = Pipeline(settings, world or World(salt=lambda _: SALT))
    head = Head(
        method="POST",
        path="/event",
        query=f"portal_id={PORTAL_ID}&prop_id={PROP_ID}{query}",
        peer=peer,
        forwarded_for=address_header,
        content_type="application/json",
    )
    body = orjson.dumps({"ec": "pageview", "ea": "view", "uid": "123456789", **fields})
    prepared = pipeline.prepare(Request(head, body), STAMP)
    record = pipeline.decide(prepared, [UNBOUND for _ in prepared.claims]).verdicts[0].record
    return record, orjson.loads(record.body)


@pytest.mark.parametrize(
    ("address", "left"),
    [
        ("203.0.113.77", "203.0.113.0"),
        ("::ffff:203.0.113.77", "203.0.113.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("2002:cb00:714d:1::1", "2002:cb00:7100::"),
        ("fe80::1%eth0", "fe80::"),
        ("203.0.113.77:4711", ""),
        ("203.0.113.77, 10.0.0.1", ""),
        ("Hà Nội", ""),
        ("", ""),
    ],
)
def test_an_address_is_cut_to_its_network(address, left):
    """24 bits of IPv4, also in IPv6's clothes, 48 of IPv6; what is no address is nothing."""
    assert left == truncated(address)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_cutting_is_cutting_once(address):
    """What was cut stays as it is, and neighbours of one network can't be told apart."""
    cut = truncated(str(address))
    assert cut == truncated(cut)


def test_everything_leaves_where_the_policy_says_full():
    """As it was before there was a policy; what a page says of itself stays."""
    record, body = recorded("full", {"context": {"ip": "page's own"}, "extra": {"ip": "10.9.8.7"}})
    assert (VISITOR, "page's own", "10.9.8.7") == (
        record.client_ip,
        body["context"]["ip"],
        body["extra"]["ip"],
    )
    assert VISITOR == recorded("full", {})[1]["context"]["ip"]


def test_a_truncated_address_stays_an_address():
    """In the event, in the header to the collector, and where the page had written it."""
    record, body = recorded(
        "truncate",
        {"context": {"network": {"clientIp": VISITOR}}, "extra": {"ip_address": "2001:db8:1:2::3"}},
        query=f"&user_ip={VISITOR}",
    )
    assert ("203.0.113.0", "203.0.113.0") == (record.client_ip, body["context"]["ip"])
    assert "203.0.113.0" == body["context"]["network"]["clientIp"]
    assert "2001:db8:1::" == body["extra"]["ip_address"]
    assert "user_ip=203.0.113.0" in record.query


@pytest.mark.parametrize("policy", ["truncate", "hash", "drop"])
@pytest.mark.parametrize(
    "fields",
    [
        {"context": {"ip": VISITOR}},
        {"context": {"IP": f"{VISITOR}:4711", "network": {"ip": [VISITOR]}, "device": {"ip": VISITOR}}},
        {"extra": {"ip": {"v4": VISITOR}, "remote_addr": f"{VISITOR}, 10.0.0.1", "client-ip": f" {VISITOR} "}},
        {"ip": VISITOR, "extra": {"ip": 3_405_803_853}},
    ],
)  # fmt: skip
def test_no_whole_address_leaves(policy, fields):
    """Neither the gateway's own, nor one that the page wrote, in whatever form."""
    record, body = recorded(policy, fields, query=f"&ip={VISITOR}&client_ip={VISITOR}")
    assert VISITOR not in record.client_ip + record.query + record.body.decode()
    assert "3405803853" not in record.body.decode()
    assert {"ip": None}.items() & body["extra"].items() == set()


def test_a_hash_is_the_days_and_the_portals():
    """The same visitor is the same all day, another under another salt; the header to the collector has nothing."""
    record, body = recorded("hash", {})
    assert ("", 32) == (record.client_ip, len(body["context"]["ip"]))
    assert body["context"]["ip"] == recorded("hash", {}, peer=f"::ffff:{VISITOR}")[1]["context"]["ip"]
    other = recorded("hash", {}, world=World(salt=lambda _: b"t" * 32))[1]["context"]["ip"]
    assert body["context"]["ip"] != other
    policies = AddressPolicies(World(salt=lambda _: SALT))
    assert policies.in_event("hash", VISITOR, "1", 0) != policies.in_event("hash", VISITOR, "2", 0)


def test_without_a_salt_nothing_is_hashed():
    """A hash that anybody could repeat would be the address itself."""
    record, body = recorded("hash", {"context": {"ip": VISITOR}}, world=World())
    assert ("", False) == (record.client_ip, "ip" in body["context"])


def test_a_property_may_say_otherwise():
    """`client_address` of `[[properties]]` wins over `[network]`."""
    assert "203.0.113.0" == recorded("drop", {}, own="truncate")[0].client_ip
    assert VISITOR == recorded("drop", {}, own="full")[0].client_ip


def test_the_place_is_told_before_the_address_goes():
    """By the true address, not by what the page writes."""
    asked = []
    world = World(locate=lambda address: asked.append(address) or HANOI)
    _, body = recorded("drop", {"context": {"ip": "8.8.8.8"}}, world=world)
    assert ([VISITOR], "VN", False) == (asked, body["context"]["geo"]["country"], "ip" in body["context"])


def test_a_page_that_knows_better_is_believed():
    """Its own `context.geo` stays as it is."""
    world = World(locate=lambda _: HANOI)
    assert {"country": "SG"} == recorded("full", {"context": {"geo": {"country": "SG"}}}, world=world)[1][
        "context"
    ]["geo"]


def test_a_servers_customer_is_where_the_server_says():
    """Never where the server is; its customer's address is under the policy too."""
    asked = []
    world = World(locate=lambda address: asked.append(address) or HANOI)
    _, body = recorded("truncate", {"context": {"ip": "198.51.100.9"}}, query="&is_s2s=true", world=world)
    assert (["198.51.100.9"], "198.51.100.0") == (asked, body["context"]["ip"])
    recorded("full", {}, query="&is_s2s=true", world=world)
    assert "" == asked[-1]


def test_who_is_anonymous_keeps_the_country_alone():
    """Of the place that the gateway tells; the next visitor from there has all of it."""
    settings = Settings(
        properties=[{"portal_id": PORTAL_ID, "prop_id": PROP_ID, "site": "shop.example"}],
        consent={"mode": "anonymise"},
    )
    pipeline = Pipeline(settings, World(locate=lambda _: HANOI))
    head = Head(method="POST", path="/event", query=f"portal_id={PORTAL_ID}&prop_id={PROP_ID}", peer=VISITOR)
    prepared = pipeline.prepare(Request(head, b'{"ec":"pageview","ea":"view"}'), STAMP)
    record = pipeline.decide(prepared, [UNBOUND for _ in prepared.claims]).verdicts[0].record
    assert ("", {"country": "VN"}) == (record.client_ip, orjson.loads(record.body)["context"]["geo"])
    assert VISITOR not in record.body.decode()
    assert "Hà Nội" == HANOI.block["city"]


@pytest.mark.parametrize("policy", ["full", "truncate"])
def test_who_is_not_trusted_is_not_believed(policy):
    """A visitor's own header says nothing; a trusted proxy's does, from the right."""
    told = f"1.2.3.4, {VISITOR}"
    assert recorded(policy, {}, address_header="1.2.3.4")[0].client_ip[:9] == VISITOR[:9]
    assert recorded(policy, {}, peer="127.0.0.1", address_header=told)[0].client_ip[:9] == VISITOR[:9]
