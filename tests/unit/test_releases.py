"""What becomes of a held event that a person wants out: each reason under each way, decided by the pure core."""

from __future__ import annotations

import functools
import hashlib

import msgspec
import orjson
import pytest

from gateway.events.model import UNBOUND, Binding, QuarantineEntry, Record, Stamp
from gateway.events.outcome import Reason
from gateway.events.pipeline import Pipeline
from gateway.events.releases import Goes, Petition, Stays, Way
from gateway.events.remedies import REMEDIES, UNKNOWN, kept_reasons, remedy
from tests.builders import PORTAL_ID, PROP_ID, STAMP, bindings, event, make_settings, post

LAN, BINH = "lan@example.com", "binh@example.com"
CID_OF = {each: hashlib.md5(each.encode()).hexdigest() for each in (LAN, BINH)}
UID = "1234567890123"
LATER = Stamp(now_ms=STAMP.now_ms + 86_400_000, entropy=7)


def sign_in(email=BINH, uid=UID, **fields):
    return event("user", "sign_in", uid=uid, dims={"customers": {"email": email}}, **fields)


@functools.cache
def pipeline_of(**identity) -> Pipeline:
    return Pipeline(make_settings(identity=identity))


def held(sent, bound=CID_OF[LAN], query_more="", pipeline=None) -> QuarantineEntry:
    """Give what the pipeline holds of an event whose UID is bound."""
    pipeline = pipeline or pipeline_of()
    request = post(sent)
    head = msgspec.structs.replace(request.head, query=request.head.query + query_more)
    prepared = pipeline.prepare(msgspec.structs.replace(request, head=head), STAMP)
    [verdict] = pipeline.decide(prepared, bindings(prepared, bound)).verdicts
    assert verdict.entry is not None, verdict.rejection
    return verdict.entry


def dead_letter(reason=Reason.REFUSED_BY_COLLECTOR, fields=None, **record) -> QuarantineEntry:
    """Give what the forwarder buries of an event that was accepted."""
    pipeline = pipeline_of()
    prepared = pipeline.prepare(post(fields or sign_in()), STAMP)
    [verdict] = pipeline.decide(prepared, bindings(prepared, None)).verdicts
    kept = msgspec.structs.replace(verdict.record, **record)
    return QuarantineEntry(
        event_id=kept.event_id, portal_id=kept.portal_id, prop_id=kept.prop_id, uid=kept.uid,
        reason=reason, detail="status 400", held_ms=STAMP.now_ms, record=kept,
    )  # fmt: skip


def release(entry, way=Way.POLICY, ledger=None, **identity):
    """Ask for a release as the gateway does; `ledger` has the CID, or an answer, of each UID that it knows."""
    releases = pipeline_of(**identity).releases
    ledger = {} if ledger is None else ledger

    def bound(claim):
        assert claim.portal_id == PORTAL_ID
        known = ledger.get(claim.uid)
        if isinstance(known, Binding):
            return known
        if known is None and claim.cid is not None:
            ledger[claim.uid] = claim.cid
            return Binding(claim.cid, is_new=True)
        return Binding(known)

    petition = releases.ask(entry, way, LATER)
    if isinstance(petition, Stays):
        return petition
    binding = bound(petition.claim)
    while releases.resolve(petition, binding):
        binding = bound(petition.claim)
    return releases.decide(petition, binding)


def fields_of(verdict):
    assert isinstance(verdict, Goes), verdict
    return orjson.loads(verdict.record.body)


def test_a_conflict_stays_one_when_it_is_asked_again_as_it_is():
    """Nothing is bound, and the sentence names the reason."""
    ledger = {UID: CID_OF[LAN]}
    verdict = release(held(sign_in()), ledger=ledger)
    assert isinstance(verdict, Stays)
    assert Reason.CID_CONFLICT == verdict.reason
    assert {UID: CID_OF[LAN]} == ledger


def test_a_new_uid_lets_the_second_person_out_as_herself():
    """Under the UID that the policy would have given, bound to her; the first person's session and UID stay behind."""
    ledger = {UID: CID_OF[LAN]}
    verdict = release(held(sign_in(sid="1234567890")), Way.NEW_UID, ledger)
    fields = fields_of(verdict)
    assert verdict.record.uid == fields["uid"] == fields["aid"] != UID
    assert {UID: CID_OF[LAN], fields["uid"]: CID_OF[BINH]} == ledger
    assert CID_OF[BINH] == fields["cid"] == fields["dims"]["customers"]["customer_id"]
    assert "sid" not in fields
    note = verdict.note
    assert ("release", UID, CID_OF[LAN], CID_OF[BINH]) == (note.kind, note.uid, note.cid, note.other)
    assert f"new_uid {fields['uid']}" == note.note


