"""The picture of the flow in the HTML report: pages → tracking hosts → the gateway → what becomes of the events → the collector, as wide as they are many."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.qa.reports.markup import Markup, el
from gateway.qa.reports.wording import counted, cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.qa.reports.model import HostRow, SessionModel

_WIDTH, _HEIGHT_OF_A_BOX, _GAP, _TOP = 1144, 46, 14, 34
_MOST_PAGES, _MOST_HOSTS = 6, 6
_COLUMNS = {
    "pages": (0, 260),
    "hosts": (330, 210),
    "gateway": (610, 120),
    "fates": (796, 150),
    "collector": (1012, 130),
}
_THICKEST, _THINNEST = 34.0, 1.5


class _Box(NamedTuple):
    """Something that calls or events pass, with where it stands."""

    title: str
    said: str
    look: str
    x: float
    y: float
    width: float


class _Link(NamedTuple):
    """A way from one box to another."""

    start: _Box
    end: _Box
    look: str


def flow_section(model: SessionModel) -> Markup:
    """Give the section."""
    if not model.flows:
        return el(
            "section",
            el("h2", "Flow"),
            el("p", "No tracking call was seen.", class_="card nothing"),
            id="flow",
        )
    lead = "From the pages to the collector, as wide as there are many."
    if model.counts.vendors:
        lead += f" {counted(model.counts.vendors, 'call')} went to the vendor's own hosts; behind the gateway they would go to the site's own name."
    return el(
        "section",
        el("h2", "Flow"),
        el("p", lead, class_="lead"),
        el(
            "div",
            el("div", _picture(model), class_="scroll", tabindex="0", role="group", aria_label="Flow"),
            _hosts(model.hosts),
            class_="card picture",
        ),
        id="flow",
    )


def _picture(model: SessionModel) -> Markup:
    pages, hosts = Counter[str](), Counter[tuple[str, bool]]()
    for flow in model.flows:
        pages[flow.page] += flow.calls
        hosts[flow.host, flow.is_vendors] += flow.calls
    page_keys, host_keys = _most(pages, _MOST_PAGES), _most(hosts, _MOST_HOSTS)
    height = _TOP + max(len(page_keys), len(host_keys), 4) * (_HEIGHT_OF_A_BOX + _GAP)
    outcomes, events = model.counts.outcomes, model.counts.events
    page_of = _column(
        "pages", height, [(key, _short(key), counted(number, "call"), "") for key, number in page_keys]
    )
    host_of = _column("hosts", height, [(key, *_host_box(key, number)) for key, number in host_keys])
    fate_of = _column(
        "fates",
        height,
        [(key, key, counted(number, "event"), key if number else "zero") for key, number in outcomes.items()],
    )
    ours = _column("gateway", height, [("", "gateway", counted(events, "event"), "ours")])
    last = _column("collector", height, [("", "collector", counted(outcomes["accepted"], "event"), "ours")])
    links: Counter[_Link] = Counter()
    for flow in model.flows:
        host = host_of.get((flow.host, flow.is_vendors), host_of.get(None))
        page = page_of.get(flow.page, page_of.get(None))
        if page is not None and host is not None:
            links[_Link(page, host, "vendor" if flow.is_vendors else "")] += flow.calls
            links[_Link(host, ours[""], "vendor" if flow.is_vendors else "")] += flow.calls
    ribbons = list(_ribbons(links))
    fates: Counter[_Link] = Counter(
        {_Link(ours[""], box, box.look): outcomes[key] for key, box in fate_of.items() if outcomes[key]}
    )
    if outcomes["accepted"]:
        fates[_Link(fate_of["accepted"], last[""], "accepted")] = outcomes["accepted"]
    ribbons += _ribbons(fates)
    heads = (
        el("text", title, x=_COLUMNS[name][0], y=16, class_="s b")
        for name, title in (
            ("pages", "pages"),
            ("hosts", "tracking hosts"),
            ("fates", "what becomes of the events"),
        )
    )
    boxes = (_drawn(box) for column in (page_of, host_of, ours, fate_of, last) for box in column.values())
    told = ", ".join(f"{number} {outcome}" for outcome, number in outcomes.items())
    return el(
        "svg",
        el("title", f"{counted(events, 'event')}: {told}"),
        *heads,
        *ribbons,
        *boxes,
        viewBox=f"0 0 {_WIDTH} {height + 2}",
        width=_WIDTH,
        height=height + 2,
        role="img",
        class_="fits",
    )


def _most(counts: Counter[Any], most: int) -> list[tuple[Any, int]]:
    """Give the most frequent with their numbers, and all others together under `None`."""
    kept = counts.most_common(most if len(counts) <= most else most - 1)
    others = counts.total() - sum(number for _, number in kept)
    return [*kept, (None, others)] if others else kept


def _short(page: str | None) -> str:
    if page is None:
        return "other pages"
    return page.removeprefix("https://").removesuffix("/") or "(unknown page)"


def _host_box(key: tuple[str, bool] | None, number: int) -> tuple[str, str, str]:
    if key is None:
        return "other hosts", counted(number, "call"), ""
    host, is_vendors = key
    whose = ", the vendor's" if is_vendors else ""
    return (
        host,
        f"{counted(number, 'call')}{whose}",
        "vendor" if is_vendors else "",
    )


def _column(name: str, height: float, boxes: Sequence[tuple[Any, str, str, str]]) -> dict[Any, _Box]:
    """Give the boxes of a column by their keys, in the middle of its height."""
    x, width = _COLUMNS[name]
    step = _HEIGHT_OF_A_BOX + _GAP
    y = _TOP + (height - _TOP - len(boxes) * step + _GAP) / 2
    return {
        key: _Box(title, said, look, x, y + index * step, width)
        for index, (key, title, said, look) in enumerate(boxes)
    }


def _ribbons(links: Counter[_Link]) -> Iterator[Markup]:
    """Give the bands between boxes: those of one box one above the other, each as thick as its share of the busiest box."""
    going, coming = Counter[_Box](), Counter[_Box]()
    for link, number in links.items():
        going[link.start] += number
        coming[link.end] += number
    busiest = max((*going.values(), *coming.values()), default=1)
    left, right = (
        {box: box.y + (_HEIGHT_OF_A_BOX - _thick(number, busiest)) / 2 for box, number in each.items()}
        for each in (going, coming)
    )
    for link, number in sorted(links.items(), key=lambda each: (each[0].start.y, each[0].end.y)):
        thick = _thick(number, busiest)
        yield _ribbon(link, left[link.start], right[link.end], thick)
        left[link.start] += thick
        right[link.end] += thick


def _thick(number: int, busiest: int) -> float:
    return max(_THICKEST * number / busiest, _THINNEST)


def _ribbon(link: _Link, left: float, right: float, thick: float) -> Markup:
    x0, x1 = link.start.x + link.start.width, link.end.x
    middle = (x0 + x1) / 2
    there = f"M{x0:g} {left:.1f}C{middle:g} {left:.1f} {middle:g} {right:.1f} {x1:g} {right:.1f}"
    back = f"V{right + thick:.1f}C{middle:g} {right + thick:.1f} {middle:g} {left + thick:.1f} {x0:g} {left + thick:.1f}Z"
    return el("path", d=f"{there}{back}", class_=f"flow {link.look}".strip())


def _drawn(box: _Box) -> Markup:
    longest = int((box.width - 20) / 7)
    return el(
        "g",
        el(
            "rect",
            x=box.x + 0.5,
            y=box.y + 0.5,
            width=box.width,
            height=_HEIGHT_OF_A_BOX,
            rx=9,
            class_=f"box {box.look}".strip(),
        ),
        el("title", box.title),
        el("text", cut(box.title, longest), x=box.x + 11, y=box.y + 20, class_="b"),
        el("text", box.said, x=box.x + 11, y=box.y + 37, class_="s"),
    )


def _hosts(hosts: Sequence[HostRow]) -> Markup:
    """Give how the hosts have answered, as a list."""
    return el(
        "details",
        el("summary", "How the hosts have answered"),
        el("ol", *(el("li", el("b", each.host), f": {_answers(each)}") for each in hosts)),
        class_="tell",
    )


def _answers(host: HostRow) -> str:
    words = {"none": "without an answer that was seen", "failed": "failed"}
    said = ", ".join(f"{number:,} {words.get(status, status)}" for status, number in host.statuses.items())
    times = (
        f"; half within {host.median_ms:,} ms, all within {host.slowest_ms:,} ms" if host.slowest_ms else ""
    )
    return f"{counted(host.calls, 'call')}: {said}{times}"
