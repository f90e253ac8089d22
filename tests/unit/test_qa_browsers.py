"""A UID that changes without a reset is found where something proves that it is the same browser, and nowhere else."""

from __future__ import annotations

import pytest
import pytest_asyncio

from gateway.qa.calls import Heard
from tests.builders import PORTAL_ID, PROP_ID
from tests.qa_rules import FIRST, OWN_HOST, SECOND, THIRD, event, of_md5, reset, view, visit_of

HOME, SHOES = "https://www.shop.example/", "https://www.shop.example/shoes"
QUERY = f"portal_id={PORTAL_ID}&prop_id={PROP_ID}"

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory):
    async with visit_of(tmp_path_factory.mktemp("qa")) as opened:
        yield opened


@pytest.fixture
def visit(gateway):
    return gateway.anew()


def on(url: str, before: str = "") -> dict:
    return {"context": {"navigation": {"url": url}, "referrer": before}}


def cookie(uid: str) -> tuple[tuple[str, str], ...]:
    return (
        ("user-agent", "Chrome/141.0"),
        ("cookie", f"_asm_uid={uid}"),
        ("origin", "https://www.shop.example"),
    )


async def test_a_uid_that_changes_within_a_page(visit):
    """The page was loaded once: nobody else can be on it. The call before is named."""
    visit.passed("/shoes")
    await visit.see(view(FIRST, **on(SHOES)))
    await visit.see(event("product", "view", SECOND, **on(SHOES)))
    await visit.see(event("product", "click", SECOND, **on(SHOES)))
    assert [("uid-changed", 3, "uid")] == visit.end()
    assert [2] == visit.others


async def test_a_uid_that_changes_within_a_page_of_which_only_the_origin_is_known(visit):
    """A hand-written page sends no address, and its browser tells another host no path."""
    visit.passed("/somewhere")
    visit.passed("/look.css")
    await visit.see(view(FIRST), page=HOME)
    await visit.see(view(SECOND), page=HOME)
    assert [("uid-changed", 4, "uid")] == visit.end()


async def test_a_crowd_behind_one_address_costs_no_more_than_its_latest(visit):
    """Of browsers that look alike the latest 128 are asked: who was let go of proves nothing, who is among them does."""
    await visit.see(view(FIRST, **on(SHOES)))
    for number in range(128):
        await visit.see(view(str(2_790_000_000_000 + number), **on(f"{HOME}{number}")))
    await visit.see(event("product", "click", SECOND, **on(SHOES)))
    await visit.see(event("product", "click", THIRD, **on(f"{HOME}127")))
    assert [("uid-changed", 131, "uid")] == visit.end()


async def test_a_uid_that_changes_from_one_page_to_the_next(visit):
    """The page before was this browser's."""
    visit.passed("/")
    await visit.see(view(FIRST, **on(HOME)))
    visit.passed("/shoes")
    await visit.see(view(SECOND, **on(SHOES, HOME)))
    assert [("uid-changed", 4, "uid")] == visit.end()


async def test_a_uid_that_changes_on_the_way_to_another_host_of_the_site(visit):
    """A cookie of one host alone is lost there; its page tells the origin before."""
    visit.passed("/cart")
    await visit.see(view(FIRST, **on("https://www.shop.example/cart")))
    visit.passed("/pay", host="checkout.shop.example")
    await visit.see(view(SECOND, **on("https://checkout.shop.example/pay", HOME)))
    assert [("uid-changed", 4, "uid")] == visit.end()


async def test_a_uid_that_changes_within_a_session(visit):
    """The session's cookie is this browser's."""
    await visit.see(view(FIRST, sid="777"))
    await visit.see(view(SECOND, sid="777"))
    assert [("uid-changed", 2, "uid")] == visit.end()


async def test_a_uid_that_is_another_than_the_cookies(visit):
    """The cookie that came with the call is this browser's."""
    await visit.see(view(FIRST), host=OWN_HOST, headers=cookie(FIRST))
    await visit.see(view(SECOND), host=OWN_HOST, headers=cookie(FIRST))
    assert [("uid-changed", 2, "uid")] == visit.end()


async def test_without_a_word_of_page_loads_an_event_in_the_middle_of_a_page_tells(visit):
    """Every visit here begins with a page view; this one does not."""
    await visit.see(view(FIRST, **on(HOME)))
    await visit.see(event("product", "view", SECOND, **on(HOME)))
    assert [("uid-changed", 2, "uid")] == visit.end()


