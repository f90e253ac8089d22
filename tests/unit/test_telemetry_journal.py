"""One line and one count for everything that happens: which fields a line has, and at which level."""

from __future__ import annotations

import hashlib

import orjson
import pytest

from gateway.events.model import Binding, Record
from gateway.events.packing import pack
from gateway.settings import Logging
from gateway.telemetry.journal import Journal
from gateway.telemetry.logging import open_log
from gateway.telemetry.metrics import Metrics
from tests.builders import PORTAL_ID, PROP_ID, QUERY, STAMP, event, post, shop_pipeline
from tests.unit.ingest_fakes import text_stream

CID = hashlib.md5(b"lan@example.com").hexdigest()
OTHER = hashlib.md5(b"minh@example.com").hexdigest()
RECORD = Record("01990b2c-7d5e-7a31-8000-0123456789ab", PORTAL_ID, PROP_ID, "123456789", 1, "", b"{}")
SIGN_IN = {"dims": {"customers": {"email": "Lan@example.com"}}}


class Desk:
    """A journal, and what it wrote."""

    def __init__(self):
        self.metrics = Metrics()
        self._stream = text_stream()
        self._log = open_log(Logging(format="json"), self._stream)
        self.journal = Journal(self._log, self.metrics)

    def decide(self, request, bound=None, *, is_new=False):
        """Play a request through the pipeline, and say its fate."""
        pipeline = shop_pipeline()
        prepared = pipeline.prepare(request, STAMP)
        answers = [
            Binding(bound) if bound else Binding(claim.cid, is_new and claim.cid is not None)
            for claim in prepared.claims
        ]
        self.journal.decided(prepared, pipeline.decide(prepared, answers), 1.23456)

    def lines(self):
        """Close the log, and give its lines."""
        self._log.close()
        return [orjson.loads(line) for line in self._stream.buffer.getvalue().splitlines()]

    def value(self, name, **labels):
        """Give the value of a series."""
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def desk():
    opened = Desk()
    yield opened
    opened.lines()


def test_an_accepted_event_is_an_info_that_says_what_it_was_and_of_whom(desk):
    """Moment, level and event first; ids to look it up by; no reason beyond ok, no field."""
    desk.decide(post(event(), query=f"{QUERY}&request_id=r-1"))
    (line,) = desk.lines()
    expected = ["timestamp", "level", "event", "outcome", "reason", "portal_id", "prop_id", "duration_ms"]
    expected += ["event_id", "request_id", "uid", "uid_source", "category", "action"]
    assert expected == list(line)
    assert {
        "level": "info", "event": "event", "outcome": "accepted", "reason": "ok", "portal_id": PORTAL_ID,
        "prop_id": PROP_ID, "duration_ms": 1.235, "request_id": "r-1", "uid": "1234567890123",
        "uid_source": "event", "category": "pageview", "action": "view", "event_id": STAMP.event_id(0),
    }.items() <= line.items()  # fmt: skip
    assert 1 == desk.value("tracking_gateway_events_total", outcome="accepted", reason="ok")


@pytest.mark.parametrize(
    ("fields", "bound", "expected"),
    [
        (SIGN_IN, None, (CID, "derived")),
        ({"cid": CID}, None, (CID, "event")),
        ({}, CID, (CID, "ledger")),
        ({}, None, (None, None)),
    ],
)
def test_a_line_says_where_its_customer_id_came_from(desk, fields, bound, expected):
    """Derived from an address, named by the event, known to the ledger, or nowhere."""
    desk.decide(post(event(**fields)), bound)
    (line,) = desk.lines()
    assert expected == (line.get("cid"), line.get("cid_source"))


def test_a_new_binding_is_said_and_counted_once(desk):
    """It is the one moment in which a customer id comes to be."""
    desk.decide(post(event(**SIGN_IN)), is_new=True)
    desk.decide(post(event(**SIGN_IN)), CID)
    first, second = desk.lines()
    assert (True, None) == (first.get("bound"), second.get("bound"))
    assert 1 == desk.value("tracking_gateway_bindings_total")


def test_a_conflict_is_a_warning_that_names_both_customers(desk):
    """Who was claimed, who is bound, and why it waits."""
    desk.decide(post(event(**SIGN_IN)), OTHER)
    (line,) = desk.lines()
    assert ("warning", "quarantined", "cid_conflict", CID, OTHER) == tuple(
        line[key] for key in ("level", "outcome", "reason", "cid", "bound_cid")
    )
    assert "never changes" in line["detail"]


def test_a_malformed_event_is_a_warning_that_names_the_field_and_no_value(desk):
    """It has no id: it never became an event."""
    desk.decide(post({"uid": "1", "ec": 5, "ea": "canary@example.com"}))
    (line,) = desk.lines()
    assert ("warning", "malformed", "bad_field", "ec") == tuple(
        line[key] for key in ("level", "outcome", "reason", "field")
    )
    assert "event_id" not in line
    assert "canary" not in str(line)