def test_a_second_release_of_her_comes_to_the_same_uid():
    """As a page that sends its event again does: no third profile."""
    entry, ledger = held(sign_in()), {UID: CID_OF[LAN]}
    uids = {release(entry, Way.NEW_UID, ledger).record.uid for _ in range(2)}
    assert 1 == len(uids)
    assert 2 == len(ledger)


@pytest.mark.parametrize("bound", [CID_OF[LAN], None])
def test_as_nobodys_it_names_nobody(bound):
    """No UID, CID, address, session, request id or parameter of the client's; nothing is bound; what happened is left."""
    entry = held(
        sign_in(sid="1234567890", items=[{"id": "p1"}]), query_more="&request_id=r-1&ref=r&is_s2s=true"
    )
    ledger = {UID: bound} if bound else {}
    verdict = release(entry, Way.STRIP, ledger)
    fields = fields_of(verdict)
    assert "" == verdict.record.uid
    text = verdict.record.body.decode() + verdict.record.query
    for trace in (UID, CID_OF[LAN], CID_OF[BINH], "1234567890", "r-1", "ref=r", "email"):
        assert trace not in text
    assert [{"id": "p1"}] == fields["items"]
    assert f"request_id={entry.event_id}&is_s2s=true" in verdict.record.query
    assert ledger == ({UID: bound} if bound else {})


def test_the_policies_of_now_decide_a_plain_release():
    """Who changes `on_conflict` after the fact may release what was held before."""
    entry = held(sign_in())
    assert "" == release(entry, ledger={UID: CID_OF[LAN]}, on_conflict="strip").record.uid
    ledger = {UID: CID_OF[LAN]}
    assert CID_OF[BINH] == ledger[release(entry, ledger=ledger, on_conflict="new_uid").record.uid]


@pytest.mark.parametrize("way", [Way.POLICY, Way.ACCEPT_ALIAS])
def test_a_ledger_that_has_forgotten_the_uid_binds_it_to_nobody_else(way):
    """The event was held because its UID was somebody's, so it is not taken for free, whatever file the ledger is now."""
    ledger: dict[str, str] = {}
    verdict = release(held(sign_in()), way, ledger)
    assert isinstance(verdict, Stays)
    assert Reason.CID_CONFLICT == verdict.reason
    assert {} == ledger


@pytest.mark.parametrize("way", list(Way))
def test_nothing_of_an_erased_uid_goes_out(way):
    """Whatever the reason that it is there for, and in no way at all."""
    erased = {UID: Binding(is_erased=True)}
    for entry in (
        held(sign_in()),
        dead_letter(),
        msgspec.structs.replace(dead_letter(), reason="uid_erased"),
    ):
        verdict = release(entry, way, dict(erased))
        assert isinstance(verdict, Stays)
        assert Reason.UID_ERASED == verdict.reason


def test_an_event_that_was_held_for_an_erased_uid_never_goes_out():
    """Also when the ledger has lost the tombstone."""
    entry = msgspec.structs.replace(dead_letter(), reason="uid_erased")
    assert Reason.UID_ERASED == release(entry).reason


def test_a_new_uid_that_was_erased_lets_nothing_out():
    """The second person asked to be forgotten: her event goes out under no further UID."""
    entry, ledger = held(sign_in()), {UID: CID_OF[LAN]}
    hers = release(entry, Way.NEW_UID, ledger).record.uid
    verdict = release(entry, Way.NEW_UID, {UID: CID_OF[LAN], hers: Binding(is_erased=True)})
    assert Reason.UID_ERASED == verdict.reason


@pytest.mark.parametrize("way", [Way.POLICY, Way.NEW_UID, Way.ACCEPT_ALIAS])
def test_a_contradiction_is_never_guessed(way):
    """It stays under every way but one: as nobody's."""
    fields = event("user", "sign_in", uid=UID, cid="c-1", extra={"customer_id": "c-2"})
    entry = held(fields, bound=None)
    assert Reason.CID_CONTRADICTION == release(entry, way).reason
    verdict = release(entry, Way.STRIP)
    assert "" == verdict.record.uid
    assert b"c-1" not in verdict.record.body
    assert b"c-2" not in verdict.record.body


def alias_entry():
    kept = dead_letter()
    return msgspec.structs.replace(kept, reason="identity_alias", claimed_cid=CID_OF[BINH])


def test_an_alias_goes_when_somebody_accepts_it():
    """Then, and only then, the UID is bound to the customer that it names."""
    ledger: dict[str, str] = {}
    for way in (Way.POLICY, Way.NEW_UID):
        assert Reason.IDENTITY_ALIAS == release(alias_entry(), way, ledger, on_alias="quarantine").reason
    assert {} == ledger
    verdict = release(alias_entry(), Way.ACCEPT_ALIAS, ledger, on_alias="quarantine")
    assert UID == verdict.record.uid
    assert {UID: CID_OF[BINH]} == ledger
    assert "accept_alias (identity_alias)" == verdict.note.note


