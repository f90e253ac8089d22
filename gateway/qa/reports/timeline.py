"""The timeline of identities in the HTML report: for each visitor a lane for each UID, whose it became, and what happened on the way, as a picture and in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.qa.reports.links import Links
from gateway.qa.reports.markup import Markup, el, joined
from gateway.qa.reports.retelling import WRONG
from gateway.qa.reports.wording import counted, cut, moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.qa.reports.model import Identities, SessionModel, StepRow, VisitorRow

_LEFT, _RIGHT, _TOP, _LANE = 6, 100, 30, 66
_NARROWEST, _WIDEST, _FULL = 44, 130, 1144
_COLOURS = 6
_LEGEND = {
    "appeared": "a UID begins",
    "bound": "becomes a customer (a colour for each CID)",
    "named": "named as the customer again",
    "reset": "reset: the next UID",
    "sign_out": "signs out",
    "repaired": "another hash of the same address",
    "conflict": "another customer's CID",
    "changed": "another UID without a reset",
    "held": "held for a person for another reason",
}


class _Board(NamedTuple):
    """Where things stand: the column of each call, the lane of each UID, the colour of each CID."""

    columns: dict[int, int]
    lanes: dict[str, int]
    colours: dict[str, int]
    step: float

    def x(self, call: int) -> float:
        """Give the column's middle; of a call that has none, that of the last before it."""
        before = [at for at in self.columns if at <= call]
        return _LEFT + self.step * (self.columns[max(before)] + 0.5) if before else _LEFT

    def y(self, uid: str) -> float:
        return _TOP + _LANE * (self.lanes[uid] + 0.55)

    def colour(self, cid: str) -> str:
        return f"k{self.colours.setdefault(cid, len(self.colours)) % _COLOURS}"


def identities_section(model: SessionModel) -> Markup:
    """Give the section."""
    identities = model.identities
    colours: dict[str, int] = {}
    links = Links(model)
    cards = [_card(each, colours, links) for each in identities.visitors]
    if not cards:
        cards = [el("p", "No visitor was seen.", class_="card nothing")]
    lead = "Each visitor's UIDs, one lane each, from left to right in the order of the calls; a coloured band is a UID that belongs to a customer."
    return el(
        "section",
        el("h2", "Identities"),
        el("p", lead, class_="lead"),
        *cards,
        _others(identities),
        id="identities",
    )


def _others(identities: Identities) -> Markup | None:
    said = []
    if identities.visitors_left_out:
        said.append(f"{counted(identities.visitors_left_out, 'more visitor')} found no room here.")
    if identities.servers_events:
        said.append(f"{counted(identities.servers_events, 'event')} came from servers.")
    if identities.others_events:
        said.append(
            f"{counted(identities.others_events, 'event')} came from no browser that could be told: links, images in mails, refused."
        )
    return el("p", " ".join(said), class_="soft") if said else None


def _card(visitor: VisitorRow, colours: dict[str, int], links: Links) -> Markup:
    uids = list(dict.fromkeys(each.uid for each in visitor.stays))
    customers = list(dict.fromkeys(each.cid for each in visitor.stays if each.cid))
    title = f"Visitor {visitor.number}{f' of {visitor.site}' if visitor.site else ''}"
    said = (
        f"{counted(len(uids), 'UID')}, {counted(len(customers), 'customer')}"
        if customers
        else counted(len(uids), "UID")
    )
    wrong = sum(each.kind in WRONG for each in visitor.steps)
    left_out = visitor.steps_left_out + visitor.stays_left_out
    return el(
        "figure",
        el(
            "figcaption",
            el("b", title),
            el("span", f"  {said}  ", class_="soft"),
            el("span", f"{counted(wrong, 'step')} that should not be", class_="badge error")
            if wrong
            else None,
        ),
        el(
            "div",
            _picture(visitor, title, colours),
            class_="scroll",
            tabindex="0",
            role="group",
            aria_label=f"{title}, as a picture",
        ),
        _legend({each.kind for each in visitor.steps}),
        _in_words(visitor, links),
        el("p", f"{left_out:,} more steps found no room here.", class_="soft") if left_out else None,
        class_="card picture",
    )


def _picture(visitor: VisitorRow, title: str, colours: dict[str, int]) -> Markup:
    calls = {each.call for each in visitor.steps} | {
        call for each in visitor.stays for call in (each.first_call, each.last_call)
    }
    uids = dict.fromkeys(each.uid for each in visitor.stays)
    uids |= dict.fromkeys(uid for each in visitor.steps for uid in (each.uid, *_before(each)) if uid)
    room = (_FULL - _LEFT - _RIGHT) / max(len(calls), 1)
    board = _Board(
        {call: at for at, call in enumerate(sorted(calls))},
        {uid: at for at, uid in enumerate(uids)},
        colours,
        min(max(room, _NARROWEST), _WIDEST),
    )
    width = max(_LEFT + board.step * len(calls) + _RIGHT, 320)
    height = _TOP + _LANE * len(uids) + 6
    return el(
        "svg",
        el("title", f"{title}: {counted(len(uids), 'UID')}, {counted(len(visitor.steps), 'step')}"),
        *_ticks(board, height),
        *_lanes(visitor, board),
        *(_mark(each, board) for each in visitor.steps if each.uid),
        viewBox=f"0 0 {width:.0f} {height}",
        width=round(width),
        height=height,
        role="img",
    )


def _before(step: StepRow) -> tuple[str, ...]:
    return (step.was,) if step.kind in {"reset", "given", "changed", "back"} and step.was else ()


