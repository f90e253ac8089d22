"""Who does an event say its user is: every place that names a customer, made one trustworthy claim.

What always holds after `Identities.identify`: at most one CID is claimed; every place that named it holds the same text;
no field with an identity policy other than `pass` or `hash_and_pass` holds a raw address; a value that two places contradict
each other about is never guessed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from gateway.events.addresses import Addresses, FieldKind, digest, field_kind, hash_of_kind, is_hash
from gateway.events.outcome import Reason, Rejection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.events.model import JsonObject
    from gateway.settings import Identity

_IDENTIFY_ACTIONS = frozenset({"sign_in", "sign_up", "identify"})
_MAX_CID = 256


class Repair(NamedTuple):
    """A CID that was replaced by the right one: the wrong hash (a raw address only as the word `raw`), and the right one."""

    wrong: str
    right: str


class Identified(msgspec.Struct, frozen=True):
    """What identification found: the claimed CID and how it came to be, or why the event can't be taken as it is.

    `rejection` is a contradiction (to quarantine) or a CID of a wrong type (malformed). `placeholders` are the places that
    held `undefined` and the like, `unreadable` the address fields that could be hashed only as they stood.
    """

    cid: str | None = None
    is_derived: bool = False
    repair: Repair | None = None
    rejection: Rejection | None = None
    placeholders: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()


class _Place(NamedTuple):
    """One place where a CID can stand: its path for people, and where to write the right one."""

    path: str
    holder: JsonObject
    key: str


_NOBODY = Identified()


class Identities:
    """Finds, checks and protects identity in events; compiled once from the settings."""

    def __init__(self, identity: Identity) -> None:
        self._policy = identity
        self._policies = {name.lower(): policy for name, policy in identity.field_policies.items()}
        self._kinds: dict[str, FieldKind] = {name: field_kind(name) for name in self._policies}
        # With the quote that ends a key: `utm_medium=email` is no field.
        self._needles = tuple(f'{name}"'.encode() for name in self._policies)
        self._addresses = Addresses(identity.default_region)
        words = [word.lower() for word in identity.placeholder_cids]
        self._placeholders = frozenset(
            [
                "",
                *words,
                *(digest(word, "md5") for word in ["", *words]),
                *(digest(word, "sha256") for word in ["", *words]),
            ]
        )

    def mentions_fields(self, body: bytes) -> bool:
        """Tell, cheaply, whether a JSON text can hold an identity field at all; escapes may hide a name, so they count."""
        lowered = body.lower()
        for needle in self._needles:
            if needle in lowered:
                return True
        return b"\\u" in lowered

    def opaque_uid(self, value: str) -> str:
        """Give a UID without a raw identity in it: a UID that is an e-mail address or a phone is replaced by its hash."""
        raw = self._addresses.raw_identity(value)
        return digest(raw, self._policy.cid_hash) if raw is not None else value

    def is_placeholder(self, value: str) -> bool:
        """Tell whether an id is what pages send when they have none: `undefined`, `null`, the hash of nothing."""
        return value.strip().lower() in self._placeholders

    def identify(self, fields: JsonObject, *, may_hold_fields: bool) -> Identified:
        """Find whom the event names, repair and unify it in place, and apply each identity field's policy in place.

        `may_hold_fields` is what `mentions_fields` said of the text that the event was read from.
        """
        if not may_hold_fields and _names_nobody(fields):
            return _NOBODY
        customers = list(_customers(fields))
        addresses = list(self._customer_addresses(customers)) if may_hold_fields else []
        identified = self._claim(fields, customers, addresses)
        if may_hold_fields:
            unreadable: list[str] = []
            self._protect(fields, unreadable)
            if unreadable:
                return msgspec.structs.replace(identified, unreadable=tuple(unreadable))
        return identified

    def protect_parameters(self, parameters: dict[str, str]) -> dict[str, str]:
        """Give query parameters with each identity field's policy applied: a ready-made link may carry `email=…`."""
        if not any(name.lower() in self._policies for name in parameters):
            return parameters
        protected: JsonObject = dict(parameters)
        self._protect(protected, [])
        return protected

    def _claim(
        self, fields: JsonObject, customers: list[_Place], addresses: list[tuple[FieldKind, str, str]]
    ) -> Identified:
        found: dict[str, str] = {}
        placeholders: list[str] = []
        repair: Repair | None = None
        for place in _cid_places(fields, customers):
            value = _cid_text(place)
            if isinstance(value, Rejection):
                return Identified(rejection=value)
            if not self.is_placeholder(value):
                found[place.path], mended = self._canonical(value, addresses)
                place.holder[place.key] = found[place.path]
                repair = repair or mended
            elif value.strip():
                # Left standing, `undefined` would make one customer of all who were signed out.
                place.holder[place.key] = ""
                placeholders.append(place.path)
        distinct = set(found.values())
        if len(distinct) > 1:
            detail = f"{' and '.join(found)} name different customers"
            return Identified(rejection=Rejection(Reason.CID_CONTRADICTION, next(iter(found)), detail))
        cid = distinct.pop() if distinct else self._derive(addresses)
        return Identified(cid, not found and cid is not None, repair, placeholders=tuple(placeholders))

    def _canonical(
        self, value: str, addresses: list[tuple[FieldKind, str, str]]
    ) -> tuple[str, Repair | None]:
        """Give the right text of a CID: never raw, hashes in lower case, and the hash of the address that came with it."""
        cid = value.strip()
        raw = self._addresses.raw_identity(cid) or next(
            (
                normal
                for kind, normal, _ in addresses
                if kind == "phone" and self._addresses.phone(cid) == normal
            ),
            None,
        )
        if raw is not None:
            right = digest(raw, self._policy.cid_hash)
            return right, Repair("raw", right)
        if not is_hash(cid):
            return cid, None
        cid = cid.lower()
        right = self._right_hash(cid, addresses) if self._policy.verify else cid
        return right, Repair(cid, right) if right != cid else None

    def _right_hash(self, cid: str, addresses: list[tuple[FieldKind, str, str]]) -> str:
        for _, normal, _ in addresses:
            if digest(normal, self._policy.cid_hash) == cid:
                return cid
        for kind, normal, given in addresses:
            if self._addresses.is_hash_of(cid, kind, given):
                return digest(normal, self._policy.cid_hash)
        return cid

    def _derive(self, addresses: list[tuple[FieldKind, str, str]]) -> str | None:
        for _, normal, _ in addresses:
            # A page that hashes by itself as the CDP wants it has named the customer already.
            if hash_of_kind(normal, self._policy.cid_hash):
                return normal.lower()
            if not is_hash(normal):
                return digest(normal, self._policy.cid_hash)
        return None

    def _customer_addresses(self, customers: list[_Place]) -> Iterator[tuple[FieldKind, str, str]]:
        """Give (kind, normalised, as given) of the customer's addresses, in the order of `derive_cid_from`."""
        for name in self._policy.derive_cid_from:
            for customer in customers:
                value = _text(customer.holder.get(name))
                if value is None:
                    continue
                kind = self._kinds[name.lower()]
                normal = value.strip() if is_hash(value.strip()) else self._addresses.normalise(kind, value)
                if normal is not None:
                    yield kind, normal, value

    def _protect(self, fields: JsonObject, unreadable: list[str]) -> None:
        holders: list[Any] = [fields]
        while holders:
            holder = holders.pop()
            if isinstance(holder, list):
                holders += [child for child in holder if isinstance(child, dict | list)]
                continue
            for key in list(holder):
                value = holder[key]
                if key.lower() in self._policies:
                    self._apply(holder, key, unreadable)
                if isinstance(value, dict | list):
                    holders.append(value)

    def _apply(self, holder: JsonObject, key: str, unreadable: list[str]) -> None:
        name = key.lower()
        policy, value = self._policies[name], holder[key]
        if policy == "drop":
            del holder[key]
        elif policy == "hash":
            if isinstance(value, list):
                holder[key] = [self._hashed(name, each, unreadable) for each in value]
            else:
                holder[key] = self._hashed(name, value, unreadable)
        elif policy == "hash_and_pass" and _text(value):
            holder.setdefault(f"{key}_sha256", self._hashed(name, value, unreadable))

    def _hashed(self, name: str, value: Any, unreadable: list[str]) -> Any:
        text = _text(value)
        if text is None or is_hash(text.strip()):
            return value
        kind = self._kinds[name]
        if self._addresses.normalise(kind, text) is None:
            unreadable.append(name)
        return self._addresses.hashed(kind, text, "sha256")


