"""The doctor's looks at a real DNS server and a real HTTPS server: what they see, and that they end."""

from __future__ import annotations

import socket
from ipaddress import ip_address
from time import monotonic

import pytest

from gateway.doctor.fetch import fetch_script, trust
from gateway.doctor.lookup import look_up, read_resolver
from gateway.doctor.model import Fault
from gateway.doctor.names import Place
from tests.integration.doctor_world import Shop, Zone, make_certificate, running_dns, running_https

NAME = "track.shop.example"
HERE = (ip_address("127.0.0.1"),)


@pytest.fixture
def zone():
    return Zone()


@pytest.fixture
def ask(zone):
    """Look a name up in the zone."""
    with running_dns(zone) as resolver:
        yield lambda name=NAME, timeout=5.0: look_up([name], read_resolver(resolver), timeout)[0]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return make_certificate(tmp_path_factory.mktemp("ca"), NAME)


@pytest.mark.parametrize("is_full_resolver", [True, False])
def test_the_whole_chain_and_every_address_are_seen(zone, ask, is_full_resolver):
    """CNAMEs in order and both kinds of address, also from a server that stops at each CNAME."""
    zone.is_full_resolver = is_full_resolver
    zone.add(NAME, cname="t.vendor.example")
    zone.add("t.vendor.example", cname="edge.vendor.example")
    zone.add("edge.vendor.example", "203.0.113.1", "203.0.113.2", "2001:db8::1")
    seen = ask()
    assert seen.chain == ("t.vendor.example", "edge.vendor.example")
    assert [str(each) for each in seen.addresses] == ["203.0.113.1", "203.0.113.2", "2001:db8::1"]
    assert (seen.fault, seen.changes, seen.unanswered) == (None, False, ())


def test_a_name_without_ipv6_is_not_ill(zone, ask):
    """No AAAA is an answer, not a fault."""
    zone.add(NAME, "203.0.113.1")
    assert ask() == ask()._replace(fault=None, unanswered=())
    assert [str(each) for each in ask().addresses] == ["203.0.113.1"]


def test_an_answer_too_long_for_udp_is_asked_for_over_tcp(zone, ask):
    """A truncated answer is no answer."""
    zone.add(NAME, *(f"203.0.113.{number}" for number in range(1, 60)))
    zone.only_over_tcp.add(NAME)
    assert len(ask().addresses) == 59
    assert (NAME, "A", "tcp") in zone.asked


def test_a_missing_name_is_told_from_one_without_addresses(zone, ask):
    """NXDOMAIN and an empty answer are two faults, and a dangling CNAME keeps its chain."""
    zone.add("mail.shop.example", "203.0.113.1")
    zone.add(NAME, cname="gone.vendor.example")
    zone.addresses["empty.shop.example", "TXT"] = ["-"]
    assert ask("none.shop.example").fault is Fault.NO_SUCH_NAME
    assert ask("empty.shop.example").fault is Fault.NO_ADDRESS
    dangling = ask()
    assert (dangling.fault, dangling.chain) == (Fault.NO_SUCH_NAME, ("gone.vendor.example",))


@pytest.mark.parametrize("is_full_resolver", [True, False])
def test_a_circle_of_cnames_ends(zone, ask, is_full_resolver):
    """A chain that leads round is a fault, not a hang."""
    zone.is_full_resolver = is_full_resolver
    zone.add(NAME, cname="b.shop.example")
    zone.add("b.shop.example", cname=NAME)
    seen = ask()
    assert (seen.fault, seen.addresses, seen.unanswered) == (Fault.LOOP, (), ())
    assert len(zone.asked) <= 4


def test_a_silent_server_costs_one_time_out(zone, ask):
    """Both kinds of record are asked for at once, and not again after a silence."""
    zone.silent |= {(NAME, "A"), (NAME, "AAAA")}
    began = monotonic()
    seen = ask(timeout=0.4)
    assert monotonic() - began < 2
    assert sorted(kind for _, kind, _ in zone.asked) == ["A", "AAAA"]
    assert (seen.fault, seen.unanswered, seen.detail) == (
        Fault.TIMEOUT, ("A", "AAAA"), "no answer within 0.4 s",
    )  # fmt: skip


def test_half_an_answer_is_kept_and_said_to_be_half(zone, ask):
    """Where only AAAA stays silent, the IPv4 addresses count."""
    zone.add(NAME, "203.0.113.1")
    zone.silent.add((NAME, "AAAA"))
    seen = ask(timeout=0.3)
    assert (seen.addresses, seen.unanswered) == ((ip_address("203.0.113.1"),), ("AAAA",))


