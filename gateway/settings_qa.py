"""`[qa]`: how a site's tracking is checked by the mitmproxy addon and the command `qa`; a gateway that serves does not read it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from gateway.settings_types import CookieName, Host, Section

Severity = Literal["error", "warning", "note", "off"]
RuleId = Literal[
    "raw-identity-in-url",
    "raw-identity-in-field",
    "cid-not-hash",
    "cid-of-other-spelling",
    "cid-changed",
    "cid-contradiction",
    "uid-changed",
    "reset-missing",
    "identify-repeated",
    "event-before-consent",
    "required-field-missing",
    "unknown-event",
    "malformed-event",
    "duplicate-event",
    "wrong-property",
    "third-party-host",
    "script-changed",
    "collector-slow",
    "collector-failing",
]

_PLACE = re.compile(r"[a-z0-9.-]*/[^\s?#]*\Z", re.IGNORECASE)


def _place(value: str) -> str:
    if not _PLACE.match(value) or value.startswith("//"):
        msg = 'write a path such as "/consent", or host and path such as "consent.example/log", without a scheme and a query string'
        raise ValueError(msg)
    return value


class Qa(Section):
    """`[qa]`. `tracking_hosts` are tracking names beside `server.public_url` and the vendor's; `sign_out_paths` what the site calls when somebody signs out.

    `consent_cookie` is the consent tool's cookie and `consent_paths` what it calls when a visitor has agreed, where `[consent]` does not ask for consent: each may be
    `/path`, or `host/path` for one host alone. `slow_ms` is how long the collector may take to answer.
    `severity` says how grave a broken rule is, by its id; `off` looks away.
    """

    tracking_hosts: tuple[Host, ...] = ()
    vendor_hosts: tuple[Host, ...] = (
        "a.cdp.asia",
        "ap2-a.cdp.asia",
        "sandbox-a.cdp.asia",
        "st-a.cdp.asia",
        "sandbox-st-a.cdp.asia",
    )
    sign_out_paths: tuple[str, ...] = ("/logout", "/signout", "/sign-out", "/account/logout")
    consent_cookie: CookieName = ""
    consent_paths: tuple[Annotated[str, AfterValidator(_place)], ...] = ()
    slow_ms: int = Field(default=1_000, ge=1, le=600_000)
    severity: dict[RuleId, Severity] = Field(default={})