def attach(fields: JsonObject, cid: str) -> None:
    """Write the CID where the CDP looks for it, without replacing another: `cid` and `dims.customers.customer_id`."""
    if not fields.get("cid"):
        fields["cid"] = cid
    dims = fields.setdefault("dims", {})
    if isinstance(dims, dict):
        customer = dims.setdefault("customers", {})
        if isinstance(customer, dict) and not customer.get("customer_id"):
            customer["customer_id"] = cid


def _names_nobody(fields: JsonObject) -> bool:
    """Tell of the many events without a customer that they have none, in no time; `_cid_places` is the whole truth."""
    if fields.get("cid") or fields.get("dims"):
        return False
    extra = fields.get("extra")
    if extra and ("customer_id" in extra or "identify_id" in extra):
        return False
    return all(item.get("type") != "customers" for item in fields.get("items", ()))


def _customers(fields: JsonObject) -> Iterator[_Place]:
    """Give every object that describes the customer: `dims.customers`, also where `dims` is a list, and such items."""
    dims = fields.get("dims")
    if isinstance(dims, dict) and isinstance(dims.get("customers"), dict):
        yield _Place("dims.customers", dims["customers"], "customers")
    elif isinstance(dims, list):
        for index, each in enumerate(dims):
            if isinstance(each.get("customers"), dict):
                yield _Place(f"dims[{index}].customers", each["customers"], "customers")
            elif each.get("type") == "customers":
                yield _Place(f"dims[{index}]", each, "customers")
    for index, item in enumerate(fields.get("items") or ()):
        if item.get("type") == "customers":
            yield _Place(f"items[{index}]", item, "items")


