"""The customer's addresses in an event: found, normalised, and held against each other.

What always holds: of an event at most `MOST` addresses count, in the order of the settings; an address that is a placeholder is
none; two objects that describe a customer by different addresses are told apart, unless each says which customer it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.events.addresses import field_kind
from gateway.events.hashing import is_hash
from gateway.events.protection import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from gateway.events.addresses import Addresses, FieldKind
    from gateway.events.places import Place

MOST = 8
"""Addresses of one event that count: a customer has two or three; what a hostile page adds would only cost."""
_MOST_CUSTOMERS = 64


class Address(NamedTuple):
    """One of the customer's addresses: the field and the object it stood in, its kind, its one spelling, and as it was given."""

    field: str
    path: str
    kind: FieldKind
    normal: str
    given: str


class AddressBook:
    """Reads the addresses that the settings name: those of `derive_cid_from` first, in its order."""

    def __init__(
        self, fields: Sequence[str], addresses: Addresses, is_placeholder: Callable[[str], bool]
    ) -> None:
        self._fields = tuple((name, field_kind(name)) for name in dict.fromkeys(fields))
        self._addresses = addresses
        self._is_placeholder = is_placeholder

    def read(self, customers: Sequence[Place]) -> list[Address]:
        """Give the addresses of the objects that describe a customer, each once, at most `MOST`."""
        found: dict[tuple[str, str, str], Address] = {}
        distinct: set[tuple[str, str]] = set()
        for each in self._all(customers):
            distinct.add((each.kind, each.normal))
            found.setdefault((each.path, each.kind, each.normal), each)
            if len(distinct) == MOST:
                break
        return list(found.values())

    def _all(self, customers: Sequence[Place]) -> Iterator[Address]:
        for name, kind in self._fields:
            for customer in customers[:_MOST_CUSTOMERS]:
                value = text_of(customer.holder.get(name))
                normal = None if value is None else self._normal(name, kind, value)
                if value is not None and normal is not None:
                    yield Address(name, customer.path, kind, normal, value)

    def _normal(self, name: str, kind: FieldKind, value: str) -> str | None:
        stripped = value.strip()
        if kind != "text" and is_hash(stripped):
            hashed = stripped.lower()
            return None if self._is_placeholder(hashed) else hashed
        normal = self._addresses.normalise(kind, value)
        if normal is None or self._is_placeholder(normal):
            return None
        # With its name: the number 12345 of one system is not the number 12345 of another.
        return f"{name}:{normal}" if kind == "text" else normal


def two_people(addresses: Sequence[Address], named: Container[str]) -> tuple[str, str] | None:
    """Give the paths of two objects whose addresses say that they are two customers, or `None`.

    Two e-mails or two phones in two objects are two people's, where at least one of the objects is not among `named`: those say
    which customer they are, and agree. A hash and an address can't be compared, nor can two kinds of hash.
    """
    seen: dict[tuple[str, int], Address] = {}
    for each in addresses:
        if each.kind == "text":
            form = (each.field, 0)
        else:
            form = (each.kind, len(each.normal) if is_hash(each.normal) else 0)
        first = seen.setdefault(form, each)
        if first.path == each.path or first.normal == each.normal:
            continue
        if first.path not in named or each.path not in named:
            return first.path, each.path
    return None
