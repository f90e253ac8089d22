"""Raw identity where it should not stand: in URLs, and in fields of which a hash should be sent.

What always holds: whether something is an address is the gateway's judgement (`gateway.qa.reading`): what it would hash, mask or leave out of an event is
found here. A customer id in the clear is another rule's (`cid-not-hash`), and so is not found twice. Where the site's own tracking name is called, the
gateway is what hashes the identity fields: there they may come raw, but for a URL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.events.addresses import field_kind
from gateway.events.forms import parse_query, parts_of
from gateway.events.places import cid_places, customers
from gateway.events.protection import text_of
from gateway.qa.session import Looks, found
from gateway.telemetry.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.events.model import JsonObject
    from gateway.qa.findings import Finding
    from gateway.qa.reading import Reader, Reading
    from gateway.qa.session import Sight
    from gateway.settings_qa import RuleId

_FIELDS = frozenset({"uid", "aid", "cid", "sid", "ec", "ea", "en", "et", "items", "dims", "extra", "context"})
_URL_NAMES = ("url", "uri", "href", "link", "referrer", "referer", "location", "path", "query")
_KINDS = {"email": "an e-mail address", "phone": "a phone number", "text": "an identity field's value"}
_MASKED = "mask it"
_POLICIES = {"hash": "send its hash", "mask": _MASKED, "drop": "leave it out"}
_MISSING = object()
_URL: RuleId = "raw-identity-in-url"
_FIELD: RuleId = "raw-identity-in-field"


class _Raw(NamedTuple):
    """Something raw: where, what, what the gateway would make of it, and the text itself, by which the same in another place is known.

    `is_policed`: it stands in a field that has an identity policy.
    """

    rule: RuleId
    place: str
    what: str
    fate: str
    text: str
    is_policed: bool = False


class RawIdentity(Looks):
    """Looks for raw identity in each event, in the query string it came with and in its page's address.

    `is_redirected`: the gateway takes also what was sent to the vendor's hosts.
    """

    def __init__(self, reader: Reader, *, is_redirected: bool = False) -> None:
        self._reader = reader
        self._is_redirected = is_redirected

    def event(self, sight: Sight) -> Iterator[Finding]:
        """Look at one event; at the first of a call also at the request itself."""
        raws: list[_Raw] = []
        reading = self._reader.read(sight)
        if reading is not None:
            in_query = _query_fields(sight)
            is_vendors = sight.known.is_vendors and not self._is_redirected
            for raw in self._fields(reading):
                if raw.place.partition(".")[0].partition("[")[0] in in_query:
                    raws.append(raw._replace(rule=_URL, place=f"query {raw.place}"))
                elif is_vendors or not raw.is_policed:
                    # Identity fields are the gateway's business where it is called; ids and texts are not.
                    raws.append(raw)
        if sight.index == 0:
            raws += self._query(sight)
            raws += self._referer(sight, raws)
        yield from _findings(sight, raws)

    def _fields(self, reading: Reading) -> Iterator[_Raw]:
        """Look at all that is in an event."""
        original, protected, masked, _ = reading
        if original != protected:
            places = cid_places(original, list(customers(original)))
            spared = {(id(each.holder), each.key) for each in places}
            if original.get("aid") == original.get("uid"):
                spared.add((id(original), "aid"))
            for name in original:
                yield from self._protected(original, protected, name, self._reader.shown(name), spared)
        yield from self._masked(protected, masked, "", "")

    def _protected(
        self, before: JsonObject, after: JsonObject, key: str, path: str, spared: set[tuple[int, str]]
    ) -> Iterator[_Raw]:
        """Find what stands raw in an identity field or in the place of an id, at every depth."""
        old, new = before[key], after.get(key, _MISSING)
        if old == new or (id(before), key) in spared:
            return
        if self._reader.identities.is_identity(key.strip()):
            if any(self._reader.is_raw(each) for each in _texts(old)):
                fate = _POLICIES.get(self._reader.policy(key), _MASKED)
                yield _Raw(_FIELD, path, _KINDS[field_kind(key)], fate, repr(old), is_policed=True)
        elif isinstance(old, dict) and isinstance(new, dict):
            for name in old:
                yield from self._protected(old, new, name, f"{path}.{self._reader.shown(name)}", spared)
        elif isinstance(old, list) and isinstance(new, list):
            for index, (mine, its) in enumerate(zip(old, new, strict=False)):
                holder, other = {"": mine}, {"": its}
                yield from self._protected(holder, other, "", f"{path}[{index}]", spared)
        elif isinstance(old, str) and self._reader.is_raw(old):
            what = " and ".join(self._reader.kinds(old)) or "an address"
            yield _Raw(_FIELD, path, what, "hash it, for it stands in the place of an id", repr(old))

    def _masked(self, old: Any, new: Any, path: str, key: str) -> Iterator[_Raw]:
        """Find what would be masked in texts, numbers and names, at every depth."""
        if old == new:
            return
        if isinstance(old, dict) and isinstance(new, dict):
            # Masking keeps their order; a name may be masked itself.
            for (name, mine), (other, its) in zip(old.items(), new.items(), strict=False):
                place = f"{path}.{self._reader.shown(other)}" if path else self._reader.shown(other)
                if name != other and (kinds := self._reader.kinds(name)):
                    yield _Raw(_FIELD, place, f"{' and '.join(kinds)} as a field's name", _MASKED, name)
                yield from self._masked(mine, its, place, name)
        elif isinstance(old, list) and isinstance(new, list):
            for index, (mine, its) in enumerate(zip(old, new, strict=False)):
                yield from self._masked(mine, its, f"{path}[{index}]", key)
        elif isinstance(old, str | int):
            kinds = self._reader.kinds(str(old))
            if kinds:
                yield _Raw(
                    _URL if _is_url(key, str(old)) else _FIELD, path, " and ".join(kinds), _MASKED, repr(old)
                )

    def _query(self, sight: Sight) -> Iterator[_Raw]:
        """Look at the parameters of the call that are no fields of its event."""
        for name, value in parse_query(sight.call.query).items():
            parts = parts_of(name)
            if name in _FIELDS or (parts is not None and parts[0] in _FIELDS):
                continue
            kinds = self._reader.parameter(name, value)
            if kinds:
                place = f"query {self._reader.shown(name)}"
                yield _Raw(_URL, place, " and ".join(kinds), "hash, mask or leave it out", value)

    def _referer(self, sight: Sight, before: list[_Raw]) -> Iterator[_Raw]:
        """Look at the address of the page that made the call, unless its event has told it already."""
        referer = sight.call.header("referer")
        if any(each.rule == _URL for each in before) or not self._reader.masking.holds(referer):
            return
        kinds = self._reader.kinds(referer)
        if kinds:
            yield _Raw(_URL, "header referer", " and ".join(kinds), _MASKED, referer)


def _findings(sight: Sight, raws: list[_Raw]) -> Iterator[Finding]:
    """Give a finding for each raw text; where the same stands in several places of an event, the first with the others named."""
    together: dict[tuple[RuleId, str], list[_Raw]] = {}
    for raw in raws:
        together.setdefault((raw.rule, raw.text), []).append(raw)
    for first, *others in together.values():
        also = f"; also in {', '.join(redact(each.place) for each in others)}" if others else ""
        detail = f"{first.what} in the clear; the gateway would {first.fate}{also}"
        is_requests = first.place == "header referer" or (
            first.place.startswith("query ")
            and first.place[6:].partition(".")[0].partition("[")[0] not in _FIELDS
        )
        yield found(
            first.rule,
            sight.call.number,
            redact(first.place),
            detail,
            event=-1 if is_requests else sight.index,
        )


def _query_fields(sight: Sight) -> frozenset[str]:
    """Give the fields of an event that came in its call's query string: all of a GET's, of a POST's those that its body does not have."""
    call = sight.call
    names = {(parts_of(name) or [name])[0] for name in parse_query(call.query)} & _FIELDS
    if call.method == "POST":
        names = {name for name in names if f'"{name}"'.encode() not in call.body}
    return frozenset(names)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _texts(each)
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif (text := text_of(value)) is not None:
        yield text


def _is_url(key: str, text: str) -> bool:
    return "://" in text or text.startswith(("/", "?")) or key.strip().lower().endswith(_URL_NAMES)
