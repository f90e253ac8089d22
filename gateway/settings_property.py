"""`[[properties]]`: the sites and apps that may send events, and what each of them decides for itself."""

from __future__ import annotations

from typing import Literal

from pydantic import ValidationError

from gateway.settings_consent import Consent
from gateway.settings_plan import StandardPolicy  # noqa: TC001 -- pydantic reads the annotations when it runs
from gateway.settings_types import (
    AddressPolicy,
    AliasPolicy,
    BotMode,
    ConflictPolicy,
    Host,
    IdText,
    Origin,
    Secrets,
    Section,
    TimeZone,
)


class Property(Section):
    """One of `[[properties]]`: a site or app that may send events."""

    portal_id: IdText
    prop_id: IdText
    site: Host
    origins: tuple[Origin, ...] = ()
    redirect_hosts: tuple[Host, ...] = ()
    # Empty: as `[identity]` says.
    on_conflict: Literal[ConflictPolicy, ""] = ""
    on_alias: Literal[AliasPolicy, ""] = ""
    standard_plan: Literal[StandardPolicy, ""] = ""
    s2s_secret: Secrets = ()
    # Empty: as `[network]` says.
    client_address: Literal[AddressPolicy, ""] = ""
    makes_sessions: bool = True
    # In which a day begins at midnight: `session.new_at_midnight`.
    timezone: TimeZone = "UTC"
    # Empty: as `[bots]` says.
    bots: Literal[BotMode, ""] = ""
    # `None`: as `[consent]` says.
    consent: Consent | None = None


def with_consent(properties: tuple[Property, ...], default: object) -> tuple[Property, ...]:
    """Give properties with all of `[consent]` in each that says something of it by itself. Raises `ValueError`, which names the wrong key."""
    if not isinstance(default, Consent):
        return properties
    found = []
    for each in properties:
        try:
            own = default.overlaid(each.consent) if each.consent is not None else None
        except ValidationError as error:
            wrong = error.errors(include_url=False)[0]
            msg = f"consent.{'.'.join(map(str, wrong['loc']))} of prop_id {each.prop_id}: {wrong.get('ctx', {}).get('error', wrong['msg'])}"
            raise ValueError(msg) from None
        found.append(each.model_copy(update={"consent": own}) if own is not None else each)
    return tuple(found)
