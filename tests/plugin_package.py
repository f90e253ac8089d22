"""A package with plugins, installed as pip would have: a module, and the metadata that names its entry points. `docs/transformations.md` has its first function."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MODULE = '''
import sys
import time


def brand(event, context):
    """Say whose shop it is."""
    event.setdefault("extra", {})["brand"] = "Shoes & Co" if context.prop_id == "556300706" else "Bags & Co"
    return event


def mail(event, context):
    """What the shop calls `mail` is an e-mail address."""
    address = event.get("extra", {}).pop("mail", None)
    if address is None:
        return None
    event.setdefault("dims", {}).setdefault("customers", {})["email"] = address
    return event


def troubled(event, context):
    """Does what the event's action says."""
    what = event["ea"]
    event["extra"] = {"half": "done"}
    if what == "raise":
        raise ValueError("jane@example.com")
    if what == "exit":
        sys.exit(3)
    if what == "hang":
        time.sleep(60)
    if what == "stubborn":
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                time.sleep(0.01)
            except Exception:
                pass
    if what == "slow":
        time.sleep(0.05)
    return {
        "none": None, "text": "event", "uid": {**event, "uid": "777"}, "no_uid": {"ec": "a", "ea": "b"}, "set": {**event, "x": {1}},
        "nameless": {**event, "ec": ""}, "typed": {**event, "items": "none"}, "large": {**event, "x": "y" * 2_000_000},
    }.get(what, event)


def endless(event, context):
    """Nests for ever."""
    event["self"] = event
    return event


async def later(event, context):
    """Waits, which no plugin may."""


def alone(event):
    """Takes too little."""


LIST = []
'''

ENTRY_POINTS = """[gateway.plugins]
brand = shop_plugins:brand
mail = shop_plugins:mail
troubled = shop_plugins:troubled
endless = shop_plugins:endless
later = shop_plugins:later
alone = shop_plugins:alone
list = shop_plugins:LIST
gone = shop_plugins:gone
"""


def install(folder: Path) -> str:
    """Put it into a folder; gives what is to be on the path."""
    info = folder / "shop_plugins-1.0.dist-info"
    info.mkdir(parents=True)
    (folder / "shop_plugins.py").write_text(MODULE, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shop-plugins\nVersion: 1.0\n", encoding="utf-8")  # fmt: skip
    (info / "entry_points.txt").write_text(ENTRY_POINTS, encoding="utf-8")
    return str(folder)
