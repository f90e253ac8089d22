"""Whom somebody means who types an id: one UID or customer, or everybody who is known by an address.

The same person may be known by several CIDs: by a hash of the address under the algorithm and key of today, under a key that was
rotated out, by another algorithm, of another spelling, or by a customer number that the address first came with. What always holds: a
raw address is used for hashing and comparing, and leaves this module only in `texts`, which are for comparing too: nobody prints,
logs or stores them.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, NamedTuple

from gateway.events.addresses import Addresses
from gateway.events.hashing import Hasher, is_hash
from gateway.events.keyring import Keyring

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gateway.events.addresses import FieldKind
    from gateway.ledger.contract import BoundUid, Ledger
    from gateway.settings import Settings
    from gateway.settings_types import HashName


class Customer(NamedTuple):
    """A CID, in one portal or all (`None`): a customer number that an address led to is meant in its portal alone."""

    portal_id: str | None
    cid: str


class Whom(NamedTuple):
    """Who is meant: `shown` is the id as it may be printed.

    `customers` and `uids` are those to look for (of an address also ones that nobody has), `texts` what else names the person in an event.
    """

    shown: str
    is_address: bool
    customers: list[Customer]
    uids: list[str]
    texts: list[str]

    def rows(self, ledger: Ledger, portal_id: str | None) -> tuple[list[BoundUid], list[BoundUid]]:
        """Give the rows that have one of the `uids`, and those of the `customers` besides."""
        as_uid = [row for uid in self.uids for row in ledger.find(uid, portal_id)]
        as_cid = [row for portal, cid in self.customers for row in ledger.uids_of(cid, portal)]
        return as_uid, [row for row in dict.fromkeys(as_cid) if row not in as_uid]


def whom(typed: str, loaded: Settings, ledger: Ledger, portal_id: str | None) -> Whom:
    """Give who is meant by an id that somebody typed, in one portal or all. Raises `LedgerUnavailable`."""
    identity = loaded.identity
    typed = typed.strip()
    keyring = Keyring([key.get_secret_value() for key in identity.hash_keys])
    addresses = Addresses(
        identity.default_region,
        gmail_dots=identity.gmail_dots,
        plus_tags=identity.plus_tags,
        keyring=keyring,
    )
    normal = addresses.raw_identity(typed)
    if normal is None:
        # Events and imports write a hash in lower case.
        cid = typed.lower() if is_hash(typed) else typed
        keys = ledger.known_keys(cid=cid, portal_id=portal_id) if cid else []
        return Whom(
            typed,
            is_address=False,
            customers=[Customer(portal_id, cid)],
            uids=[typed],
            texts=list(dict.fromkeys(each.key for each in keys)),
        )
    hasher = Hasher(identity.cid_hash, keyring)
    hashes = dict.fromkeys(_right(normal, hasher, keyring))
    kind: FieldKind = "email" if "@" in normal else "phone"
    wrong = [
        each
        for each in _wrong(addresses.other_spellings(kind, normal), keyring)
        if each not in hashes and addresses.is_same(each, kind, normal)
    ]
    hashes |= dict.fromkeys(each for each in wrong if ledger.uids_of(each, portal_id))
    uids = [each for each in (*hashes, *wrong) if ledger.find(each, portal_id)]
    customers = dict.fromkeys(Customer(portal_id, each) for each in hashes)
    keys_now, keys_before = hasher.address_keys(normal)
    for key in (*keys_now, *keys_before):
        for each in ledger.known_keys(key=key, portal_id=portal_id):
            if each.cid not in hashes:
                customers[Customer(each.portal_id, each.cid)] = None
    texts = dict.fromkeys([*hashes, *wrong, *keys_now, *keys_before, normal])
    for portal, cid in customers:
        texts |= dict.fromkeys(each.key for each in ledger.known_keys(cid=cid, portal_id=portal))
    return Whom(
        hasher.hash(normal),
        is_address=True,
        customers=list(customers),
        uids=list(dict.fromkeys(uids)),
        texts=list(texts),
    )


def _right(normal: str, hasher: Hasher, keyring: Keyring) -> Iterator[str]:
    """Give the hashes of an address as the gateway writes them, with the settings of today or others."""
    names: tuple[HashName, ...] = ("md5", "sha256", "hmac-sha256") if keyring else ("md5", "sha256")
    for each in (hasher, *(Hasher(name, keyring) for name in names)):
        yield each.hash(normal)
        yield from each.older(normal)


def _wrong(spellings: Sequence[str], keyring: Keyring) -> Iterator[str]:
    """Give the hashes that sites and imported ledgers may have made of the spellings of an address."""
    for spelling in spellings:
        data = spelling.encode("utf-8", "surrogatepass")
        yield hashlib.md5(data, usedforsecurity=False).hexdigest()
        yield hashlib.sha1(data, usedforsecurity=False).hexdigest()
        yield hashlib.sha256(data).hexdigest()
        for key in keyring:
            yield f"{key.id}:{hmac.digest(key.secret, data, 'sha256').hex()}"
