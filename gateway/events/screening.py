"""Whose event is it: the properties that may send, and what each of them allows.

`Properties` is compiled once from the settings, so that a request costs a dictionary look-up.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from gateway.events.outcome import Reason, Rejection
from gateway.events.wire import RESPONSE_TYPES, Envelope
from gateway.settings_types import AddressPolicy, AliasPolicy, BotMode, ConflictPolicy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway import settings
    from gateway.events.model import Head

# What a URL may have beside the gateway's own parameters: collectors refuse longer ones.
_MOST_CARRIED = 8_192
# What no honest redirect target contains, and what browsers and libraries read differently: control characters, blanks,
# backslashes.
_TREACHEROUS = re.compile(r"[\x00-\x20\x7f\\]")


# As browsers write one (RFC 6454, section 6.1): no path behind it, and nobody's name before it.
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9._:\[\]-]{1,255}\Z")


def is_origin(text: str) -> bool:
    """Tell whether an `Origin` is one, and so may be said back; `null` is what a page without one sends."""
    return text == "null" or _ORIGIN.match(text) is not None


class Property(msgspec.Struct, frozen=True):
    """A site or app that may send events, ready for use.

    `origins` are the exact origins that may read answers; when the settings name none, `site` and its sub-domains may.
    `on_conflict` and `on_alias` are its own policies, or those of `[identity]`. `s2s_secrets` are the SHA-256 of those that servers send; `client_address` is what leaves of a visitor's address,
    `bots` what becomes of the events of programs.
    """

    portal_id: str
    prop_id: str
    site: str
    origins: frozenset[str]
    redirect_hosts: tuple[str, ...]
    on_conflict: ConflictPolicy = "quarantine"
    on_alias: AliasPolicy = "warn"
    s2s_secrets: tuple[bytes, ...] = ()
    client_address: AddressPolicy = "full"
    bots: BotMode = "off"

    def knows_server(self, authorization: str) -> bool:
        """Tell whether who sends this `Authorization` may say `is_s2s`: anybody where no secret is set, else who knows one of them.

        It takes the same time whatever is wrong with it.
        """
        if not self.s2s_secrets:
            return True
        scheme, _, token = authorization.partition(" ")
        digest = _digest(token.strip())
        found = [hmac.compare_digest(digest, each) for each in self.s2s_secrets]
        return scheme.lower() == "bearer" and any(found)

    def allows_origin(self, origin: str) -> bool:
        """Tell whether a page of this origin (`https://www.shop.example`) may read answers with credentials."""
        if self.origins:
            return origin in self.origins
        scheme, _, host = origin.partition("://")
        return scheme in {"http", "https"} and host_matches(
            host.partition(":")[0], (self.site, f"*.{self.site}")
        )

    def redirect_target(self, url: str) -> str | None:
        """Give the URL when a redirect may go there, else `None`: http(s), a listed host, nothing ambiguous in it."""
        if not url.isascii() or _TREACHEROUS.search(url):
            return None
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 -- raises ValueError for a port that is none
        except ValueError:
            return None
        if parts.scheme not in {"http", "https"} or not parts.netloc or "@" in parts.netloc:
            return None
        host = (parts.hostname or "").rstrip(".")
        return url if host_matches(host, self.redirect_hosts) else None


class Properties:
    """Every known property, by portal and property id."""

    def __init__(
        self,
        configured: Sequence[settings.Property],
        identity: settings.Identity,
        client_address: AddressPolicy = "full",
        bots: BotMode = "off",
    ) -> None:
        self._by_ids = {
            (each.portal_id, each.prop_id): Property(
                each.portal_id,
                each.prop_id,
                each.site,
                frozenset(each.origins),
                each.redirect_hosts,
                each.on_conflict or identity.on_conflict,
                each.on_alias or identity.on_alias,
                tuple(_digest(secret.get_secret_value()) for secret in each.s2s_secret),
                each.client_address or client_address,
                each.bots or bots,
            )
            for each in configured
        }

    def find(self, portal_id: str, prop_id: str) -> Property | None:
        """Give the property of these ids, or `None`: then the event is not ours to take."""
        return self._by_ids.get((portal_id, prop_id))

    def any_allows_origin(self, origin: str) -> bool:
        """Tell whether at least one property lets this origin read answers."""
        return any(each.allows_origin(origin) for each in self._by_ids.values())


def server_problem(envelope: Envelope, property_: Property | None, authorization: str) -> Rejection | None:
    """Say why a request that calls itself a server's can't be one; `None` when it can, or doesn't."""
    if not envelope.is_s2s or property_ is None or property_.knows_server(authorization):
        return None
    detail = (
        "is_s2s=true needs this property's s2s_secret: send the header Authorization: Bearer and the secret"
    )
    return Rejection(Reason.UNAUTHORIZED, "Authorization", detail)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def envelope_problem(envelope: Envelope, property_: Property | None) -> Rejection | None:
    """Say why no event of a request can be taken, whatever is in it; `None` when they can."""
    for name in ("portal_id", "prop_id"):
        if not getattr(envelope, name):
            return Rejection(Reason.BAD_FIELD, name, "is missing: add it to the query string")
    if property_ is None:
        return Rejection(
            Reason.UNKNOWN_PROPERTY, "portal_id", "no property with this portal_id and prop_id is configured"
        )
    if sum(len(name) + len(value) for name, value in envelope.carried.items()) > _MOST_CARRIED:
        return Rejection(
            Reason.TOO_LARGE, "(query)", f"more than {_MOST_CARRIED} characters of other parameters"
        )
    if envelope.response_type not in RESPONSE_TYPES:
        return Rejection(Reason.BAD_FIELD, "resp_type", "must be javascript, json, pixel or redirect")
    if envelope.response_type == "redirect" and property_.redirect_target(envelope.redirect_url) is None:
        return Rejection(
            Reason.BAD_REDIRECT,
            "redirect_url",
            "must be an http(s) URL of one of the property's redirect_hosts",
        )
    return None


def is_foreign(head: Head, *, origin_allowed: bool) -> bool:
    """Tell whether somebody else than a script of the property's pages may have made the browser send this.

    A link in a message, another site's page, an image in a mail or in what a visitor wrote on the shop's own page: then the cookie
    says who reads it, and nothing in the request says that she is whom it names. Browsers send `Origin` with each POST and with a
    GET by a script from another origin; of the others, the browser itself says whether a script of this site asked (`Sec-Fetch-…`). One that
    says nothing is not believed. A POST without `Origin` is no browser's.
    """
    if head.origin:
        return not origin_allowed
    if head.method != "GET":
        return False
    is_scripts = head.fetch_mode in {"cors", "same-origin"} or head.fetch_dest == "script"
    return not is_scripts or head.fetch_site not in {"same-origin", "same-site"}


def host_matches(host: str, patterns: Sequence[str]) -> bool:
    """Tell whether a host is one of the patterns: exactly, or below `*.shop.example`."""
    lowered = host.lower()
    return any(
        lowered.endswith(pattern[1:]) and len(lowered) > len(pattern) - 1
        if pattern.startswith("*.")
        else lowered == pattern
        for pattern in patterns
    )