def _ticks(board: _Board, height: int) -> Iterator[Markup]:
    for call, at in board.columns.items():
        x = _LEFT + board.step * (at + 0.5)
        yield el("line", x1=x, x2=x, y1=_TOP - 8, y2=float(height), class_="tick")
        yield el("text", f"#{call}", x=x, y=14, class_="s mid")


def _lanes(visitor: VisitorRow, board: _Board) -> Iterator[Markup]:
    bound = {
        each.uid: each.call for each in reversed(visitor.steps) if each.kind in {"bound", "named", "repaired"}
    }
    # What happens at a lane, or leads away from it, is still on it.
    last_at: dict[str, int] = {}
    for step in visitor.steps:
        for uid in (step.uid, *_before(step)):
            last_at[uid] = step.call
    for uid in board.lanes:
        events = sum(each.events for each in visitor.stays if each.uid == uid)
        yield el(
            "text",
            el("tspan", cut(uid, 32), class_="m b"),
            el("tspan", f"  {counted(events, 'event')}", class_="s"),
            x=4,
            y=board.y(uid) - 18,
        )
    final = {stay.uid: at for at, stay in enumerate(visitor.stays)}
    for at, stay in enumerate(visitor.stays):
        y, first = board.y(stay.uid), board.x(stay.first_call)
        is_final = final[stay.uid] == at
        last = board.x(max(stay.last_call, last_at.get(stay.uid, 0)) if is_final else stay.last_call)
        end = last + (16 if last_at.get(stay.uid, 0) <= stay.last_call else 0)
        yield el("line", x1=first, x2=end, y1=y, y2=y, class_="lane")
        if stay.cid:
            known = max(first, board.x(bound.get(stay.uid, stay.first_call)))
            colour = board.colour(stay.cid)
            yield el("line", x1=known, x2=end, y1=y, y2=y, class_=f"known {colour}")
            yield el("text", f"CID {stay.cid}", x=known - 8, y=y + 25, class_=f"m cid {colour}")


def _mark(step: StepRow, board: _Board) -> Markup:
    x, y = board.x(step.call), board.y(step.uid)
    shapes = [_turn(board, step, x, y)] if _before(step) else []
    colour = board.colour(step.cid) if step.cid else ""
    shapes.append(_shape(step.kind, x, y, colour))
    return el("g", el("title", _told(step)), *shapes)


def _turn(board: _Board, step: StepRow, x: float, y: float) -> Markup:
    start = board.y(step.was)
    look = "bad thin" if step.kind in WRONG else "turn"
    return el("path", d=f"M{x:g} {start:g}V{y - 9 if y > start else y + 9:g}", class_=look)


def _shape(kind: str, x: float, y: float, colour: str) -> Markup:
    """Give the mark of a kind of step; shapes differ, so that nobody needs the colours."""
    if kind == "bound":
        return el("circle", cx=x, cy=y, r=9, class_=f"bind {colour}")
    if kind == "named":
        return el("circle", cx=x, cy=y, r=5, class_=f"of {colour}")
    if kind == "repaired":
        return el("path", d=f"M{x:g} {y - 9:g}l9 9-9 9-9-9z", class_="gone")
    if kind in {"conflict", "contradiction"}:
        return joined(
            (
                el("rect", x=x - 10, y=y - 10, width=20, height=20, rx=4, class_="held"),
                el("path", d=f"M{x - 5:g} {y - 5:g}l10 10m0-10l-10 10", class_="bad"),
            )
        )
    if kind == "held":
        return el("rect", x=x - 7, y=y - 7, width=14, height=14, rx=3, class_="held")
    if kind == "sign_out":
        return el("path", d=f"M{x - 2:g} {y - 9:g}h-7v18h7M{x - 4:g} {y:g}h13m-5-5l5 5-5 5", class_="leave")
    return el("circle", cx=x, cy=y, r=7, class_="anon wrong" if kind in WRONG else "anon")


def _legend(kinds: set[str]) -> Markup:
    shown = [kind for kind in _LEGEND if kind in kinds or (kind == "conflict" and "contradiction" in kinds)]
    return el(
        "ul",
        *(
            el(
                "li",
                el("svg", *_sample(kind), viewBox="0 0 24 24", width=22, height=22, aria_hidden="true"),
                _LEGEND[kind],
            )
            for kind in shown
        ),
        class_="legend",
    )


def _sample(kind: str) -> list[Markup]:
    if kind == "reset":
        return [el("path", d="M12 1V12", class_="turn"), _shape(kind, 12, 16, "")]
    if kind == "changed":
        return [el("path", d="M12 1V9", class_="bad thin"), _shape(kind, 12, 16, "")]
    return [_shape(kind, 12, 12, "k0")]


def _in_words(visitor: VisitorRow, links: Links) -> Markup:
    items = (
        el(
            "li",
            links.to(each.call, each.event),
            f" {_told(each)}",
        )
        for each in visitor.steps
    )
    return el("details", el("summary", "In words"), el("ol", *items), class_="tell")


def _told(step: StepRow) -> str:
    whose = (
        f" (CID {step.cid}{f', not {step.was}' if step.was and not _before(step) else ''})"
        if step.cid
        else ""
    )
    before = f" (before: {step.was})" if _before(step) else ""
    event = f", {step.name}" if step.name else ""
    event += f": {step.outcome}" if step.outcome else ""
    return f"{moment(step.at_ms)}: {step.uid or step.was or 'somebody'} {step.said}{whose}{before}{event}"
