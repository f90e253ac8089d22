"""Every case of the corpus can be looked at by every check; of what is found about identity, nothing shows an address."""

from __future__ import annotations

from gateway.events.finding import redacted
from gateway.ledger.memory import MemoryLedger
from gateway.qa.calls import Call
from gateway.qa.checks import checks
from gateway.qa.session import Session
from gateway.settings import Settings
from gateway.web.endpoints import COLLECT_PATHS
from tests.builders import STAMP
from tests.corpus.case import messages, read_cases
from tests.corpus.core import world
from tests.qa_rules import IDENTITY_RULES
from tests.qa_sessions import session_of

# What is found in some of the cases, and all that is found in them about identity.
_FOUND = {
    "browser/sign_in": ["raw-identity-in-field"],
    "browser/sign_out": ["raw-identity-in-field"],
    "identity/conflict_waits": ["cid-changed"],
    "identity/conflict_new_uid": ["cid-changed"],
    "identity/conflict_in_an_array": ["cid-changed"],
    "identity/contradiction": ["cid-contradiction"],
    "identity/number_of_the_shop": ["cid-not-hash"],
    "identity/raw_phone_as_cid": ["cid-not-hash"],
    "identity/address_as_uid": ["raw-identity-in-field"],
    "image/address_in_a_parameter": ["raw-identity-in-url", "raw-identity-in-url"],
}


async def test_every_case_is_looked_at_and_nothing_found_shows_an_address(tmp_path):
    """As the calls of one browser to the vendor."""
    settings, found = Settings.model_validate(world()), {}
    async with session_of(tmp_path, (), settings) as opened:
        for offset, case in enumerate(read_cases()):
            opened._inner._ingest._ledger = MemoryLedger()
            session = Session(settings, opened._inner, checks(settings))
            session.calls = 1_000 * offset
            for step in case.steps:
                for message in messages(step, STAMP.now_ms):
                    path, _, query = message.target.partition("?")
                    if path in COLLECT_PATHS:
                        await session.examine(*_seen(session, message, path, query))
            session.finish()
            findings = [each for each in session.findings if each.rule in IDENTITY_RULES]
            told = [each.place + each.detail for each in findings]
            assert (case.name, told) == (case.name, [redacted(each) for each in told])
            found[case.name] = [each.rule for each in findings]
    assert {name: found[name] for name in _FOUND} == _FOUND


def _seen(session, message, path, query):
    number = session.next_number()
    call = Call(
        number=number,
        started_ms=STAMP.now_ms + 1_000 * number,
        method=message.method,
        host="a.cdp.asia",
        path=path,
        query=query,
        headers=tuple(message.fields),
        body=message.body,
        peer="127.0.0.1",
    )
    known = session.recogniser.known(call.host, path)
    assert known is not None
    return call, known
