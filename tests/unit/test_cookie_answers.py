"""The UID's cookies in the answers to events: each rule, through the whole pipeline."""

from __future__ import annotations

import pytest

from tests.builders import ORIGIN, QUERY, STAMP, decide, event, get, post


def cookie(request, **sections):
    reply = decide(request, **sections)[1].reply
    return next((value for name, value in reply.headers if name == "Set-Cookie"), None)


def test_the_cookie_is_set_by_the_server_for_the_whole_site():
    """400 days, readable by scripts, for the site's domain."""
    expected = "_asm_uid=1234567890123; Path=/; Max-Age=34560000; Domain=shop.example; Secure; SameSite=Lax"
    assert expected == cookie(post(event()))


def test_on_another_host_the_cookie_belongs_to_that_host_alone():
    """A browser refuses a Domain that the host is not part of."""
    assert "Domain" not in cookie(post(event(), host="localhost:8080"))
    assert "Domain" not in cookie(post(event(), host="evilshop.example"))


def test_a_fresh_uid_becomes_the_cookie():
    """A visitor without an id gets one, also from a pixel."""
    assert f"_asm_uid={STAMP.fresh_uid()};" in cookie(get(QUERY.replace("json", "pixel", 1) + "&ec=a&ea=b"))


def test_a_late_event_of_an_earlier_uid_does_not_bring_it_back():
    """What the page kept from before a logout must not undo the logout."""
    assert cookie(post(event(uid="111111111"), cookie="_asm_uid=222222222")) is None


@pytest.mark.parametrize("kind", ["redirect", "pixel"])
def test_a_link_or_image_that_names_a_uid_does_not_make_it_the_visitors(kind):
    """A message that was passed on would otherwise make two people one."""
    query = (
        QUERY.replace("resp_type=json", f"resp_type={kind}")
        + "&uid=111111111&ec=a&ea=click&redirect_url=https://shop.example/"
    )
    assert cookie(get(query)) is None


def test_servers_get_no_cookie():
    """`is_s2s` events are of many people."""
    assert cookie(post(event(), QUERY + "&is_s2s=true")) is None


@pytest.mark.parametrize("has", ["", "_asm_uid=111111111", "_asm_uid=333333333"])
def test_a_reset_turns_the_cookie_to_the_new_uid(has):
    """Whichever of the two the browser has."""
    reset = event(
        "user",
        "reset_anonymous_id",
        uid="333333333",
        extra={"reset_uid": "111111111", "generate_uid": "333333333"},
    )
    assert cookie(post(reset, cookie=has)).startswith("_asm_uid=333333333;")


def test_a_late_reset_does_not_undo_a_later_one():
    """The browser has moved on to a third UID: it stays."""
    reset = event(
        "user",
        "reset_anonymous_id",
        uid="333333333",
        extra={"reset_uid": "111111111", "generate_uid": "333333333"},
    )
    assert cookie(post(reset, cookie="_asm_uid=444444444")) is None


def test_a_reset_without_a_usable_new_uid_gets_a_fresh_one():
    """The logout still happens."""
    reset = event(
        "user", "reset_anonymous_id", uid="111111111", extra={"reset_uid": "111111111", "generate_uid": "a b"}
    )
    assert cookie(post(reset, cookie="_asm_uid=111111111")).startswith(f"_asm_uid={STAMP.fresh_uid()};")


def test_the_cookie_follows_its_settings():
    """Lifetime and `Secure` are settings."""
    value = cookie(post(event(), origin=ORIGIN), cookies={"secure": False, "lifetime_days": 1})
    assert value == "_asm_uid=1234567890123; Path=/; Max-Age=86400; Domain=shop.example; SameSite=Lax"


def test_a_page_of_another_site_gets_no_cookie():
    """Its event is taken, its visitor is left alone."""
    assert cookie(post(event(), origin="https://evil.example")) is None


def test_the_twin_is_set_beside_it_and_then_left_alone():
    """What an answer wrote, the next request brings back: there is nothing to write."""
    sections = {"cookies": {"keys": ("2026b:a newer secret of the shop",)}}
    written = [
        value for name, value in decide(post(event()), **sections)[1].reply.headers if name == "Set-Cookie"
    ]
    assert ["_asm_uid", "_asm_uid_s"] == [value.partition("=")[0] for value in written]
    header = "; ".join(value.partition(";")[0] for value in written)
    assert cookie(post(event(), cookie=header), **sections) is None


def test_an_event_without_a_uid_gets_the_one_of_the_twin():
    """The browser dropped the plain cookie: the visitor stays who it was, and gets it back."""
    sections = {"cookies": {"keys": ("2026b:a newer secret of the shop",)}}
    written = [
        value for name, value in decide(post(event()), **sections)[1].reply.headers if name == "Set-Cookie"
    ]
    twin = written[1].partition(";")[0]
    decision = decide(post(event(uid=""), cookie=twin), **sections)[1]
    assert "1234567890123" == decision.verdicts[0].uid
    assert cookie(post(event(uid=""), cookie=twin), **sections).startswith("_asm_uid=1234567890123;")
