"""The HTML report: one file that asks for nothing, in which all that came from the session is text."""

from __future__ import annotations

import asyncio
import base64
import re
from hashlib import sha256
from html.parser import HTMLParser

import msgspec
import pytest

from gateway.qa.reports import gather
from gateway.qa.reports.markup import Markup, el
from gateway.qa.reports.page import html_document
from tests.builders import make_settings
from tests.qa_sessions import HOSTILE, RAW_EMAIL, call, messy_model, pageview, see, session_of, sign_in


class Reader(HTMLParser):
    """Notes what a browser would: elements with their attributes, and all text outside of styles and scripts."""

    def __init__(self, document):
        super().__init__()
        self.elements, self.text, self.inner = [], "", {}
        self._in = ""
        self.feed(document)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._in = tag if tag in {"style", "script"} else ""

    def handle_endtag(self, _tag):
        self._in = ""

    def handle_data(self, data):
        if self._in:
            self.inner[self._in] = self.inner.get(self._in, "") + data
        else:
            self.text += data


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return asyncio.run(messy_model(tmp_path_factory.mktemp("session")))


@pytest.fixture(scope="module")
def page(model):
    return Reader(html_document(model).decode())


def test_what_a_page_sent_is_text(page):
    """The one script is ours, and the name of an event that is markup is read as it was written."""
    assert 1 == sum(tag == "script" for tag, _ in page.elements)
    assert HOSTILE.partition("\x1b")[0] in page.text
    assert "\\u001b[31m\\u202e" in page.text
    assert RAW_EMAIL.lower() not in page.text.lower()


def test_only_our_style_and_our_script_may_run(page):
    """The policy names their hashes, and nothing stands in an attribute that it would have to allow."""
    (policy,) = (attrs["content"] for tag, attrs in page.elements if attrs.get("http-equiv"))
    for kind in ("style", "script"):
        digest = base64.b64encode(sha256(page.inner[kind].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    for _, attrs in page.elements:
        assert not [
            name for name in attrs if name == "style" or name.startswith("on") or name in {"src", "srcset"}
        ]


def assert_links_lead_somewhere(page):
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for tag, attrs in page.elements if tag == "a"]
    assert links
    assert {link[1:] for link in links} <= set(ids)


def test_every_link_leads_somewhere_in_the_page(page):
    """Nothing leads out of the file, and nothing into the void."""
    assert_links_lead_somewhere(page)


async def test_a_sign_out_that_is_no_tracking_call_is_named_without_a_link(tmp_path):
    """There is no row to lead to; the number is told all the same."""
    page_head = (("content-type", "application/json"), ("cookie", "_asm_uid=111111111111"))
    async with session_of(tmp_path) as session:
        await see(session, sign_in("111111111111", "one@example.com"), headers=page_head)
        session.passed(call(session, host="www.shop.example", path="/logout"))
        session.finish()
    page = Reader(html_document(gather(session, make_settings())).decode())
    assert "#2 1.0 s: 111111111111 signs out" in page.text
    assert_links_lead_somewhere(page)


def test_the_answer_comes_first(page):
    """What a person who opens the file wants to know stands before everything else."""
    assert re.search(r"May this site go live\?\s*Not yet\.", page.text)
    assert page.text.index("Not yet.") < page.text.index("Findings")


def test_a_change_of_identity_is_told_by_kind(page):
    """Before and after, and never a value."""
    assert "dims.customers.emailraw e-mail → sha256" in page.text
    assert "extra.urltext with an address → text, masked" in page.text


def test_what_was_left_out_is_said(model):
    """Counts are of everything; a table that ends early says so."""
    left = msgspec.structs.replace(model.left_out, calls=8_000, findings=900)
    rules = tuple(
        msgspec.structs.replace(each, left_out=900) if each.id == "cid-changed" else each
        for each in model.rules
    )
    text = Reader(html_document(msgspec.structs.replace(model, left_out=left, rules=rules)).decode()).text
    assert "8,000 more found no room here" in text
    assert "900 more are not in this report" in text


async def test_the_timeline_shows_whose_a_uid_became_and_what_went_wrong(tmp_path):
    """A lane for each UID, the customers, a reset, and the conflict in words too."""
    async with session_of(tmp_path) as session:
        await see(session, pageview("111111111111"))
        await see(session, sign_in("111111111111", "one@example.com"))
        await see(session, sign_in("111111111111", "two@example.com"))
        reset = {"reset_uid": "111111111111", "generate_uid": "222222222222"}
        await see(session, {"uid": "222222222222", "ec": "user", "ea": "reset_anonymous_id", "extra": reset})
        await see(session, sign_in("222222222222", "two@example.com"))
        session.finish()
    page = Reader(html_document(gather(session, make_settings())).decode())
    for words in ("2 UIDs, 2 customers", "becomes this customer", "is named as another customer", "is reset"):
        assert words in page.text
    assert {"bind k0", "bind k1", "held", "turn"} <= {attrs.get("class") for _, attrs in page.elements}


async def test_an_event_that_is_held_for_another_reason_stands_in_its_lane(tmp_path):
    """Whoever looks for a visitor's purchase sees that it waits for a person, and why."""
    settings = make_settings(tracking_plan={"standard": "quarantine"})
    async with session_of(tmp_path, settings=settings) as session:
        await see(session, pageview())
        await see(session, {"uid": "111111111111", "ec": "product", "ea": "purchase"})
    page = Reader(html_document(gather(session, settings)).decode())
    assert "111111111111 has an event that is held for a person (plan_violation)" in page.text
    assert "held" in {attrs.get("class") for _, attrs in page.elements}


async def test_a_session_without_calls_has_a_page_too(tmp_path):
    """It says what to look at, and draws no picture of nothing."""
    async with session_of(tmp_path) as session:
        pass
    page = Reader(html_document(gather(session, make_settings())).decode())
    assert "Nobody can say." in page.text
    assert "certificate" in page.text
    assert "svg" not in {tag for tag, _ in page.elements}


def test_markup_is_only_what_was_made_as_markup():
    """A text stays a text in an element, in an attribute and after it was put together with markup."""
    made = el("a", "<b>", el("i", "&"), title='"<>&')
    assert '<a title="&quot;&lt;&gt;&amp;">&lt;b&gt;<i>&amp;</i></a>' == made
    assert "&lt;p&gt;&lt;/p&gt;" == el("x", el("p") + "")[3:-4]
    assert isinstance(el("p"), Markup)
