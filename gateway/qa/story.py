"""The timeline of identities: which UIDs a browser had, one after another, whose they became, and what went wrong on the way.

    session = Session(settings, inner, checks(settings))
    …
    session.story.told()

What always holds: no raw identity stands in a story; its steps are in the order of the calls; what is no browser's (a server's events, links) is only counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from gateway.events.hashing import digest, is_hash
from gateway.events.outcome import Reason
from gateway.qa.browsers import Browser, Browsers
from gateway.qa.conflicts import conflict_of
from gateway.qa.sign_outs import SignOuts
from gateway.telemetry.redaction import redact

if TYPE_CHECKING:
    from gateway.qa.browsers import Seen
    from gateway.qa.calls import Call
    from gateway.qa.session import Examined, Sight
    from gateway.settings import Settings

StepKind = Literal[
    "appeared", "reset", "given", "changed", "back", "bound", "named", "repaired", "conflict", "contradiction", "sign_out"
]  # fmt: skip
WORDS: dict[StepKind, str] = {
    "appeared": "appears under this UID",
    "reset": "is reset: another UID from here on",
    "given": "has the UID that the gateway or the collector gave it",
    "changed": "has another UID, without a reset",
    "back": "goes back to a UID that a reset has ended",
    "bound": "becomes this customer",
    "named": "is named as this customer again",
    "repaired": "is named by another hash of the same address",
    "conflict": "is named as another customer",
    "contradiction": "is named as two customers in one event",
    "sign_out": "signs out",
}
"""What each step says of its visitor."""
_MOST_STEPS = 1_000
_SHORTEST_PHONE = 7


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a visitor's identity, at an event (from 0; -1: at the call itself).

    `uid` and `cid` are what holds from here on; in a conflict `cid` is the one that was claimed and `was` the one that the UID has, in a repair `was` is the
    wrong hash. Where the UID became another, `was` is the one before. `name` is the event's (`user / sign_in`).
    """

    kind: StepKind
    call: int
    event: int
    at_ms: int
    uid: str
    cid: str = ""
    was: str = ""
    name: str = ""


class Stay(msgspec.Struct, frozen=True, kw_only=True):
    """A visitor's time under one UID: from its first event to its last, `cid` the customer whose it became, empty for nobody yet.

    `begins` says how the visitor came to it, `events` counts those under it.
    """

    uid: str
    begins: StepKind
    first_call: int
    last_call: int
    first_ms: int
    last_ms: int
    events: int
    cid: str = ""


class Visitor(msgspec.Struct, frozen=True, kw_only=True):
    """One browser's story, from 1; stays follow one another, steps too. `steps_left_out` are those behind the first thousand."""

    number: int
    portal_id: str
    site: str
    stays: tuple[Stay, ...]
    steps: tuple[Step, ...]
    steps_left_out: int = 0


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """Everybody's story. `servers_events` came from servers, `others_events` are no browser's otherwise: links, images in mails, nobody's, refused."""

    visitors: tuple[Visitor, ...]
    servers_events: int = 0
    others_events: int = 0


class _Open(msgspec.Struct):
    """A visitor's story as far as it is told."""

    browser: Browser
    stays: list[Stay] = []
    steps: list[Step] = []
    left_out: int = 0


