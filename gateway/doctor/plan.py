"""What the settings mean for a page: which property it belongs to, where the gateway is, and the cookie's Domain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.doctor.model import CookiePlan
from gateway.doctor.names import ascii_name, covers

if TYPE_CHECKING:
    from gateway.doctor.names import Place, Suffixes
    from gateway.settings import Settings


def default_tracking(settings: Settings | None, site: Place, suffixes: Suffixes) -> str:
    """Give the gateway's URL as the snippet would: `server.public_url`, else `https://track.` and the property's site."""
    if settings is not None and settings.server.public_url:
        return settings.server.public_url
    return f"https://track.{_property_site(settings, site) or suffixes.registrable(site.host)}"


def cookie_plan(settings: Settings | None, site: Place, suffixes: Suffixes) -> CookiePlan:
    """Give the cookie's Domain and lifetime for a page, as the settings write them; without settings, by the defaults."""
    if settings is None:
        return CookiePlan(suffixes.registrable(site.host), from_settings=False)
    days, domain = settings.cookies.lifetime_days, settings.cookies.domain
    if domain == "host":
        return CookiePlan("", days)
    return CookiePlan(domain or _property_site(settings, site), days)


def _property_site(settings: Settings | None, site: Place) -> str | None:
    """Give the `site` of the property that the page belongs to, the nearest where several fit."""
    sites = [each.site.removeprefix("*.") for each in settings.properties] if settings is not None else []
    return max((each for each in sites if covers(_in_ascii(each), site.host)), key=len, default=None)


def _in_ascii(name: str) -> str:
    try:
        return ascii_name(name)
    except ValueError:
        # An address as a site (a machine for tests): no page's name is under it.
        return name