async def test_a_page_that_flips_between_two_uids_is_found_once(visit):
    """It is one mistake."""
    for uid in (FIRST, SECOND, FIRST, SECOND):
        await visit.see(view(uid, sid="777"))
    assert [("uid-changed", 2, "uid")] == visit.end()


async def test_a_uid_to_which_the_page_goes_back_after_a_reset(visit):
    """By the client's own clock it was tracked after the reset."""
    await visit.see(view(FIRST, et="2026-12-01 10:00:00"))
    await visit.see(reset(FIRST, SECOND, et="2026-12-01 10:00:05"))
    await visit.see(view(FIRST, et="2026-12-01 10:00:09"))
    assert [("uid-changed", 3, "uid")] == visit.end()


async def test_it_is_said_while_the_session_goes_on(visit):
    """Two seconds later, for a page that is left may send its reset behind."""
    await visit.see(view(FIRST, sid="777"))
    await visit.see(view(SECOND, sid="777"))
    assert [] == visit.found
    visit.wait(2)
    visit.passed("/look.css")
    assert [("uid-changed", 2, "uid")] == visit.found


async def test_a_reset_changes_the_uid_by_right(visit):
    """Under the old UID or the new one, with or without the names of both; and again and again."""
    await visit.see(view(FIRST, sid="777"))
    await visit.see(reset(FIRST, SECOND, sid="777"))
    await visit.see(view(SECOND, sid="777"))
    await visit.see(reset(SECOND, THIRD, uid=SECOND, sid="777"))
    await visit.see(view(THIRD, sid="777"))
    await visit.see(event("user", "reset_anonymous_id", THIRD, sid="777"))
    await visit.see(view("444444444444", sid="777"))
    assert [] == visit.end()


async def test_a_reset_that_its_next_event_overtakes_counts(visit):
    """A page that is left sends all at once."""
    await visit.see(view(FIRST, sid="777"))
    await visit.see(view(SECOND, sid="777"))
    await visit.see(reset(FIRST, SECOND, sid="777"))
    assert [] == visit.end()


async def test_an_event_from_before_a_reset_may_come_behind_it(visit):
    """It waited in the browser."""
    await visit.see(view(FIRST, et="2026-12-01 10:00:00"))
    await visit.see(reset(FIRST, SECOND, et="2026-12-01 10:00:05"))
    await visit.see(event("product", "click", FIRST, et="2026-12-01 10:00:04"))
    await visit.see(view(SECOND, et="2026-12-01 10:00:06"))
    assert [] == visit.end()


async def test_a_fresh_profile_behind_the_same_proxy_is_another_browser(visit):
    """Each test of a suite has its own; also on the same page, one after another or in turns."""
    for uid in (FIRST, SECOND, THIRD):
        visit.passed("/")
        await visit.see(view(uid, **on(HOME)), peer="127.0.0.1")
        visit.passed("/shoes")
        await visit.see(view(uid, **on(SHOES, HOME)), peer="127.0.0.1")
    for uid in (FIRST, SECOND, THIRD):
        await visit.see(event("product", "click", uid, **on(SHOES, HOME)), peer="127.0.0.1")
    assert [] == visit.end()


async def test_a_private_window_beside_the_first_is_another_browser(visit):
    """Both go on, page by page, without a word of their pages."""
    visit.passed("/")
    await visit.see(view(FIRST), page=HOME)
    visit.passed("/")
    await visit.see(view(SECOND), page=HOME)
    visit.passed("/shoes")
    await visit.see(view(FIRST), page=HOME)
    visit.passed("/shoes")
    await visit.see(view(SECOND), page=HOME)
    assert [] == visit.end()


async def test_another_program_and_another_address_are_other_browsers(visit):
    """On the same page, without a load that was seen."""
    await visit.see(view(FIRST, **on(HOME)), peer="192.0.2.1")
    await visit.see(event("product", "view", SECOND, **on(HOME)), peer="192.0.2.2")
    headers = (("user-agent", "Firefox/140.0"),)
    await visit.see(event("product", "view", THIRD, **on(HOME)), peer="192.0.2.2", headers=headers)
    assert [] == visit.end()


async def test_servers_events_are_of_many_people(visit):
    """One session, one address, one program."""
    for uid in (FIRST, SECOND):
        await visit.see(view(uid, sid="777"), query=f"{QUERY}&is_s2s=true")
    assert [] == visit.end()


