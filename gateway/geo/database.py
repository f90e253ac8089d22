"""One database, opened: what it is, and where an address is by it.

What always holds: it is read from a copy of our own in memory. The C reader maps its file, and one that is written over while it is mapped (`cp` does
that) would end the process. A file that can't be read through to its records is refused as a whole. Look-ups raise nothing.
"""

from __future__ import annotations

import ipaddress
import os
import tempfile
from functools import lru_cache
from typing import TYPE_CHECKING

import maxminddb
import msgspec

from gateway.events.world import NOWHERE, Location
from gateway.geo.places import place_of

if TYPE_CHECKING:
    from gateway.settings_network import Geo

_CACHED = 16_384
_LONGEST = 64
# First octets behind which there are addresses that are nobody's on the internet: those are looked at closely.
_SUSPECT = frozenset(map(str, (0, 10, 100, 127, 169, 172, 192, 198, 203, *range(224, 256))))
_LARGEST_BYTES = 4 << 30
_PROBES = 512
# Of databases whose name says who publishes them; others have the licence that their user has agreed to.
_LICENCES = {
    "GeoLite2": "GeoLite2 End User License Agreement",
    "DBIP-": "CC BY 4.0",
    "ipinfo": "CC BY-SA 4.0",
}


class GeoUnusable(Exception):
    """A database can't be used: which file, why, and what would mend it."""

    def __init__(self, path: str, cause: str) -> None:
        super().__init__(f"geo.database {path} can't be used: {cause}")
        self.path = path
        self.cause = cause
        self.hint = "name a whole file in the MaxMind DB format (.mmdb), and put a new one in its place by renaming it"


class About(msgspec.Struct, frozen=True):
    """What a database says of itself. `built` is Unix time in seconds; `is_shipped`: it is the one that comes with the gateway."""

    name: str
    built: float
    licence: str
    languages: tuple[str, ...]
    is_shipped: bool = False


class Database:
    """A database in memory. Raises `GeoUnusable` for bytes that are none."""

    def __init__(self, path: str, content: bytes, geo: Geo, about: About | None = None) -> None:
        self._language, self._detail, self._coordinates = geo.language, geo.detail, geo.coordinates
        try:
            self._reader = _reader(content)
            metadata = self._reader.metadata()
            self._has_v6 = metadata.ip_version == 6
            self._probe()
        except (maxminddb.InvalidDatabaseError, OSError, ValueError, UnicodeDecodeError) as error:
            raise GeoUnusable(path, _cause(error, content)) from None
        self.about = about or About(
            str(metadata.database_type)[:80],
            float(metadata.build_epoch),
            next((text for mark, text in _LICENCES.items() if mark in metadata.database_type), ""),
            tuple(map(str, metadata.languages)),
        )
        self.locate = lru_cache(_CACHED)(self._locate)

    def _locate(self, text: str) -> Location:
        """Give where an address is; `NOWHERE` for a private one, an unknown one, and what is none."""
        if not text or len(text) > _LONGEST:
            return NOWHERE
        try:
            if ":" in text or text.partition(".")[0] in _SUSPECT:
                address = ipaddress.ip_address(text)
                address = getattr(address, "ipv4_mapped", None) or address
                if not address.is_global or (address.version == 6 and not self._has_v6):
                    return NOWHERE
                text = str(address)
            record = self._reader.get(text)
        except (ValueError, maxminddb.InvalidDatabaseError):
            return NOWHERE
        return place_of(record, self._language, self._detail, with_coordinates=self._coordinates)

    def _probe(self) -> None:
        """Look here and there: a file that was cut off or written over has holes. Raises what the reader raises."""
        for number in range(_PROBES):
            self._reader.get(ipaddress.IPv4Address((number * 8_388_593) % (1 << 32)))
            if self._has_v6:
                self._reader.get(ipaddress.IPv6Address((0x2000 << 112) + (number << 116) + (number << 100)))


def read_file(path: str, geo: Geo) -> Database:
    """Open the database of a file. Raises `GeoUnusable`."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 -- a setting's text
            size = os.fstat(file.fileno()).st_size
            if size > _LARGEST_BYTES:
                raise GeoUnusable(path, "it is larger than 4 GiB")
            content = file.read()
    except OSError as error:
        raise GeoUnusable(path, error.strerror or type(error).__name__) from None
    return Database(path, content, geo)


def _reader(content: bytes) -> maxminddb.Reader:
    if hasattr(os, "memfd_create"):
        descriptor, path = os.memfd_create("geo", os.MFD_CLOEXEC), ""
    else:
        descriptor, path = tempfile.mkstemp(suffix=".mmdb")
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(content)
        return maxminddb.open_database(path or f"/proc/self/fd/{descriptor}", maxminddb.MODE_MMAP_EXT)
    finally:
        os.close(descriptor)
        if path:
            os.unlink(path)  # noqa: PTH108 -- a name, as mkstemp gives it


def _cause(error: Exception, content: bytes) -> str:
    if not content:
        return "it is empty"
    if b"\xab\xcd\xefMaxMind.com" not in content[-131_072:]:
        return "it is no MaxMind DB, or only its beginning"
    return f"it is damaged ({type(error).__name__})"
