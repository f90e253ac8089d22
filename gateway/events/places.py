"""Where an event names its customer, and where its identity stands: finding, writing and removing it.

`docs/protocol.md` lists the places. Everything here reads and changes the event's own fields, which were decoded for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gateway.events.model import JsonObject

_IDENTIFY_ACTIONS = frozenset({"sign_in", "sign_up", "identify"})
ID_NAMES = frozenset(
    {"uid", "aid", "cid", "sid", "customer_id", "identify_id", "reset_uid", "generate_uid", "user_id"}
)  # fmt: skip
"""Names, in lower case, under which somebody's id stands, wherever it stands."""


class Place(NamedTuple):
    """One place where a CID can stand: its path for people, and where to write the right one."""

    path: str
    holder: JsonObject
    key: str


def names_nobody(fields: JsonObject) -> bool:
    """Tell of the many events without a customer that they have none, in no time; `cid_places` is the whole truth."""
    if fields.get("cid") or fields.get("dims") or str(fields.get("sid", "")).startswith("0"):
        return False
    extra = fields.get("extra")
    if extra and not ID_NAMES.isdisjoint(extra):
        return False
    for item in fields.get("items", ()):  # noqa: SIM110 -- of nearly every event: a generator would cost as much again
        if item.get("type") == "customers":
            return False
    return True


def customers(fields: JsonObject) -> Iterator[Place]:
    """Give every object that describes the customer: `dims.customers`, also where `dims` is a list, and such items."""
    dims = fields.get("dims")
    if isinstance(dims, dict):
        yield from _described("dims.customers", dims.get("customers"))
    elif isinstance(dims, list):
        for index, each in enumerate(dims):
            if "customers" in each:
                yield from _described(f"dims[{index}].customers", each["customers"])
            elif each.get("type") == "customers":
                yield Place(f"dims[{index}]", each, "customers")
    for index, item in enumerate(fields.get("items") or ()):
        if item.get("type") == "customers":
            yield Place(f"items[{index}]", item, "items")


def _described(path: str, value: Any) -> Iterator[Place]:
    if isinstance(value, dict):
        yield Place(path, value, "customers")
    elif isinstance(value, list):
        for index, each in enumerate(value):
            if isinstance(each, dict):
                yield Place(f"{path}[{index}]", each, "customers")


def cid_places(fields: JsonObject, found: Iterable[Place]) -> Iterator[Place]:
    """Give the places where a CID can stand; `found` are the event's `customers`."""
    if "cid" in fields:
        yield Place("cid", fields, "cid")
    for customer in found:
        if "customer_id" in customer.holder:
            yield Place(f"{customer.path}.customer_id", customer.holder, "customer_id")
        if customer.key == "customers" and "id" in customer.holder:
            yield Place(f"{customer.path}.id", customer.holder, "id")
    extra = fields.get("extra")
    if extra:
        if "customer_id" in extra:
            yield Place("extra.customer_id", extra, "customer_id")
        # On old integrations `identify_id` may be a lead's or an account's id: a CID only in an identify event.
        if "identify_id" in extra and (
            (_word(fields, "ec") == "user" and _word(fields, "ea") in _IDENTIFY_ACTIONS)
            or extra.get("identify_type") == "exact"
        ):
            yield Place("extra.identify_id", extra, "identify_id")
    yield from _purchases(fields.get("dims"))


def attach(fields: JsonObject, cid: str) -> None:
    """Write the CID where the CDP looks for it, without replacing another: `cid` and `dims.customers.customer_id`."""
    if not fields.get("cid"):
        fields["cid"] = cid
    dims = fields.setdefault("dims", {})
    if isinstance(dims, dict):
        customer = dims.setdefault("customers", {})
        if isinstance(customer, dict) and not customer.get("customer_id"):
            customer["customer_id"] = cid


def replace_uid(fields: JsonObject, old: str, new: str, cause: str) -> None:
    """Write another UID where the one that an event came with stands besides `uid`; of an erased one nothing may be left.

    `cause` is `Pending.cause`. The session goes too, unless the visitor is the same (`restored`): it is another person's, and would lead
    from the new UID to the old one.
    """
    if fields.get("aid") == old:
        fields["aid"] = new
    if cause != "restored":
        fields.pop("sid", None)
    if cause != "erased":
        return
    extra = fields.get("extra")
    if isinstance(extra, dict):
        for name in [name for name, value in extra.items() if value == old]:
            del extra[name]


def _word(fields: JsonObject, name: str) -> str:
    return str(fields.get(name, "")).strip().lower()


def _purchases(dims: Any) -> Iterator[Place]:
    if isinstance(dims, dict):
        purchase = dims.get("purchase")
        if isinstance(purchase, dict) and "customer_id" in purchase:
            yield Place("dims.purchase.customer_id", purchase, "customer_id")
    elif isinstance(dims, list):
        for index, each in enumerate(dims):
            purchase = each.get("purchase") if isinstance(each.get("purchase"), dict) else each
            if (purchase is not each or each.get("type") == "purchase") and "customer_id" in purchase:
                yield Place(f"dims[{index}].purchase.customer_id", purchase, "customer_id")
