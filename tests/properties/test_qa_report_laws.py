"""What always holds of reports, whatever a page writes: each is well-formed, and what was written is one text in it."""

from __future__ import annotations

import asyncio
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import msgspec
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.qa.reports.documents import json_document
from gateway.qa.reports.junit import junit_document
from gateway.qa.reports.page import html_document
from gateway.qa.reports.sarif import sarif_document
from gateway.qa.reports.wording import shown
from tests.qa_sessions import messy_model

# Letters of every kind, and more often what markup, XML, terminals and links are made of.
TEXTS = st.text(
    st.one_of(st.characters(), st.sampled_from("<>&\"'`=/\\{}[]()!-\x00\x1b\x85\u2028\u202e\ufffe\ud800\n")),
    max_size=40,
)


class Shape(HTMLParser):
    """Notes the elements and their attributes' names, and nothing else."""

    def __init__(self, document):
        super().__init__()
        self.elements = []
        self.feed(document.decode())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, [name for name, _ in attrs]))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return asyncio.run(messy_model(tmp_path_factory.mktemp("session")))


def told(model, text):
    """Give the model as if the page had written this wherever it can write something."""
    findings = tuple(
        msgspec.structs.replace(each, name=text, place=text, detail=text, url=text, page=text, method=text)
        for each in model.findings
    )
    calls = tuple(
        msgspec.structs.replace(
            each, name=text, url=text, page=text, uid=text, cid=text, detail=text, method=text
        )
        for each in model.calls
    )
    about = msgspec.structs.replace(model.about, source=text)
    return msgspec.structs.replace(model, findings=findings, calls=calls, about=about)


@settings(max_examples=40, deadline=None)
@given(text=TEXTS)
def test_whatever_a_page_writes_every_report_is_well_formed(model, text):
    """XML and JSON are read back, and HTML has the elements that it has with any other text."""
    safe = shown(text) or "x"
    given_text = told(model, safe)
    assert safe in ET.fromstring(junit_document(given_text, "note")).find(".//failure").text
    for document in (json_document(given_text), sarif_document(given_text)):
        assert isinstance(orjson.loads(document), dict)
    assert Shape(html_document(told(model, "x"))).elements == Shape(html_document(given_text)).elements


@settings(deadline=None)
@given(before=TEXTS, after=TEXTS)
def test_what_is_shown_is_one_line_that_acts_on_nothing_and_names_nobody(before, after):
    """Printable, and without the address that stood in it."""
    text = shown(f"{before} lan.nguyen@example.com {after}")
    assert text.isprintable()
    assert "lan.nguyen@example.com" not in text