def _cid_places(fields: JsonObject, customers: list[_Place]) -> Iterator[_Place]:
    """Give the places where a CID can stand; `docs/protocol.md` lists them."""
    if "cid" in fields:
        yield _Place("cid", fields, "cid")
    for customer in customers:
        if "customer_id" in customer.holder:
            yield _Place(f"{customer.path}.customer_id", customer.holder, "customer_id")
        if customer.key == "customers" and "id" in customer.holder:
            yield _Place(f"{customer.path}.id", customer.holder, "id")
    extra = fields.get("extra")
    if extra:
        if "customer_id" in extra:
            yield _Place("extra.customer_id", extra, "customer_id")
        # On old integrations `identify_id` may be a lead's or an account's id: a CID only in an identify event.
        if "identify_id" in extra and (
            (fields.get("ec") == "user" and fields.get("ea") in _IDENTIFY_ACTIONS)
            or extra.get("identify_type") == "exact"
        ):
            yield _Place("extra.identify_id", extra, "identify_id")
    yield from _purchases(fields.get("dims"))


def _purchases(dims: Any) -> Iterator[_Place]:
    if isinstance(dims, dict):
        purchase = dims.get("purchase")
        if isinstance(purchase, dict) and "customer_id" in purchase:
            yield _Place("dims.purchase.customer_id", purchase, "customer_id")
    elif isinstance(dims, list):
        for index, each in enumerate(dims):
            purchase = each.get("purchase") if isinstance(each.get("purchase"), dict) else each
            if (purchase is not each or each.get("type") == "purchase") and "customer_id" in purchase:
                yield _Place(f"dims[{index}].purchase.customer_id", purchase, "customer_id")


def _cid_text(place: _Place) -> str | Rejection:
    value = place.holder[place.key]
    if value is None:
        return ""
    if isinstance(value, str) and len(value) <= _MAX_CID:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    detail = (
        f"is longer than {_MAX_CID} characters" if isinstance(value, str) else "must be text: a customer id"
    )
    return Rejection(Reason.BAD_FIELD, place.path, detail)


def _text(value: Any) -> str | None:
    """Give an address field's value as text: numbers (a phone without its zero) as digits, anything else `None`."""
    if isinstance(value, str):
        return value if value.strip() else None
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value) if isinstance(value, int) else None
