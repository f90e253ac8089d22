"""`[[properties]]`: the sites and apps that may send events, and what each of them decides for itself."""

from __future__ import annotations

from typing import Literal

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
