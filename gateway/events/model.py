"""The records that travel through the pipeline, from a request's head to a reply.

They are plain values: nothing here opens, reads a clock or decides. `Event.fields` is the one part that the steps of the
pipeline change in place, because each event owns the object that was freshly decoded for it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Literal

import msgspec

JsonObject = dict[str, Any]
# The parts of a UUIDv7: the random bits stand in two pieces, with the variant between them.
_VERSION_AND_VARIANT = (0x7 << 76) | (0b10 << 62)
_LOW_BITS = (1 << 62) - 1
_HIGH_BITS = 0xFFF << 62
_MILLISECONDS = tuple(f".{number:03d}Z" for number in range(1000))


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a request says before its body, in valid Unicode; absent headers are empty text.

    `path` and `query` are as they came, still percent-encoded; `peer` is the address of the TCP peer, `forwarded_for` the
    raw value of the header that `server.client_address_header` names: whether it is believed is the pipeline's decision. `fetch_site`, `fetch_mode` and
    `fetch_dest` are what the browser says of where a request came from and what for (`Sec-Fetch-…`: W3C Fetch Metadata). `named` are those of
    the headers that the settings ask for (`Pipeline.wanted_headers`) that are there, by their names in lower case.
    """

    method: str
    path: str
    query: str = ""
    peer: str = ""
    host: str = ""
    origin: str = ""
    referer: str = ""
    user_agent: str = ""
    accept_language: str = ""
    accept_encoding: str = ""
    if_none_match: str = ""
    content_type: str = ""
    content_encoding: str = ""
    authorization: str = ""
    asked_headers: str = ""
    asks_private_network: str = ""
    cookie: str = ""
    forwarded_for: str = ""
    fetch_site: str = ""
    fetch_mode: str = ""
    fetch_dest: str = ""
    named: dict[str, str] = {}


class Request(msgspec.Struct, frozen=True):
    """One HTTP request, as any transport hands it to the pipeline."""

    head: Head
    body: bytes = b""


class Stamp(msgspec.Struct, frozen=True):
    """The moment of a request and the randomness it may use: the pure core's clock and dice.

    `now_ms` is Unix time in milliseconds, `entropy` a fresh random integer of 160 bits.
    """

    now_ms: int
    entropy: int

    def event_id(self, index: int) -> str:
        """Give the id of the `index`-th event of this request: a UUIDv7 (RFC 9562, section 5.7).

        Ids of one request rise with `index`: the low bits are a counter added to the random part, as section 6.2,
        method 2, allows.
        """
        random_bits = self.entropy + index
        value = (
            ((self.now_ms & 0xFFFFFFFFFFFF) << 80)
            | _VERSION_AND_VARIANT
            | ((random_bits & _HIGH_BITS) << 2)
            | (random_bits & _LOW_BITS)
        )
        text = value.to_bytes(16, "big").hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def fresh_uid(self, index: int = 0) -> str:
        """Give a new anonymous id: a positive integer of at most 63 bits as decimal text, like the CDP's own.

        Those of one request differ by `index`.
        """
        # Bits that no event id shows: a UID can't be computed from an id that was seen in a log.
        bits = self.entropy >> 80
        if index:
            bits = int.from_bytes(sha256(f"{self.entropy}/{index}".encode()).digest()[:8], "big")
        return str(bits & ((1 << 63) - 1) or 1)

    @property
    def received_at(self) -> str:
        """The moment as RFC 3339 text in UTC, to the millisecond."""
        return _second(self.now_ms // 1000) + _MILLISECONDS[self.now_ms % 1000]


@lru_cache(16)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """What an event says of its user: this UID, in this portal, belongs to this CID (or to nobody yet).

    `same` are other CIDs that are proved to name the same customer (the hash of the same address written otherwise, or under
    an older key): where one of them is known already, it stays. `keys` are hashes of the addresses that came with the CID;
    the ledger remembers with which CID each came first. `proved_keys` are those of `keys` and `older_keys` of which the CID itself is a hash: that
    somebody else came with such an address first is told, but keeps nobody out. `older_keys` are the same addresses under keys that were rotated out:
    looked for, never written. `holds_alias`: an address that is known with another customer's CID keeps this claim from being bound.
    """

    portal_id: str
    uid: str
    cid: str | None = None
    same: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    older_keys: tuple[str, ...] = ()
    proved_keys: tuple[str, ...] = ()
    holds_alias: bool = False
    event_id: str = ""


class Alias(msgspec.Struct, frozen=True):
    """An address (`key`, a hash) that first came with another customer's CID (`cid`) than it does now.

    `is_proved`: the CID that it comes with now is a hash of it.
    """

    key: str
    cid: str
    is_proved: bool = False


class Binding(msgspec.Struct, frozen=True):
    """What the ledger answers to a claim: the CID that the UID has (`None`: unbound), and whether it is new.

    `is_erased`: the UID was erased on a person's request and can't be bound again. `aliases` are the addresses of the claim that
    first came with another customer. `known_cid` is the CID with which the claim's own addresses are known, where that is not `cid`: then the two
    are two customers.
    """

    cid: str | None = None
    is_new: bool = False
    is_erased: bool = False
    aliases: tuple[Alias, ...] = ()
    known_cid: str | None = None


UNBOUND = Binding()
"""The answer for a UID that nobody has claimed yet."""

AuditKind = Literal["bind", "import", "conflict", "repair", "alias", "release", "erase"]


class AuditNote(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to an identity, as the audit log keeps it; hashes and ids only, never a raw address.

    `cid` is the one that holds (bound, right, first), `other` the one that does not (claimed, wrong or the word `raw`, second).
    `note` is one short text: how a conflict was resolved, which address key an alias is about, why somebody was erased.
    """

    kind: AuditKind
    portal_id: str
    uid: str
    cid: str = ""
    other: str = ""
    note: str = ""
    event_id: str = ""


class Record(msgspec.Struct, frozen=True, array_like=True):
    """An accepted event as the spool keeps it and the forwarder sends it.

    `query` is the collector's query string without `?`, `body` the JSON body, both as they go on the wire; `client_ip` and
    `user_agent` are the visitor's, as the policy leaves them, `cookie` those of the visitor's cookies that the collector may see. `accepted_ms`
    is Unix time in milliseconds. `appended_ns` is when it went into a spool, in nanoseconds; 0 until then (`gateway.events.packing`).
    """

    event_id: str
    portal_id: str
    prop_id: str
    uid: str
    accepted_ms: int
    query: str
    body: bytes
    client_ip: str = ""
    user_agent: str = ""
    cookie: str = ""
    # The last one, for `gateway.events.packing`.
    appended_ns: int = 0


class QuarantineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """An event that waits for a person: what it is, why it waits, and the record that a release would forward.

    `reason` is a `Reason`'s text, `detail` one sentence without any raw identity, `held_ms` Unix time in milliseconds.
    """

    event_id: str
    portal_id: str
    prop_id: str
    uid: str
    reason: str
    detail: str
    held_ms: int
    claimed_cid: str | None = None
    bound_cid: str | None = None
    record: Record


class Answer(msgspec.Struct, frozen=True, array_like=True):
    """The collector's answer to one record; `retry_after` is the raw header.

    `headers`, in order and with lower-case names, and `body` are there only where somebody waits for them, and only when they
    stayed within the bounds: both empty says that nothing was kept, or that there was nothing.
    """

    status: int
    retry_after: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


class Reply(msgspec.Struct, frozen=True):
    """An HTTP answer as plain values: status, headers in order, body."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