@pytest.mark.parametrize(
    ("query", "headers"),
    [
        ("&resp_type=redirect&redirect_url=https%3A%2F%2Fshop.example%2F", ()),
        ("", (("sec-fetch-mode", "navigate"),)),
        ("&resp_type=pixel", ()),
    ],
)
async def test_whom_a_link_names_is_not_who_follows_it(visit, query, headers):
    """A message link, or an image in a mail."""
    await visit.see(view(FIRST, sid="777"))
    fields = f"ec=sms&ea=click&uid={SECOND}&sid=777"
    await visit.see(
        None, query=f"{QUERY}&{fields}{query}", headers=(("user-agent", "Chrome/141.0"), *headers), page=""
    )
    assert [] == visit.end()


async def test_an_image_in_a_mail_that_is_read_in_a_browser_is_no_visit(visit):
    """The same browser, on another site's page."""
    await visit.see(view(FIRST, sid="777"))
    headers = (("user-agent", "Chrome/141.0"), ("referer", "https://mail.example.org/"))
    await visit.see(None, query=f"{QUERY}&ec=mail&ea=open&uid={SECOND}&sid=777", headers=headers, page="")
    assert [] == visit.end()
    assert 1 == visit.session.story.told().others_events


async def test_a_script_or_an_image_of_the_page_is_its_visitors(visit):
    """Older pages track by a GET."""
    await visit.see(view(FIRST, sid="777"))
    await visit.see(None, query=f"{QUERY}&ec=product&ea=click&uid={SECOND}&sid=777", page=HOME)
    assert [("uid-changed", 2, "uid")] == visit.end()


async def test_a_uid_that_the_script_had_to_mint_is_a_first_one(visit):
    """The visitor had refused, and agrees again."""
    visit.passed("/")
    await visit.see(view(FIRST, **on(HOME)))
    await visit.see(view(SECOND, **on(HOME)), query=f"{QUERY}&uid_new=1")
    assert [] == visit.end()


async def test_a_uid_that_the_signed_cookie_restores(visit):
    """The browser had lost it, the gateway gives it back: to the page's own one, and from it."""
    first = await visit.see(view(FIRST), host=OWN_HOST, headers=cookie(FIRST))
    given = {name: value for key, text in first.taken.reply.headers if key == "Set-Cookie"
             for name, _, value in [text.partition(";")[0].partition("=")]}  # fmt: skip
    headers = (
        ("user-agent", "Chrome/141.0"),
        ("cookie", f"_asm_uid_s={given['_asm_uid_s']}"),
        ("origin", "https://www.shop.example"),
    )
    restored = await visit.see(view(SECOND), host=OWN_HOST, headers=headers, query=f"{QUERY}&uid_new=1")
    assert ("restored", FIRST) == (restored.events[0].verdict.cause, restored.events[0].verdict.uid)
    await visit.see(view(FIRST), host=OWN_HOST, headers=cookie(FIRST))
    assert [] == visit.end()


async def test_a_uid_that_the_gateway_gives_another_customer(tmp_path):
    """`on_conflict = "new_uid"`, where the page hears the gateway: the cookie is another, by right."""
    async with visit_of(tmp_path, identity={"on_conflict": "new_uid"}) as visit:
        await visit.see(event("user", "sign_in", FIRST, cid=of_md5("a"), sid="777"), host=OWN_HOST)
        moved = await visit.see(event("user", "sign_in", FIRST, cid=of_md5("b"), sid="777"), host=OWN_HOST)
        given = moved.events[0].verdict.uid
        assert FIRST != given
        await visit.see(view(given, sid="777"), host=OWN_HOST)
        assert [("cid-changed", 2, "cid")] == visit.end()


async def test_a_uid_that_the_collector_gives(visit):
    """In its answer, or as a cookie."""
    body = f'_event_callback_data({{"au_id": "{SECOND}"}});'.encode()
    await visit.see(view(FIRST, sid="777"), heard=Heard(status=200, body=body))
    headers = (("set-cookie", f"_asm_uid={THIRD}; Path=/"),)
    await visit.see(view(SECOND, sid="777"), heard=Heard(status=200, headers=headers))
    await visit.see(view(THIRD, sid="777"))
    assert [] == visit.end()


async def test_a_first_event_without_a_uid(visit):
    """What the gateway makes for it is no other UID than the one the page takes then."""
    visit.passed("/")
    first = await visit.see(event("pageview", "view", "", **on(HOME)))
    await visit.see(event("product", "view", first.events[0].verdict.uid, **on(HOME)))
    assert [] == visit.end()
