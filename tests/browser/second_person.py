"""A second person who signs in on the device: what the tests of the script's takeover share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.browser.sdk_page import Received

HERS = "2222222222222222222"
SILENT = "var _cdp365Analytics = {default_event: 0};"


def new_uid_for_sign_ins(one: Received) -> str:
    """Give the UID under which the gateway takes an event: hers for a sign-in, else the one that it came with."""
    return HERS if one.name == "user/sign_in" else one.uid
