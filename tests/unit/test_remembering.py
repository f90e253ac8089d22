"""What clients write into memory: answers are remembered by texts that clients choose, and a flood of long ones leaves nothing behind."""

from __future__ import annotations

import tracemalloc

import pytest

from gateway.events.model import Reply
from gateway.events.pipeline import Pipeline
from gateway.events.remembering import LONGEST, remembered, remembered_together
from gateway.web.fast import encode_reply
from tests.builders import QUERY, STAMP, event, make_settings, post

_LONG = 60_000


def test_an_answer_is_remembered_where_the_texts_are_short():
    """Long ones are read each time, and answered the same."""
    asked = []
    answer = remembered_together(2, lambda *texts: asked.append(texts) or "".join(texts))
    for texts in (("a", "b"), ("a", "b"), ("x" * LONGEST, "y"), ("x" * LONGEST, "y")):
        assert "".join(texts) == answer(*texts)
    assert [("a", "b"), ("x" * LONGEST, "y"), ("x" * LONGEST, "y")] == asked


def test_a_text_is_read_once_while_it_is_among_the_last():
    """The oldest goes first; a long one is read each time."""
    asked = []
    answer = remembered(2, lambda text: asked.append(text) or text.upper())
    for text in ("a", "b", "a", "c", "b", "a", "x" * (LONGEST + 1), "x" * (LONGEST + 1)):
        assert text.upper() == answer(text)
    assert ["a", "b", "c", "a", "x" * (LONGEST + 1), "x" * (LONGEST + 1)] == asked


@pytest.mark.parametrize(
    "requests",
    [
        lambda number: post(event(), f"{QUERY}&n={number}&x={'y' * _LONG}"),
        lambda number: post(
            event(), f"{QUERY}&n={number}&" + "&".join(f"p{each}=1" for each in range(1_900))
        ),
        lambda number: post(event(), QUERY, origin=f"https://{number}.{'y' * _LONG}.shop.example"),
        lambda number: post(event(), QUERY, content_type=f"text/plain; n={number}{'y' * _LONG}"),
        lambda number: post(event(), QUERY, forwarded_for=f"{number}{'y' * _LONG}"),
    ],
    ids=["query", "parameters", "origin", "content_type", "forwarded_for"],
)
def test_a_flood_of_long_requests_leaves_nothing_in_memory(requests):
    """With a thousand different ones remembered, a worker grew by a gigabyte."""
    pipeline = Pipeline(make_settings(server={"trusted_proxies": ["203.0.113.0/24"]}))
    pipeline.prepare(requests(0), STAMP)
    tracemalloc.start()
    try:
        for number in range(1, 101):
            pipeline.prepare(requests(number), STAMP)
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 1_000_000


def test_where_redirects_lead_is_not_kept_in_memory():
    tracemalloc.start()
    try:
        for number in range(100):
            encode_reply(Reply(302, (("Location", f"https://shop.example/{number}{'y' * _LONG}"),)))
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert grown < 1_000_000
