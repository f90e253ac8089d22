"""The database that comes with the gateway: countries alone, in the public domain, so that there is one without an account anywhere.

`data/country.mmdb.zst` is made by `make geo`; beside it stand what it is (`country.json`) and its licence.
"""

from __future__ import annotations

import sys
from importlib import resources
from typing import TYPE_CHECKING

import msgspec

from gateway.geo.database import About, Database

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from gateway.settings_network import Geo


class _Origin(msgspec.Struct):
    """What `make geo` notes of the database: `built` is Unix time in seconds, `package` where it came from."""

    name: str
    built: int
    licence: str
    package: str


def open_shipped(geo: Geo) -> Database:
    """Open it."""
    folder = resources.files("gateway.geo") / "data"
    origin = msgspec.json.decode((folder / "country.json").read_bytes(), type=_Origin)
    about = About(origin.name, float(origin.built), origin.licence, (), is_shipped=True)
    content = zstd.decompress((folder / "country.mmdb.zst").read_bytes())
    return Database("country.mmdb.zst", content, geo, about)