def test_a_refusal_is_told_in_the_servers_words(zone, ask):
    """SERVFAIL is no answer about the name."""
    zone.broken.add(NAME)
    seen = ask()
    assert (seen.fault, seen.unanswered) == (Fault.REFUSED, ("A", "AAAA"))
    assert "SERVFAIL" in seen.detail


def test_addresses_that_change_are_noticed(zone, ask):
    """Each name is asked three times, and the looks are kept apart."""
    zone.rotate(NAME, ["203.0.113.1"], ["198.51.100.1"])
    seen = ask()
    assert seen.changes
    assert len(seen.looks) == 3
    assert len(seen.addresses) == 2


def fetch(port, context, *, path="", addresses=HERE, timeout=5.0, host=NAME):
    return fetch_script(Place("https", host, port, path), addresses, context, timeout)


def test_the_script_is_asked_for_at_the_address_under_the_name(certificate):
    """The certificate is checked against the name, the `Host` header has it with its port, and the path is kept."""
    shop = Shop()
    with running_https(shop, certificate) as port:
        answer = fetch(port, trust(str(certificate.cert)), path="/t")
    assert (answer.fault, answer.status, answer.content_type) == (None, 200, shop.content_type)
    assert answer.url == f"https://{NAME}:{port}/t/insight.js"
    assert shop.seen == [(f"{NAME}:{port}", "/t/insight.js")]


def test_a_redirect_is_not_followed(certificate):
    """The answer is told as it is."""
    shop = Shop()
    shop.status = 302
    with running_https(shop, certificate) as port:
        assert fetch(port, trust(str(certificate.cert))).status == 302
    assert len(shop.seen) == 1


def test_what_a_server_says_can_do_nothing_to_a_terminal(certificate):
    """Control characters of a strange server are left out."""
    shop = Shop()
    shop.content_type = "text/\x1b[2Jhtml"
    with running_https(shop, certificate) as port:
        assert fetch(port, trust(str(certificate.cert))).content_type == "text/[2Jhtml"


@pytest.mark.parametrize(
    ("host", "is_trusted", "told"), [(NAME, False, "self-signed"), ("other.shop.example", True, "Hostname mismatch")]
)  # fmt: skip
def test_a_wrong_certificate_is_refused(certificate, host, is_trusted, told):
    """An unknown authority and another name's certificate are told apart."""
    with running_https(Shop(), certificate) as port:
        answer = fetch(port, trust(str(certificate.cert) if is_trusted else ""), host=host)
    assert answer.fault is Fault.CERTIFICATE
    assert told in answer.detail


def test_an_address_that_refuses_is_passed_over_for_one_that_answers(certificate):
    """A browser tries the next address, so the answer counts."""
    addresses = (ip_address("127.9.9.9"), *HERE)
    with running_https(Shop(), certificate) as port:
        assert fetch(port, trust(str(certificate.cert)), addresses=addresses).status == 200


def test_one_address_with_a_wrong_certificate_is_found_beside_a_good_one(certificate, tmp_path):
    """Some visitors would meet it, so it counts, whichever address comes first."""
    other = make_certificate(tmp_path, "other.shop.example")
    context = trust(str(certificate.cert))
    context.load_verify_locations(other.cert)
    with (
        running_https(Shop(), certificate) as port,
        running_https(Shop(), other, address="127.0.0.2", port=port),
    ):
        pair = (*HERE, ip_address("127.0.0.2"))
        answers = [fetch(port, context, addresses=each) for each in (pair, pair[::-1])]
    assert [(each.fault, each.address) for each in answers] == [(Fault.CERTIFICATE, "127.0.0.2")] * 2


def test_a_closed_port_is_refused():
    """Nobody listens there."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert fetch(port, trust()).fault is Fault.REFUSED


def test_a_server_without_tls_is_told(certificate):
    """Plain HTTP on the port is a fault of TLS."""
    with running_https(Shop(), None) as port:
        assert fetch(port, trust(str(certificate.cert))).fault is Fault.TLS


def test_a_silent_server_ends_with_a_time_out():
    """A port that takes the connection and says nothing costs one time-out."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        answer = fetch(silent.getsockname()[1], trust(), timeout=0.3)
    assert (answer.fault, answer.detail) == (Fault.TIMEOUT, "nothing within 0.3 s")