def test_accepting_an_alias_overrules_no_conflict():
    """The UID was bound to somebody else meanwhile."""
    ledger = {UID: CID_OF[LAN]}
    verdict = release(alias_entry(), Way.ACCEPT_ALIAS, ledger, on_alias="quarantine")
    assert Reason.CID_CONFLICT == verdict.reason
    assert {UID: CID_OF[LAN]} == ledger


@pytest.mark.parametrize("reason", [Reason.REFUSED_BY_COLLECTOR, Reason.TOO_OLD])
def test_a_dead_letter_goes_out_with_the_same_bytes_and_all_its_time_ahead(reason):
    """Only the moment from which its age counts is another."""
    entry = dead_letter(reason)
    verdict = release(entry, ledger={UID: CID_OF[BINH]})
    assert isinstance(verdict, Goes)
    assert msgspec.structs.replace(entry.record, accepted_ms=LATER.now_ms) == verdict.record


@pytest.mark.parametrize("way", [Way.POLICY, Way.NEW_UID, Way.STRIP])
def test_no_cookie_of_the_visitor_goes_along(way):
    """Nobody waits for the collector's answer any more, and under another UID it would be another person's."""
    assert "" == release(dead_letter(cookie="_asm_uid=1"), way).record.cookie


def test_a_dead_letter_of_a_uid_that_is_another_customers_is_held_as_a_conflict():
    """A ledger that was restored from elsewhere wins over what the event says."""
    verdict = release(dead_letter(), ledger={UID: CID_OF[LAN]})
    assert Reason.CID_CONFLICT == verdict.reason


def test_an_anonymous_dead_letter_gets_the_customer_that_its_uid_has_by_now():
    """As an event that comes in now would."""
    verdict = release(dead_letter(fields=event(uid=UID)), ledger={UID: CID_OF[BINH]})
    assert CID_OF[BINH] == fields_of(verdict)["cid"]


def test_what_went_out_as_nobodys_goes_out_as_nobodys_again():
    """It has no UID, is given none, and nobody is asked whose it is."""
    ledger = {UID: CID_OF[LAN]}
    stripped = release(held(sign_in()), Way.STRIP, ledger).record
    entry = msgspec.structs.replace(dead_letter(), record=stripped, uid="")
    verdict = release(entry)
    assert (stripped.body, "") == (verdict.record.body, verdict.record.uid)


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (dead_letter(Reason.UNREADABLE), Reason.UNREADABLE),
        (dead_letter(body=b"\xff\x00"), Reason.UNREADABLE),
        (dead_letter(body=b"[1]"), Reason.UNREADABLE),
        (dead_letter(body=b'{"ec":"a","ea":"b","uid":"1","dims":3}'), Reason.BAD_FIELD),
        (msgspec.structs.replace(dead_letter(), prop_id="1"), Reason.UNKNOWN_PROPERTY),
        (
            msgspec.structs.replace(
                dead_letter(),
                portal_id="",
                event_id="unreadable-1",
                record=Record("", "", "", "", 0, "", b"{}"),
            ),
            Reason.UNREADABLE,
        ),
    ],
)
@pytest.mark.parametrize("way", list(Way))
def test_what_is_no_event_of_ours_stays(entry, reason, way):
    """It is said why, and nothing is raised."""
    assert reason == release(entry, way).reason


def test_a_field_that_must_not_leave_any_more_is_hashed_on_the_way_out():
    """The policy of now decides what leaves, also of what was held when it let more pass."""
    entry = held(sign_in(), pipeline=Pipeline(make_settings(identity={"fields": {"email": "pass"}})))
    assert BINH in entry.record.body.decode()
    verdict = release(entry, Way.NEW_UID, {UID: CID_OF[LAN]})
    assert BINH not in verdict.record.body.decode()
    assert hashlib.sha256(BINH.encode()).hexdigest() == fields_of(verdict)["dims"]["customers"]["email"]


def test_each_reason_for_which_an_event_is_kept_has_its_remedy():
    """No more and no less; each says in a sentence why, and what would release it."""
    assert set(kept_reasons()) == set(REMEDIES)
    for reason in kept_reasons():
        found = remedy(reason)
        assert found.why
        assert found.release
        assert found.why[0].islower()
        assert not found.why.endswith(".")
    assert UNKNOWN == remedy("of_a_newer_version")
    assert UNKNOWN != remedy(Reason.UNKNOWN_PROPERTY)


def test_a_petition_asks_the_ledger_without_addresses():
    """What is left of an address in a held event is a hash, which is not what the ledger knows it by."""
    petition = pipeline_of().releases.ask(dead_letter(), Way.POLICY, LATER)
    assert isinstance(petition, Petition)
    claim = petition.claim
    assert (PORTAL_ID, UID, CID_OF[BINH], ()) == (claim.portal_id, claim.uid, claim.cid, claim.keys)
    assert PROP_ID == petition.entry.prop_id
    assert UNBOUND == petition.known(UNBOUND)
