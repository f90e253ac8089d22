"""What holds for every signed cookie, every URL and every run of visits."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.events import sessions, touches
from gateway.events.campaign import Campaigns, Landing
from gateway.events.channels import CHANNELS
from gateway.events.keyring import Keyring
from gateway.events.model import Head
from gateway.events.occasion import Occasion
from gateway.events.referrers import KINDS, Referrers
from gateway.events.sessions import Session, Sessions
from gateway.events.signed_texts import LONGEST, SignedTexts
from gateway.settings_visits import Campaign
from gateway.settings_visits import Session as Policy

RING = Keyring(["2026b:a newer secret of the shop", "2026a:an older secret of the shop"])
TEXTS = SignedTexts(RING, b"test", lambda text: text)
SESSIONS = Sessions(Policy(), RING)
CAMPAIGNS = Campaigns(Campaign())
REFERRERS = Referrers({})
uids = st.text("0123456789abcdef", min_size=1, max_size=64)
texts = st.text(min_size=1, max_size=200)


@given(texts.filter(str.strip), uids, uids)
def test_what_was_signed_is_read_by_its_owner_alone(text, uid, other):
    """Under every UID, for every text."""
    signed = TEXTS.sign(text, "shop.example", uid)
    assert text.encode("utf-8", "replace").decode() == TEXTS.read(signed, "shop.example", uid)
    assert TEXTS.read(signed, "other.example", uid) is None
    assert uid == other or TEXTS.read(signed, "shop.example", other) is None


@given(
    st.text(max_size=300) | st.from_regex(r"1\.2026b\.[A-Za-z0-9_-]{1,80}\.[A-Za-z0-9_-]{22}", fullmatch=True)
)
def test_nothing_else_is_ever_read(text):
    """Whatever stands in the cookie."""
    assert TEXTS.read(text, "shop.example", "1") is None


@given(st.lists(st.integers(0, 4_000), min_size=1, max_size=30))
def test_a_session_ends_by_inactivity_alone(pauses):
    """Never within thirty minutes of an event, always after thirty-one, and its number counts."""
    now, last, number = 1_790_000_000, None, 0
    for pause in pauses:
        now += pause
        session = SESSIONS.next(last, now, "shop.example", "1", "", "", None)
        if last is None or pause >= 31 * 60:
            number += 1
        if last is not None:
            assert pause > 30 * 60 or session.id == last.id
            assert pause < 31 * 60 or session.id != last.id
            number = session.number if 30 * 60 < pause < 31 * 60 else number
        assert number == session.number
        assert session == sessions.parse(sessions.written(session))
        last = session


@given(
    st.integers(1, 10**10),
    st.integers(1, 10**10),
    st.integers(1, 10**6),
    st.text("0123456789abcdef", max_size=8),
    st.text(max_size=300),
)
def test_a_session_is_read_as_it_was_written(began, written, number, campaign, page):
    """Whatever its first page is called."""
    session = Session("1", began, written, number, campaign, page)
    assert session == sessions.parse(sessions.written(session))


@given(st.text(max_size=400), st.text(max_size=200) | st.just("\0"))
def test_every_page_and_referrer_has_a_landing(page, referrer):
    """Nothing breaks it, and what it says is of closed sets and bounded."""
    landing = CAMPAIGNS.landing(
        {"navigation": {"url": page}, "referrer": referrer}, Occasion(Head(method="POST", path="/"))
    )
    if landing.touch is not None:
        assert landing.source["channel"] in CHANNELS
    if landing.source is not None and "type" in landing.source:
        assert landing.source["type"] in KINDS
    assert all(
        len(each) <= 512 for each in (*landing.campaign.values(), *landing.click_ids.values(), landing.page)
    )


@given(
    st.lists(
        st.fixed_dictionaries(
            {"channel": st.sampled_from(CHANNELS)},
            optional={
                name: st.text(max_size=512)
                for name in ("source", "medium", "name", "term", "content", "landing_page")
            },
        ),
        min_size=1,
        max_size=8,
    )
)
def test_a_touch_is_bounded_the_first_stays_and_direct_never_takes_the_last_ones_place(landings):
    """Whatever came, in whatever order; and their cookie always fits."""
    known = None
    for said in landings:
        before = known
        known = touches.touched(known, Landing(touch=said), "2026-11-30T12:00:00.000Z")
        assert all(len(orjson.dumps(each)) <= 900 for each in (known.first, known.last))
        if before is not None:
            assert known.first == before.first
            assert said["channel"] != "direct" or known is before
        else:
            assert known.first["channel"] == said["channel"]
    signed = TEXTS.sign(touches.written(known), "shop.example", "1" * 64)
    assert 0 < len(signed) <= LONGEST
