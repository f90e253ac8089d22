"""What a visitor has said about being measured, as far as the gateway was told.

What always holds: each event carries exactly one `Consent`; without a policy (`mode = "off"`) everything is allowed and nothing is claimed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from gateway.events.model import JsonObject

State = Literal["granted", "denied", "unknown"]


class Consent(msgspec.Struct, frozen=True):
    """The decision about one event: what was said, where that stood, and what follows from it.

    `source` is one of the gateway's own words (`gpc`, `cookie`, `tcf_header`, …), empty where nothing was looked at. `may_store`: cookies and ids of
    this visitor may be written. `is_anonymised`: the event goes out as nobody's, without the fields in `drops` (names in lower case) too.
    """

    state: State = "unknown"
    source: str = ""
    may_store: bool = True
    is_anonymised: bool = False
    drops: frozenset[str] = frozenset()


ALLOWED = Consent()
"""What holds where no consent is asked for."""


def note(context: JsonObject, consent: Consent) -> None:
    """Write the decision into an event, as `context.consent`; what the page has said there stands in it as `page`."""
    decided: dict[str, Any] = {"state": consent.state, "source": consent.source}
    if consent.is_anonymised:
        decided["anonymised"] = True
    if "consent" in context:
        decided["page"] = context["consent"]
    context["consent"] = decided
