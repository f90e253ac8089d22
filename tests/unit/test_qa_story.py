"""The timeline of identities: which UIDs a browser had, whose they became, and what went wrong on the way."""

from __future__ import annotations

from hashlib import md5

import pytest

from gateway.settings import Qa
from tests.builders import make_settings
from tests.qa_sessions import call, pageview, see, session_of, sign_in

FIRST, SECOND = "111111111111", "222222222222"


@pytest.fixture
async def session(tmp_path):
    async with session_of(tmp_path) as opened:
        yield opened


def reset(old: str, new: str) -> dict:
    extra = {"reset_uid": old, "generate_uid": new}
    return {"uid": new, "ec": "user", "ea": "reset_anonymous_id", "extra": extra}


def cid(email: str) -> str:
    return md5(email.encode(), usedforsecurity=False).hexdigest()


async def test_a_visit_is_told_from_the_first_page_to_the_reset(session):
    """A visitor appears, becomes a customer, signs out and is reset; each UID is a stay with its customer."""
    await see(session, pageview(FIRST))
    await see(session, sign_in(FIRST, "lan@example.com"))
    session.passed(call(session, host="www.shop.example", path="/logout"))
    await see(session, reset(FIRST, SECOND))
    await see(session, pageview(SECOND))
    (visitor,) = session.story.told().visitors
    assert ["appeared", "bound", "sign_out", "reset"] == [each.kind for each in visitor.steps]
    assert [(FIRST, "appeared", cid("lan@example.com")), (SECOND, "reset", "")] == [
        (each.uid, each.begins, each.cid) for each in visitor.stays
    ]
    assert [2, 2] == [each.events for each in visitor.stays]
    assert (1, "shop.example") == (visitor.number, visitor.site)
    assert (SECOND, FIRST) == (visitor.steps[3].uid, visitor.steps[3].was)


async def test_a_conflict_is_told_with_both_customers(session):
    """The one that was claimed, and the one that the UID has."""
    await see(session, sign_in(FIRST, "lan@example.com"))
    await see(session, sign_in(FIRST, "minh@example.com"))
    (visitor,) = session.story.told().visitors
    conflict = visitor.steps[-1]
    assert ("conflict", cid("minh@example.com"), cid("lan@example.com")) == (
        conflict.kind,
        conflict.cid,
        conflict.was,
    )
    assert cid("lan@example.com") == visitor.stays[0].cid


@pytest.mark.parametrize("policy", ["quarantine", "new_uid", "strip"])
async def test_every_policy_of_conflicts_tells_the_same_conflict(tmp_path, policy):
    """Whatever the gateway makes of it, the page has done the same."""
    async with session_of(tmp_path, settings=make_settings(identity={"on_conflict": policy})) as session:
        await see(session, sign_in(FIRST, "lan@example.com"))
        await see(session, sign_in(FIRST, "minh@example.com"))
        (visitor,) = session.story.told().visitors
    assert ["appeared", "bound", "conflict"] == [each.kind for each in visitor.steps]
    assert cid("lan@example.com") == visitor.steps[-1].was


async def test_two_browsers_have_two_stories(session):
    """Another program behind the same proxy is another visitor."""
    await see(session, pageview(FIRST), peer="192.0.2.1")
    await see(session, pageview(SECOND), peer="192.0.2.1", headers=(("user-agent", "Firefox/140.0"),))
    assert [FIRST, SECOND] == [each.stays[0].uid for each in session.story.told().visitors]


async def test_servers_and_links_are_only_counted(session):
    """They are nobody's browser."""
    query = "portal_id=33167&prop_id=556300706&is_s2s=true"
    await see(session, pageview("crm-1"), query=query)
    await see(session, None, query=f"{query.removesuffix('&is_s2s=true')}&ec=sms&ea=click&uid=3", page="")
    story = session.story.told()
    assert ((), 1, 1) == (story.visitors, story.servers_events, story.others_events)


async def test_a_story_holds_no_raw_identity(session):
    """Addresses in the place of ids are hashed or masked in it."""
    body = {
        "uid": "lan@example.com",
        "ec": "lan@example.com",
        "ea": "sign_in",
        "dims": {"customers": {"customer_id": "84912345678", "email": "lan@example.com"}},
    }
    await see(session, body)
    told = str(session.story.told())
    assert "lan@example.com" not in told
    assert "84912345678" not in told
    assert session.story.told().visitors


async def test_a_site_with_sign_out_paths_of_its_own(tmp_path):
    """What signs out is a setting."""
    settings = make_settings(qa=Qa(sign_out_paths=("/bye",)))
    async with session_of(tmp_path, settings=settings) as session:
        await see(session, pageview(FIRST))
        session.passed(call(session, host="www.shop.example", path="/logout"))
        session.passed(call(session, host="www.shop.example", path="/bye/"))
        (visitor,) = session.story.told().visitors
    assert [3] == [each.call for each in visitor.steps if each.kind == "sign_out"]
