"""A sign-out without a reset is found at the next event under the same UID; an `identify` too many, by the property's own day."""

from __future__ import annotations

import pytest
import pytest_asyncio

from tests.builders import ORIGIN, PORTAL_ID, PROP_ID
from tests.qa_rules import FIRST, SECOND, event, of_md5, reset, view, visit_of

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory):
    async with visit_of(tmp_path_factory.mktemp("qa")) as opened:
        yield opened


@pytest.fixture
def visit(gateway):
    return gateway.anew()


@pytest.mark.parametrize("path", ["/logout", "/logout/", "/account/logout", "/LogOut"])
async def test_a_site_that_signs_out_and_goes_on_under_the_same_uid(visit, path):
    """The call that signed out is named."""
    await visit.see(event("user", "sign_in", FIRST, cid=of_md5("a")))
    visit.passed(path, method="POST")
    await visit.see(view(FIRST))
    await visit.see(view(FIRST))
    assert [("reset-missing", 3, "uid")] == visit.end()
    assert [2] == visit.others


@pytest.mark.parametrize("action", ["sign_out", "logout", "log-out"])
async def test_a_page_that_tracks_a_sign_out_and_goes_on_under_the_same_uid(visit, action):
    """Also where the site is called as well: it is one sign-out."""
    await visit.see(view(FIRST))
    visit.passed("/logout")
    await visit.see(event("user", action, FIRST))
    await visit.see(view(FIRST))
    assert [("reset-missing", 4, "uid")] == visit.end()


async def test_it_is_said_while_the_session_goes_on(visit):
    """As soon as no reset can come any more that would count."""
    await visit.see(view(FIRST))
    visit.passed("/logout")
    await visit.see(view(FIRST))
    assert [] == visit.found
    visit.wait(5)
    await visit.see(view(FIRST))
    assert [("reset-missing", 3, "uid")] == visit.found


async def test_a_reset_counts_before_and_behind_the_sign_out(visit):
    """A few seconds; what comes between may be the old UID's."""
    await visit.see(view(FIRST))
    await visit.see(reset(FIRST, SECOND))
    visit.passed("/logout")
    await visit.see(view(SECOND))
    visit.wait(10)
    visit.passed("/logout")
    await visit.see(event("user", "sign_out", SECOND))
    await visit.see(event("product", "click", SECOND))
    await visit.see(reset(SECOND, "333333333333"))
    await visit.see(view("333333333333"))
    assert [] == visit.end()


async def test_a_sign_out_after_which_nothing_comes_says_nothing(visit):
    """Nothing counts as the customer's."""
    await visit.see(view(FIRST))
    visit.passed("/logout")
    assert [] == visit.end()


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/logout", {"host": "accounts.google.com"}),
        ("/logout.png", {}),
        ("/blog/logout-made-easy", {}),
        ("/logout", {"method": "OPTIONS"}),
        ("/logout", {"peer": "192.0.2.77"}),
    ],
)
async def test_what_is_no_sign_out_of_this_visitor(visit, path, more):
    """Another host's, another path, a question of the browser's own, somebody else's."""
    await visit.see(view(FIRST), peer="192.0.2.1")
    visit.passed(path, **more)
    await visit.see(view(FIRST), peer="192.0.2.1")
    assert [] == visit.end()


async def test_another_browsers_events_are_not_the_customers_who_has_left(visit):
    """It was here before, and goes on."""
    headers = (("user-agent", "Firefox/140.0"),)
    await visit.see(view(SECOND), peer="192.0.2.2", headers=headers)
    await visit.see(view(FIRST), peer="192.0.2.1")
    visit.passed("/logout", peer="192.0.2.1")
    await visit.see(view(SECOND), peer="192.0.2.2", headers=headers)
    assert [] == visit.end()


def identify(cid: str = "a", uid: str = FIRST, **fields):
    return event("user", "identify", uid, cid=of_md5(cid), **fields)


async def test_an_identify_twice_a_day(visit):
    """Each one too many, with the first of the day."""
    await visit.see(identify())
    await visit.see(view(FIRST))
    await visit.see(identify(extra={"n": 2}))
    await visit.see(identify(extra={"n": 3}))
    assert [("identify-repeated", 3, "ea"), ("identify-repeated", 4, "ea")] == visit.end()
    assert [1, 1] == visit.others


async def test_an_identify_of_another_customer_or_another_uid_is_a_first_one(visit):
    """So is a sign-in, which is no identify."""
    await visit.see(identify())
    await visit.see(identify("a", SECOND), headers=(("user-agent", "Firefox/140.0"),))
    await visit.see(event("user", "sign_in", FIRST, cid=of_md5("a")))
    await visit.see(event("user", "identify", FIRST))
    await visit.see(event("user", "identify", FIRST, extra={"n": 2}))
    assert [] == visit.end()


async def test_an_identify_that_is_sent_again_is_a_duplicate(visit):
    """Nobody heard the first one's answer."""
    query = f"portal_id={PORTAL_ID}&prop_id={PROP_ID}&request_id=again-{visit.session.calls}"
    await visit.see(identify(), query=query)
    await visit.see(identify(), query=query)
    assert [] == visit.end()


async def test_a_day_begins_at_the_propertys_own_midnight(tmp_path):
    """The session begins at 14:13 UTC; four hours later it is tomorrow in Ho Chi Minh City, and not in London."""
    shop = {"portal_id": PORTAL_ID, "prop_id": PROP_ID, "site": "shop.example", "origins": (ORIGIN,)}
    for zone, count in (("Asia/Ho_Chi_Minh", 0), ("Europe/London", 1)):
        folder = tmp_path / str(count)
        folder.mkdir()
        async with visit_of(folder, properties=({**shop, "timezone": zone},)) as visit:
            await visit.see(identify())
            visit.wait(14_400)
            await visit.see(identify(extra={"n": 2}))
            visit.end()
            assert ["identify-repeated"] * count == [each.rule for each in visit.findings]


async def test_a_reset_by_any_browser_behind_the_proxy_is_the_sign_outs(visit):
    """The call to the site does not say whose it is: the customer is likelier than who was heard last, and no more than that."""
    await visit.see(event("user", "sign_in", FIRST, cid=of_md5("a")))
    visit.passed("/")
    await visit.see(view(SECOND))
    visit.passed("/logout")
    await visit.see(view(SECOND))
    await visit.see(reset(SECOND, "333333333333"))
    await visit.see(view(FIRST))
    visit.wait(10)
    visit.passed("/logout")
    await visit.see(view("333333333333"))
    await visit.see(view(FIRST))
    assert [("reset-missing", 20, "uid")] == visit.end()
    assert [18] == visit.others


async def test_a_customer_whose_browser_is_closed_has_not_signed_out(visit):
    """Tests one after another, each in a profile of its own, of which the second does not say who it is."""
    await visit.see(event("user", "sign_in", FIRST, cid=of_md5("a")))
    visit.passed("/")
    await visit.see(view(SECOND))
    visit.passed("/logout")
    await visit.see(view(SECOND))
    assert [("reset-missing", 5, "uid")] == visit.end()
    first, second = visit.session.story.told().visitors
    assert (["appeared", "bound"], ["appeared", "sign_out"]) == (
        [each.kind for each in first.steps],
        [each.kind for each in second.steps],
    )
