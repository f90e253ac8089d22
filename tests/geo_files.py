"""Databases of places for tests: made on the spot, or MaxMind's own (`tests/places`, from the source distribution of maxminddb, MIT)."""

from __future__ import annotations

from pathlib import Path

import mmdb_writer
from netaddr import IPSet

PLACES = Path(__file__).parent / "places"
CITY = PLACES / "GeoIP2-City-Test.mmdb"
LONDON = "81.2.69.160"


def make_database(path, records, *, name="Test-City", built=None, languages=("en",), ip_version=6):
    """Write a database of networks and their records, in one piece; gives its path."""
    writer = mmdb_writer.MMDBWriter(
        ip_version, name, list(languages), "for tests", ipv4_compatible=ip_version == 6
    )
    for network, record in records.items():
        writer.insert_network(IPSet([network]), record)
    new = path.with_suffix(".new")
    writer.to_db_file(str(new))
    if built is not None:
        content = new.read_bytes()
        mark = content.rindex(b"build_epoch") + len(b"build_epoch")
        # An unsigned integer of 64 bits: two bytes of type and length, then the number.
        length = content[mark] & 0x1F
        new.write_bytes(content[: mark + 2] + built.to_bytes(length, "big") + content[mark + 2 + length :])
    new.replace(path)
    return path
