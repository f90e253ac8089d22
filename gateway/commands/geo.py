"""What `check` says of the database of places: which one it is, how old, under which licence, and what is wrong with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.settings import Settings

_OLD_DAYS = 365


def seen_database(settings: Settings) -> tuple[dict[str, Any] | None, list[str]]:
    """Give the database as JSON values (`None` where places are not looked up), and what is to be noted of it."""
    from gateway.geo.database import GeoUnusable, read_file  # noqa: PLC0415 -- `--help` need not wait for it
    from gateway.geo.keeper import age_trouble, day_of  # noqa: PLC0415
    from gateway.geo.shipped import open_shipped  # noqa: PLC0415

    geo, now = settings.geo, time.time()
    if not geo.enabled:
        return None, []
    try:
        database = read_file(geo.database, geo) if geo.database else open_shipped(geo)
    except GeoUnusable as error:
        # Not a wrong setting: the file may be on its way, or be another user's to read.
        note = f"{error} ({error.hint}): until it can be, the countries that come with the gateway stand in"
        return {"database": geo.database, "problem": str(error)}, [note]
    about = database.about
    days = int((now - about.built) // 86_400)
    notes = [age_trouble(database, geo, now)]
    if about.is_shipped and days > _OLD_DAYS:
        notes.append(
            f"the countries that come with the gateway were gathered {days} days ago: name a newer file in geo.database"
        )
    if about.languages and geo.language not in about.languages:
        notes.append(
            f"geo.language = {geo.language!r}: the database says that it has names in {', '.join(about.languages)}; English stands in for others"
        )
    found = {
        "database": geo.database or "(comes with the gateway)",
        "name": about.name,
        "built": day_of(about.built),
        "age_days": days,
        "licence": about.licence,
        "languages": list(about.languages),
    }
    return found, [note for note in notes if note]


def described(found: dict[str, Any]) -> str:
    """Give it as a line for people."""
    if "name" not in found:
        return f"places: {found['database']} can't be used"
    licence = f", {found['licence']}" if found["licence"] else ""
    return f"places by {found['name']} {found['database']}, built {found['built']} ({found['age_days']} days ago){licence}"
