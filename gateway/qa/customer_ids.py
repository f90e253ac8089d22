"""Customer ids as the vendor wants them: a hash of the normalised address, one for an event, and never another one for a UID.

What always holds: whom an event names, which hash is whose and what is a conflict is the gateway's judgement; a CID is quoted nowhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from gateway.events.hashing import is_hash, keyed_parts
from gateway.events.identity import Identities
from gateway.events.outcome import Reason
from gateway.events.places import cid_places, customers
from gateway.events.protection import text_of
from gateway.qa.conflicts import conflict_of
from gateway.qa.misspelling import Misspellings
from gateway.qa.reading import copied
from gateway.qa.session import Looks, found
from gateway.settings_types import HashName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.events.identity import Identified, Repair
    from gateway.qa.findings import Finding
    from gateway.qa.reading import Reader, Reading
    from gateway.qa.session import Sight
    from gateway.settings_qa import Severity

_Nature = Literal["raw", "nothing", "own"]
_SAYS: dict[_Nature, str] = {
    "raw": "a raw e-mail address or phone number; the gateway would send its hash",
    "nothing": "what pages send when they have no id, or its hash; the gateway would leave it out, or else all such visitors would be one customer",
    "own": "no hash, but an id of the shop's own; the gateway takes it as it is",
}
_FATES: dict[Reason, str] = {
    Reason.CID_CONFLICT: "the gateway holds the event back",
    Reason.NEW_UID: "the gateway sends the event on under another UID",
    Reason.IDENTITY_STRIPPED: "the gateway sends the event on as nobody's",
}


class CustomerIds(Looks):
    """Looks at the customer ids of each event."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._misspellings = Misspellings(reader.identity)
        self._bound: dict[tuple[str, str], int] = {}
        self._addresses: dict[tuple[str, str], int] = {}
        self._said: set[tuple[str, ...]] = set()

    def event(self, sight: Sight) -> Iterator[Finding]:
        """Look at one event."""
        reading = self._reader.read(sight)
        if reading is None or sight.verdict.reason is Reason.DUPLICATE:
            return
        yield from self._not_hash(sight, reading)
        yield from self._other_spelling(sight, reading)
        yield from self._contradiction(sight, reading)
        yield from self._changed(sight, reading)
        yield from self._alias(sight)
        self._remember(sight)

    def _not_hash(self, sight: Sight, reading: Reading) -> Iterator[Finding]:
        together: dict[tuple[_Nature, str], list[str]] = {}
        for path, text in _named(reading):
            if nature := self._nature(text, reading.identified):
                # `undefined` here and `null` there are one mistake.
                together.setdefault((nature, "" if nature == "nothing" else text), []).append(path)
        for (nature, _), (place, *others) in together.items():
            also = f"; also in {', '.join(others)}" if others else ""
            severity: Severity | None = "warning" if nature == "own" else None
            yield found(
                "cid-not-hash",
                sight.call.number,
                place,
                _SAYS[nature] + also,
                event=sight.index,
                severity=severity,
            )

    def _nature(self, text: str, identified: Identified) -> _Nature | None:
        """Tell what a CID is that is no hash; `None` for one that is, and for none."""
        if not text:
            return None
        if self._reader.identities.is_placeholder(text):
            return "nothing"
        if is_hash(text):
            return None
        # A bare number is a phone's where the event proves it.
        is_proved = identified.repair is not None and identified.repair.wrong == "raw"
        return "raw" if is_proved or self._reader.identities.is_raw(text) else "own"

    def _other_spelling(self, sight: Sight, reading: Reading) -> Iterator[Finding]:
        repair, late = reading.identified.repair, sight.verdict.repair
        call, identified = sight.call.number, reading.identified
        if repair is not None and repair.wrong != "raw":
            place = next(
                (path for path, text in _named(reading) if text.lower() == repair.wrong.lower()), "cid"
            )
            detail, severity = self._spelling(reading, repair)
            yield found("cid-of-other-spelling", call, place, detail, event=sight.index, severity=severity)
        elif late is not None and late.wrong != "raw" and not identified.is_derived:
            detail = "another hash of the same address than the UID was bound by; the gateway keeps the first"
            yield found(
                "cid-of-other-spelling",
                call,
                _place(reading),
                detail,
                event=sight.index,
                other=self._first_of(sight),
                severity="warning",
            )

    def _spelling(self, reading: Reading, repair: Repair) -> tuple[str, Severity | None]:
        """Say in which way a hash is another than the right one, and how grave that is."""
        if keyed_parts(repair.wrong) is not None:
            return "the hash under another key than the newest of identity.hash_keys", "warning"
        identity = self._reader.identity
        for name in get_args(HashName):
            if name == identity.cid_hash or (name == "hmac-sha256" and not identity.hash_keys):
                continue
            other = Identities(identity.model_copy(update={"cid_hash": name}))
            as_other = other.identify(copied(reading.original), may_hold_fields=True)
            if as_other.repair is None and as_other.cid == repair.wrong.lower():
                detail = f"the {name} of the normalised address, where identity.cid_hash is {identity.cid_hash}; the gateway would send another CID than the site does"
                return detail, "warning"
        written = self._misspellings.of(reading.original, repair.wrong)
        how = f" ({written})" if written else ""
        detail = f"the hash of another spelling{how} of the address that came with it; the gateway would send the right one"
        return detail, None

    def _contradiction(self, sight: Sight, reading: Reading) -> Iterator[Finding]:
        identified = sight.pending.identified if sight.pending is not None else reading.identified
        rejection = identified.rejection
        if rejection is not None and rejection.reason is Reason.CID_CONTRADICTION:
            yield found(
                "cid-contradiction", sight.call.number, rejection.field, rejection.detail, event=sight.index
            )

    def _changed(self, sight: Sight, reading: Reading) -> Iterator[Finding]:
        pending = sight.pending
        if pending is None or conflict_of(sight) is None:
            return
        uid = pending.conflict_uid or pending.came_with or pending.uid
        claim = (sight.prepared.envelope.portal_id, uid, pending.identified.cid or "")
        if claim in self._said:
            # The page goes on with it: that is the same change.
            return
        self._said.add(claim)
        fate = _FATES.get(sight.verdict.reason, "the gateway never changes a CID")
        detail = f"the UID belongs to another customer since an earlier event; {fate}"
        yield found(
            "cid-changed",
            sight.call.number,
            _place(reading),
            detail,
            event=sight.index,
            other=self._first_of(sight),
        )

    def _alias(self, sight: Sight) -> Iterator[Finding]:
        pending, portal_id = sight.pending, sight.prepared.envelope.portal_id
        if pending is None or pending.identified.proved_keys or conflict_of(sight) is not None:
            # A CID that is the hash of one address may share another: a family has one phone.
            return
        for alias in sight.verdict.aliases:
            pair = (portal_id, alias.key, pending.identified.cid or "")
            if alias.is_proved or pair in self._said:
                continue
            self._said.add(pair)
            first = self._addresses.get((portal_id, alias.key), 0)
            detail = "an address of this customer came before with another customer id, and this one is no hash of it"
            yield found(
                "cid-of-other-spelling",
                sight.call.number,
                "dims.customers",
                detail,
                event=sight.index,
                other=first if first != sight.call.number else 0,
                severity="warning",
            )

    def _remember(self, sight: Sight) -> None:
        """Remember in which call a UID and an address first came with a customer."""
        portal_id, verdict, pending = sight.prepared.envelope.portal_id, sight.verdict, sight.pending
        if verdict.is_new_binding:
            self._bound.setdefault((portal_id, verdict.uid), sight.call.number)
        if pending is not None:
            for key in pending.identified.keys:
                self._addresses.setdefault((portal_id, key), sight.call.number)

    def _first_of(self, sight: Sight) -> int:
        pending = sight.pending
        uid = (pending.conflict_uid or pending.came_with or pending.uid) if pending is not None else ""
        first = self._bound.get((sight.prepared.envelope.portal_id, uid), 0)
        return first if first != sight.call.number else 0


def _named(reading: Reading) -> Iterator[tuple[str, str]]:
    """Give each place of an event where a CID stands, and its text, trimmed."""
    for place in cid_places(reading.original, list(customers(reading.original))):
        text = text_of(place.holder[place.key])
        if text is not None:
            yield place.path, text.strip()


def _place(reading: Reading) -> str:
    """Give where an event names its customer: the first CID, else the customer whose address it is derived from."""
    named = next((path for path, _ in _named(reading)), "")
    return named or next((each.path for each in customers(reading.original)), "cid")
