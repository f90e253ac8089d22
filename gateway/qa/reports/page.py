"""The HTML report: one file, without network. Its policy lets run only the style and the script whose hashes it names.

What always holds: it is read without its script too, by keyboard, on a phone and on paper; what came from the session is text in it, never markup.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from hashlib import sha256
from importlib import resources
from typing import TYPE_CHECKING

from gateway.qa.reports.calls_table import calls_section
from gateway.qa.reports.flow_picture import flow_section
from gateway.qa.reports.kinds import HASHES, NOT_SENT, RAW
from gateway.qa.reports.markup import Markup, el, joined, verbatim
from gateway.qa.reports.rules_list import findings_section
from gateway.qa.reports.timeline import identities_section
from gateway.qa.reports.wording import counted

if TYPE_CHECKING:
    from gateway.qa.reports.model import SessionModel

_QUESTION = "May this site go live?"
_ANSWERS = {
    "ready": "Yes.",
    "with_care": "Yes, with care.",
    "not_ready": "Not yet.",
    "nothing_seen": "Nobody can say.",
}


def html_document(model: SessionModel) -> bytes:
    """Give the report as one file, in UTF-8."""
    style, script = _asset("report.css"), _asset("report.js")
    policy = f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; base-uri 'none'; form-action 'none'"
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("meta", name="robots", content="noindex"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{_ANSWERS[model.answer]} Tracking check {model.about.source}".strip()),
        el("style", verbatim(style)),
    )
    sections = (
        findings_section(model),
        identities_section(model),
        flow_section(model),
        calls_section(model),
    )
    body = el(
        "body",
        el("a", "To the findings", class_="skip", href="#findings"),
        _top(model),
        _navigation(model),
        el("main", *sections, class_="wrap"),
        _footer(model),
        el("script", verbatim(script)),
    )
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n".encode()


def _asset(name: str) -> str:
    return resources.files("gateway.qa.reports").joinpath("assets", name).read_text(encoding="utf-8")


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(sha256(text.encode()).digest()).decode()}'"


def _top(model: SessionModel) -> Markup:
    about, counts = model.about, model.counts
    when = (
        datetime.fromtimestamp(about.started_ms / 1000, UTC).strftime("%d %b %Y, %H:%M UTC")
        if about.started_ms
        else ""
    )
    of = " · ".join(each for each in ("Tracking check", about.source, about.mode, when) if each)
    figures = {
        "tracking calls": counts.tracking,
        "events": counts.events,
        **dict(counts.outcomes.items()),
    }
    cells = (
        el(
            "div",
            el("dt", name),
            el("dd", f"{number:,}"),
            class_=f"{name.replace(' ', '-')}{'' if number else ' zero'}",
        )
        for name, number in figures.items()
    )
    not_tried = (
        el("p", f"Not seen in this session, so not checked: {', '.join(model.not_tried)}.", class_="because")
        if model.not_tried
        else None
    )
    answer = el(
        "div",
        el("p", of, class_="eyebrow"),
        el("h1", _QUESTION),
        el("p", _ANSWERS[model.answer], class_=f"answer {model.answer}"),
        el("p", _because(model), class_="because"),
        _mended(model),
        not_tried,
    )
    return el(
        "header", el("div", answer, el("dl", *cells, class_="figures"), class_="head wrap"), class_="top"
    )


def _because(model: SessionModel) -> Markup:
    counts = model.counts
    if model.answer == "nothing_seen":
        return joined(
            (
                f"No tracking event was seen in {counted(counts.calls, 'call')}. ",
                "Is the browser using the proxy, does it trust its certificate, are the tracking names those of the configuration?",
            )
        )
    badges = joined(
        joined((el("span", counted(number, severity), class_=f"badge {severity}"), " "))
        for severity, number in counts.severities.items()
        if number
    )
    said = f"in {counted(counts.events, 'event')} of {counted(counts.tracking, 'tracking call')}"
    return joined((badges, said)) if badges else joined((f"Nothing is wrong {said}.",))


def _mended(model: SessionModel) -> Markup | None:
    """Say what the gateway has made of raw addresses, in the calls that the report holds."""
    changes = [
        each
        for row in model.calls
        for each in row.changes
        if each.before in RAW and each.after not in {*RAW, NOT_SENT}
    ]
    hashed = sum(each.after in HASHES for each in changes)
    said = " and ".join(
        what
        for number, what in (
            (hashed, f"{counted(hashed, 'raw address')} became {'hashes' if hashed > 1 else 'a hash'}"),
            (
                len(changes) - hashed,
                f"{counted(len(changes) - hashed, 'address')} within texts became {'words' if len(changes) - hashed > 1 else 'a word'}",
            ),
        )
        if number
    )
    return el("p", f"In the gateway, {said}.", class_="because") if said else None


def _navigation(model: SessionModel) -> Markup:
    places = {
        "findings": ("Findings", sum(row.found for row in model.rules)),
        "identities": ("Identities", None),
        "flow": ("Flow", None),
        "calls": ("Calls", model.counts.tracking),
    }
    links = (
        el("li", el("a", name, el("b", f"{number:,}") if number is not None else None, href=f"#{place}"))
        for place, (name, number) in places.items()
    )
    return el("nav", el("ul", *links, class_="wrap"), aria_label="Parts of the report")


def _footer(model: SessionModel) -> Markup:
    return el(
        "footer",
        el(
            "div",
            f"Made by {model.about.tool} {model.about.tool_version}. No address is in this file: UIDs are pseudonyms, CIDs are cut short, and of everything else only the kind is told. ",
            "It asks nothing of any network.",
            class_="wrap",
        ),
    )
