"""Whether a held event names a person, wherever in it that is.

An event may name somebody though its UID and the CID that it was held for are another's or nobody's: one that contradicts itself, one
whose address came with a second CID, one that the collector would not take. So the record itself is looked through.

What always holds: a hash or an address counts wherever it stands, in either case, because nothing else looks like it. A customer number
such as `1001` counts only where an event names its customer: elsewhere it is a price or a product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import orjson

from gateway.events.hashing import is_hash

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gateway.events.model import Record

_CUSTOMER_KEYS = frozenset({"cid", "customer_id", "identify_id"})
_CUSTOMERS = "customers"


class Naming:
    """What names one person: `cids`, and `texts` (hashes of addresses, or normalised addresses, which stay in memory)."""

    def __init__(self, cids: Iterable[str], texts: Iterable[str] = ()) -> None:
        cids = [each for each in cids if each]
        self._numbers = frozenset(each for each in cids if not is_hash(each))
        everywhere = dict.fromkeys([*(each for each in cids if is_hash(each)), *texts])
        self._everywhere = [each.lower().encode("utf-8", "surrogatepass") for each in everywhere if each]

    def __bool__(self) -> bool:
        return bool(self._numbers or self._everywhere)

    def is_named_in(self, record: Record) -> bool:
        """Tell whether the event of a record names the person."""
        query = unquote(record.query).encode("utf-8", "surrogatepass")
        lowered = (query + b"\n" + record.body).lower()
        if any(text in lowered for text in self._everywhere):
            return True
        if not self._numbers:
            return False
        try:
            fields = orjson.loads(record.body)
        except orjson.JSONDecodeError:
            # No JSON: it names nobody whom the gateway would have understood.
            return False
        return self._is_named(fields, is_customer=False)

    def _is_named(self, value: Any, *, is_customer: bool) -> bool:
        """Look through a JSON value; `is_customer` says that it describes one, so that its `id` is a customer's."""
        if isinstance(value, list):
            return any(self._is_named(each, is_customer=is_customer) for each in value)
        if not isinstance(value, dict):
            return False
        is_customer = is_customer or value.get("type") == _CUSTOMERS
        for key, each in value.items():
            if isinstance(each, (dict, list)):
                if self._is_named(each, is_customer=key == _CUSTOMERS):
                    return True
            elif (key in _CUSTOMER_KEYS or (is_customer and key == "id")) and (
                isinstance(each, (str, int)) and str(each).strip() in self._numbers
            ):
                return True
        return False