def test_a_repaired_customer_id_and_a_placeholder_are_said(desk):
    """The sign of a site that hashes wrongly, or sends what it has not."""
    wrong = hashlib.md5(b" Lan@example.com").hexdigest()
    customer = {"email": " Lan@example.com", "customer_id": wrong}
    desk.decide(post(event(dims={"customers": customer}, extra={"customer_id": "undefined"})))
    (line,) = desk.lines()
    assert ({"wrong": wrong, "right": CID}, ["extra.customer_id"]) == (
        line["cid_repaired"],
        line["cid_placeholders"],
    )


def test_a_page_that_cannot_read_its_answer_is_named(desk):
    """Its origin is missing in the settings, and it will send everything again."""
    desk.decide(post(event(), origin="https://elsewhere.example"))
    desk.decide(post(event()))
    first, second = desk.lines()
    assert (False, None) == (first.get("origin_allowed"), second.get("origin_allowed"))


def test_texts_that_a_client_chose_go_through_the_redactor(desk):
    """Category, action, property and request id may be anything, an address too."""
    desk.decide(
        post(
            event("canary@example.com", "0912 345 678", uid="1"),
            query=f"{QUERY}&request_id=canary@example.com",
        )
    )
    desk.decide(post(event(), query="portal_id=canary@example.com&prop_id=0912345678"))
    accepted, dropped = desk.lines()
    assert ("[email]", "[phone]") == (accepted["category"], accepted["action"])
    assert ("[email]", "[phone]") == (dropped["portal_id"], dropped["prop_id"])
    assert "canary" not in f"{accepted}{dropped}"


def test_each_event_of_an_array_has_a_line_and_a_count(desk):
    """Two kept and one refused are three."""
    desk.decide(post([event(), 5, event()]))
    assert ["ok", "bad_field", "ok"] == [line["reason"] for line in desk.lines()]
    assert 2 == desk.value("tracking_gateway_events_total", outcome="accepted", reason="ok")
    assert 1 == desk.value("tracking_gateway_events_total", outcome="malformed", reason="bad_field")


def test_each_result_of_a_delivery_has_its_level_and_its_count(desk):
    """Delivered and erased inform, a retry warns, what is given up is an error; a cause is redacted."""
    desk.journal.delivered(RECORD, 2, 3.21987)
    desk.journal.retrying(RECORD, 1, "status 503, canary@example.com", 0.54321)
    desk.journal.undeliverable(RECORD, 1, "status 400")
    desk.journal.expired(RECORD, 9)
    desk.journal.erased(RECORD, 3)
    found = desk.lines()
    assert [
        ("info", "delivered"),
        ("warning", "retry"),
        ("error", "undeliverable"),
        ("error", "expired"),
        ("info", "erased"),
    ] == [(line["level"], line["result"]) for line in found]
    for line in found:
        assert ["timestamp", "level", "event", "result", "event_id", "portal_id", "uid", "attempts"] == list(
            line
        )[:8]
        assert (RECORD.event_id, RECORD.uid) == (line["event_id"], line["uid"])
        assert 1 == desk.value("tracking_gateway_deliveries_total", result=line["result"])
    assert ("status 503, [email]", 0.543) == (found[1]["cause"], found[1]["delay_seconds"])


def test_each_dropped_event_has_a_line_and_a_count(desk):
    """What a full spool let go of is named, also a payload that is no record; an error, since it is lost."""
    desk.journal.dropped_oldest([pack(RECORD, 1 << 40), b"no record"])
    first, second = desk.lines()
    assert ("error", "dropped_oldest", RECORD.event_id, RECORD.uid) == (
        first["level"],
        first["result"],
        first["event_id"],
        first["uid"],
    )
    assert "unreadable" == second["event_id"]
    assert 2 == desk.value("tracking_gateway_deliveries_total", result="dropped_oldest")


def test_the_collectors_state_is_a_line_and_a_gauge(desk):
    """1 from the start; 0 while it is left alone, which warns."""
    assert 1 == desk.value("tracking_gateway_collector_up")
    desk.journal.state("open", "5 failures in a row")
    assert 0 == desk.value("tracking_gateway_collector_up")
    desk.journal.state("half_open", "")
    desk.journal.state("closed", "")
    assert 1 == desk.value("tracking_gateway_collector_up")
    assert [("warning", "open"), ("info", "half_open"), ("info", "closed")] == [
        (line["level"], line["state"]) for line in desk.lines()
    ]


def test_a_change_informs_and_trouble_is_an_error(desk):
    """Of the gateway itself."""
    desk.journal.changed("started", listen="http://127.0.0.1:1")
    desk.journal.trouble("not_kept", events=["1"])
    assert [("info", "started"), ("error", "not_kept")] == [
        (line["level"], line["event"]) for line in desk.lines()
    ]