class Storyteller:
    """Listens to a session: `event` for each event, `passed` for each call that is not tracking, `heard` for each answer, in order."""

    def __init__(self, settings: Settings) -> None:
        self._browsers, self._sign_outs = Browsers(settings), SignOuts(settings)
        self._stories: dict[int, _Open] = {}
        self._servers = self._others = 0

    def event(self, sight: Sight) -> None:
        """Hear of an event."""
        seen = self._browsers.see(sight)
        if seen is None:
            is_servers = sight.prepared.envelope.is_s2s
            self._servers += is_servers
            self._others += not is_servers
            return
        story = self._stories.setdefault(seen.browser.number, _Open(seen.browser))
        self._uid(story, seen, sight)
        self._cid(story, seen, sight)
        if self._sign_outs.tracks(sight):
            self._step(story, sight, "sign_out", uid=seen.uid)

    def heard(self, examined: Examined) -> None:
        """Hear of an answer."""
        self._browsers.heard(examined)

    def passed(self, call: Call) -> None:
        """Hear of a call that is not tracking."""
        self._browsers.passed(call)
        browsers = self._browsers.at(call) if self._sign_outs.calls(call) else []
        for browser in browsers[:1]:
            story = self._stories[browser.number]
            step = Step(
                kind="sign_out", call=call.number, event=-1, at_ms=call.started_ms, uid=shown(browser.uid)
            )
            self._add(story, step)

    def told(self) -> Story:
        """Give the story so far."""
        visitors = tuple(
            Visitor(
                number=number,
                portal_id=redact(each.browser.portal_id),
                site=redact(each.browser.site),
                stays=tuple(each.stays),
                steps=tuple(each.steps),
                steps_left_out=each.left_out,
            )
            for number, each in sorted(self._stories.items())
        )
        return Story(visitors=visitors, servers_events=self._servers, others_events=self._others)

    def _uid(self, story: _Open, seen: Seen, sight: Sight) -> None:
        how: StepKind = "appeared" if seen.how in {"first", "same"} else seen.how  # type: ignore[assignment]  # the others are named alike
        uid = shown(seen.uid)
        if seen.how == "reset" and seen.reset is not None:
            # The reset itself ends the stay before; it comes under either of the two.
            new = shown(seen.browser.uid)
            self._step(story, sight, "reset", uid=new, was=shown(seen.was))
            if new:
                self._stay(story, sight, new, "reset")
            return
        if seen.how != "same":
            self._step(story, sight, how, uid=uid, was=shown(seen.was))
        self._stay(story, sight, uid, how)

    def _stay(self, story: _Open, sight: Sight, uid: str, begins: StepKind) -> None:
        """Lengthen the visitor's time under a UID, or begin it."""
        call = sight.call
        for at in range(len(story.stays) - 1, -1, -1):
            stay = story.stays[at]
            if stay.uid == uid and begins != "back":
                story.stays[at] = msgspec.structs.replace(
                    stay,
                    last_call=call.number,
                    last_ms=max(stay.last_ms, call.started_ms),
                    events=stay.events + 1,
                )
                return
        story.stays.append(
            Stay(
                uid=uid,
                begins=begins,
                first_call=call.number,
                last_call=call.number,
                first_ms=call.started_ms,
                last_ms=call.started_ms,
                events=1,
            )
        )

    def _cid(self, story: _Open, seen: Seen, sight: Sight) -> None:
        verdict, pending, uid = sight.verdict, sight.pending, shown(seen.uid)
        assert pending is not None
        identified = pending.identified
        if verdict.reason is Reason.CID_CONTRADICTION:
            self._step(story, sight, "contradiction", uid=uid)
        if identified.cid is None or identified.rejection is not None:
            return
        claimed = shown_cid(identified.cid)
        bound = conflict_of(sight)
        if bound is not None:
            self._step(story, sight, "conflict", uid=uid, cid=claimed, was=shown_cid(bound))
            return
        cid = shown_cid(verdict.cid or identified.cid)
        if verdict.is_new_binding or verdict.category == "user":
            # Events that merely carry the customer along would drown the others.
            self._step(story, sight, "bound" if verdict.is_new_binding else "named", uid=uid, cid=cid)
        if verdict.repair is not None:
            self._step(story, sight, "repaired", uid=uid, cid=cid, was=shown_cid(verdict.repair.wrong))
        for at, stay in enumerate(story.stays):
            if stay.uid == uid:
                story.stays[at] = msgspec.structs.replace(stay, cid=cid)

    def _step(
        self, story: _Open, sight: Sight, kind: StepKind, *, uid: str, cid: str = "", was: str = ""
    ) -> None:
        verdict, call = sight.verdict, sight.call
        name = redact(f"{verdict.category} / {verdict.action}")
        self._add(
            story,
            Step(
                kind=kind,
                call=call.number,
                event=sight.index,
                at_ms=call.started_ms,
                uid=uid,
                cid=cid,
                was=was,
                name=name,
            ),
        )

    def _add(self, story: _Open, step: Step) -> None:
        if len(story.steps) < _MOST_STEPS:
            story.steps.append(step)
        else:
            story.left_out += 1


def shown(uid: str) -> str:
    """Give a UID as it may be shown: opaque ids as they are, whatever their digits look like; an address was hashed before."""
    return uid if "@" not in uid and "+" not in uid[:1] else redact(uid)


def shown_cid(cid: str) -> str:
    """Give a CID as it may be shown: a hash as it is, a shop's own id masked as texts are; a number that may be a phone's as a word that tells it from others."""
    if is_hash(cid):
        return cid
    digits = "".join(each for each in cid if each.isdecimal())
    if len(digits) >= _SHORTEST_PHONE:
        return f"[number {digest(cid, 'sha256')[:4]}]"
    return redact(cid)
