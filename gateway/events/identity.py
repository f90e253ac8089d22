"""Who does an event say its user is: every place that names a customer, made one trustworthy claim.

What always holds after `Identities.identify`: at most one CID is claimed; every place that named it holds the same text;
no field with an identity policy other than `pass` or `hash_and_pass` holds a raw address; a value that two places contradict
each other about is never guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.events.address_book import Address, AddressBook, two_people
from gateway.events.addresses import Addresses
from gateway.events.hashing import Hasher, is_hash
from gateway.events.keyring import Keyring
from gateway.events.mentions import Mentions
from gateway.events.outcome import Reason, Rejection
from gateway.events.placeholders import placeholders
from gateway.events.places import Place, cid_places, customers, names_nobody
from gateway.events.protection import Protection
from gateway.events.stripping import strip

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.events.addresses import FieldKind
    from gateway.events.model import JsonObject
    from gateway.settings import Identity
    from gateway.settings_types import HashName

_MAX_CID = 256
_MAX_DETAIL = 500
_MOST_SPELLINGS = 4


class Repair(NamedTuple):
    """A CID that was replaced by the right one: the wrong hash (a raw address only as the word `raw`), and the right one."""

    wrong: str
    right: str


class _Claim(NamedTuple):
    """Whom an event names: the CID, its repair, and the addresses that it is a hash of."""

    cid: str
    repair: Repair | None
    basis: list[Address]


class Identified(msgspec.Struct, frozen=True):
    """What identification found: the claimed CID and how it came to be, or why the event can't be taken as it is.

    `same` are other hashes of the address that the CID is a hash of. `keys` and `older_keys` stand for the customer's addresses
    in the ledger, `proved_keys` for those that the CID is a hash of. `rejection` is a contradiction (to quarantine) or a CID of a wrong type (malformed). `placeholders` are the
    places that held `undefined` and the like, `unreadable` the address fields that could be hashed only as they stood.
    `proof` tells of another CID whether it is a hash of an address that the claim rests on; it keeps the address to itself.
    """

    cid: str | None = None
    is_derived: bool = False
    repair: Repair | None = None
    rejection: Rejection | None = None
    placeholders: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    older_keys: tuple[str, ...] = ()
    proved_keys: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    proof: Callable[[str], bool] | None = None

    def names(self, cid: str, *, is_known_otherwise: bool = False) -> bool:
        """Tell whether this CID names the claimed customer: it is the claimed one, or proved to be the same person's.

        `is_known_otherwise`: the ledger knows the customer's address with another CID, so a shared second address proves nothing.
        """
        if cid == self.cid or cid in self.same:
            return True
        return self.proof is not None and not (self.is_derived and is_known_otherwise) and self.proof(cid)

    def __repr__(self) -> str:
        return f"Identified(cid={self.cid!r}, is_derived={self.is_derived}, rejection={self.rejection!r})"


_NOBODY = Identified()


class Identities:
    """Finds, checks and protects identity in events; compiled once from the settings."""

    def __init__(self, identity: Identity) -> None:
        keyring = Keyring([key.get_secret_value() for key in identity.hash_keys])
        self._is_keyed = bool(keyring)
        self._cids = Hasher(identity.cid_hash, keyring)
        hashes: tuple[HashName, ...] = ("md5", "sha256", "hmac-sha256") if keyring else ("md5", "sha256")
        self._others = tuple(Hasher(name, keyring) for name in hashes if name != identity.cid_hash)
        self._addresses = Addresses(
            identity.default_region,
            gmail_dots=identity.gmail_dots,
            plus_tags=identity.plus_tags,
            keyring=keyring,
        )
        self._verify = identity.verify
        self._placeholders = placeholders(identity.placeholder_cids)
        self._protection = Protection(
            identity,
            self._addresses,
            Hasher(identity.field_hash, keyring),
            self.opaque_uid,
            self.is_placeholder,
        )
        self._derived_from = tuple(identity.derive_cid_from)
        known = dict.fromkeys([*self._derived_from, *identity.field_policies])
        self._book = AddressBook(list(known), self._addresses, self.is_placeholder)
        self.mentions_fields = Mentions({*self._protection.names, *known})
        self.protect = self._protection.protect
        self.protect_parameters = self._protection.protect_parameters
        self.is_identity = self._protection.is_identity

    def opaque_uid(self, value: str) -> str:
        """Give a UID without a raw identity in it: a UID that is an e-mail address or a phone is replaced by its hash."""
        raw = self._addresses.raw_identity(value)
        return self._cids.hash(raw) if raw is not None else value

    def is_raw(self, value: str) -> bool:
        """Tell whether an opaque text is a raw e-mail address or phone number."""
        return self._addresses.raw_identity(value) is not None

    def is_placeholder(self, value: str) -> bool:
        """Tell whether an id is what pages send when they have none: `undefined`, `null`, the hash of nothing."""
        return value.strip().lower() in self._placeholders

    def strip(self, fields: JsonObject, identified: Identified, *ids: str) -> None:
        """Take every identity out of an event, in place: it goes out as nobody's. `ids` are its UIDs and CIDs besides the claimed."""
        wrong = identified.repair.wrong if identified.repair is not None else ""
        strip(fields, {identified.cid or "", *identified.same, wrong, *ids}, self._protection.is_identity)

    def identify(self, fields: JsonObject, *, may_hold_fields: bool) -> Identified:
        """Find whom the event names, repair and unify it in place, and apply each identity field's policy in place.

        `may_hold_fields` is what `mentions_fields` said of the text that the event was read from.
        """
        if not may_hold_fields:
            if names_nobody(fields):
                return _NOBODY
            # A phone number without a plus shows nothing in the text; ids are looked at wherever there is a customer.
            may_hold_fields = True
        found = list(customers(fields))
        addresses = self._book.read(found) if may_hold_fields else []
        identified = self._claim(fields, found, addresses)
        if may_hold_fields:
            unreadable = self._protection.protect(fields)
            if unreadable:
                return msgspec.structs.replace(identified, unreadable=unreadable)
        return identified

    def _claim(self, fields: JsonObject, found: list[Place], addresses: list[Address]) -> Identified:
        named: list[tuple[Place, str]] = []
        nothing: list[str] = []
        for place in cid_places(fields, found):
            value = _cid_text(place)
            if isinstance(value, Rejection):
                return Identified(rejection=value)
            if not self.is_placeholder(value):
                named.append((place, value.strip()))
            elif value.strip():
                # Left standing, `undefined` would make one customer of all who were signed out.
                place.holder[place.key] = ""
                nothing.append(place.path)
        claim = self._named(named, addresses) if named else self._derived(addresses)
        if isinstance(claim, Rejection):
            return Identified(rejection=claim)
        if claim is None:
            return Identified(placeholders=tuple(nothing)) if nothing else _NOBODY
        # Where the page named nobody, an address is the customer: each of hers may be the one that the UID was bound by. But only
        # the one that gave the CID speaks for other devices: a family may share a phone.
        speaking = claim.basis if named else [each for each in addresses if each.path == claim.basis[0].path]
        keys, older_keys = self._keys(addresses)
        proved = self._keys(claim.basis)
        return Identified(
            claim.cid,
            not named,
            claim.repair,
            placeholders=tuple(nothing),
            same=self._same(claim),
            keys=keys,
            older_keys=older_keys,
            proved_keys=proved[0] + proved[1],
            places=tuple(place for place, _ in named),
            proof=(lambda other: self._is_hash_of_any(other, speaking)) if speaking else None,
        )

    def _named(self, named: list[tuple[Place, str]], addresses: list[Address]) -> _Claim | Rejection:
        """Give the one customer that all places name, and write the right CID into each; or say that they are several."""
        paths = [place.path for place, _ in named]
        texts = dict.fromkeys(value.lower() if is_hash(value) else value for _, value in named)
        two = two_people(addresses, {path.rpartition(".")[0] for path in paths})
        # One customer hashed in four ways is a sloppy page; more are not looked at one by one.
        if two is None and len(texts) <= _MOST_SPELLINGS:
            found = {value: self._canonical(value, addresses) for value in texts}
            cids = {each.cid for each in found.values()}
            if len(cids) == 1:
                for place, _ in named:
                    place.holder[place.key] = next(iter(cids))
                repair = next((each.repair for each in found.values() if each.repair is not None), None)
                basis = [address for each in found.values() for address in each.basis]
                return _Claim(cids.pop(), repair, basis)
            two = None
        for place, value in named:
            # It waits for a person, but never in the clear.
            raw = self._raw_address(value, addresses)
            place.holder[place.key] = value if raw is None else self._cids.hash(raw.normal)
        return _contradiction(two or paths)

    def _derived(self, addresses: list[Address]) -> _Claim | Rejection | None:
        two = two_people(addresses, ())
        return _contradiction(two) if two is not None else self._derive(addresses)

    def _canonical(self, cid: str, addresses: list[Address]) -> _Claim:
        """Give the right text of a CID (never raw, hashes in lower case), its repair, and the address that it is a hash of."""
        raw = self._raw_address(cid, addresses)
        if raw is not None:
            right = self._cids.hash(raw.normal)
            return _Claim(right, Repair("raw", right), [raw])
        if not self._verify or not is_hash(cid):
            return _Claim(cid, None, [])
        for each in addresses:
            if each.kind != "text" and self._cids.hash(each.normal) == cid:
                return _Claim(cid, None, [each])
        for each in addresses:
            if each.kind != "text" and self._addresses.is_same(cid, each.kind, each.given):
                right = self._cids.hash(each.normal)
                return _Claim(right, Repair(cid, right), [each])
        return _Claim(cid, None, [])

    def _raw_address(self, cid: str, addresses: list[Address]) -> Address | None:
        """Give the address that a CID is, in the clear; a bare number only where the event proves that it is a phone."""
        raw = self._addresses.raw_identity(cid)
        if raw is not None:
            kind: FieldKind = "email" if "@" in raw else "phone" if raw.startswith("+") else "text"
            return Address("cid", "", kind, raw, cid)
        for each in addresses:
            if each.kind == "phone" and self._addresses.phone(cid) == each.normal:
                return each
            if each.kind == "phone" and self._addresses.phone(f"+{cid}") == each.normal:
                return each
        return None

    def _same(self, claim: _Claim) -> tuple[str, ...]:
        hashes: dict[str, None] = {}
        for each in claim.basis:
            own = (self._cids.hash(each.normal), *self._cids.older(each.normal))
            hashes |= dict.fromkeys(own)
            if each.kind != "text":
                for other in self._others:
                    hashes |= dict.fromkeys((other.hash(each.normal), *other.older(each.normal)))
        if claim.repair is not None and claim.repair.wrong != "raw":
            hashes[claim.repair.wrong] = None
        hashes.pop(claim.cid, None)
        return tuple(hashes)

    def _is_hash_of_any(self, cid: str, basis: Iterable[Address]) -> bool:
        return any(
            self._cids.hash(each.normal) == cid
            or (each.kind != "text" and self._addresses.is_same(cid, each.kind, each.given))
            for each in basis
        )

    def _keys(self, addresses: list[Address]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        keys, older = dict[str, None](), dict[str, None]()
        for each in addresses:
            # A page that hashes addresses itself by SHA-256 means the same ones.
            is_key = len(each.normal) == 64 and is_hash(each.normal) and not self._is_keyed
            now, before = ((each.normal,), ()) if is_key else self._cids.address_keys(each.normal)
            keys |= dict.fromkeys(now)
            older |= dict.fromkeys(before)
        return tuple(keys), tuple(older)

    def _derive(self, addresses: list[Address]) -> _Claim | None:
        for each in addresses:
            if each.field not in self._derived_from:
                return None
            if each.kind == "text" or not is_hash(each.normal):
                return _Claim(self._cids.hash(each.normal), None, [each])
            # A page that hashes by itself as the CDP wants it has named the customer already.
            if self._cids.is_own(each.normal):
                return _Claim(each.normal, None, [each])
        return None


def _contradiction(paths: Sequence[str]) -> Rejection:
    detail = f"{' and '.join(dict.fromkeys(paths))} name different customers"
    return Rejection(Reason.CID_CONTRADICTION, paths[0], detail[:_MAX_DETAIL])


def _cid_text(place: Place) -> str | Rejection:
    value = place.holder[place.key]
    if value is None:
        return ""
    if isinstance(value, str) and len(value) <= _MAX_CID:
        if value.isprintable() or value.strip().isprintable():
            return value
        return Rejection(
            Reason.BAD_FIELD, place.path, "holds control characters: a customer id is plain text"
        )
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    detail = (
        f"is longer than {_MAX_CID} characters" if isinstance(value, str) else "must be text: a customer id"
    )
    return Rejection(Reason.BAD_FIELD, place.path, detail)
