"""What the name of a field says of its value: that an id stands there, a moment, a version or a place, whose digits are no phone number and no card.

What always holds: a name that speaks of a phone, a card or a person's papers is no id's, whatever it ends with.
"""

from __future__ import annotations

import re

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_IDS = frozenset(
    [
        "id",
        "ids",
        "uid",
        "uids",
        "aid",
        "cid",
        "sid",
        "uuid",
        "guid",
        "gid",
        "pid",
        "sku",
        "skus",
        "code",
        "codes",
        "barcode",
        "barcodes",
        "gtin",
        "gtin8",
        "gtin12",
        "gtin13",
        "gtin14",
        "ean",
        "ean13",
        "upc",
        "isbn",
        "asin",
        "mpn",
        "hash",
        "md5",
        "sha256",
        "key",
        "ref",
        "reference",
        "serial",
        "imei",
        "fingerprint",
        "et",
        "ts",
        "time",
        "utime",
        "timestamp",
        "date",
        "at",
        "ms",
        "lat",
        "lng",
        "lon",
        "latitude",
        "longitude",
        "ip",
        "version",
        "build",
        "token",
        "checksum",
        "etag",
        "gclid",
        "gbraid",
        "wbraid",
        "dclid",
        "fbclid",
        "ttclid",
        "msclkid",
        "zclid",
        "twclid",
        "yclid",
        "fbp",
        "fbc",
        "ga",
    ]
)
_NUMBERS = frozenset({"number", "numbers", "no", "num", "nr"})
_NUMBERED = frozenset(
    [
        "order",
        "orders",
        "invoice",
        "tracking",
        "transaction",
        "receipt",
        "booking",
        "ticket",
        "bill",
        "serial",
        "model",
        "part",
        "batch",
        "po",
        "shipment",
        "item",
        "product",
        "line",
        "case",
        "quote",
    ]
)
_PEOPLES = frozenset(
    [
        "phone",
        "phones",
        "mobile",
        "tel",
        "telephone",
        "msisdn",
        "sdt",
        "contact",
        "card",
        "cards",
        "national",
        "citizen",
        "identity",
        "passport",
        "ssn",
        "nric",
        "nik",
        "cccd",
        "cmnd",
        "mail",
        "email",
    ]
)


def is_id_name(name: str) -> bool:
    """Tell whether a field of this name holds an id, a moment or the like: `order_id`, `productSku`, `invoice-number`, `utime`."""
    words = [each.lower() for each in _WORDS.findall(name)]
    if words and words[-1].isdigit():
        words.pop()
    if not words or not _PEOPLES.isdisjoint(words):
        return False
    last = words[-1]
    return last in _IDS or (last in _NUMBERS and not _NUMBERED.isdisjoint(words))
