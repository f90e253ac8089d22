"""What a visitor has said about being measured, as far as the gateway was told.

What always holds: each event carries exactly one `Consent`; without a policy (`mode = "off"`) everything is allowed and nothing is claimed.
"""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["granted", "denied", "unknown"]


class Consent(msgspec.Struct, frozen=True):
    """The decision about one event: what was said, where that stood, and what follows from it.

    `source` is one of the gateway's own words (`gpc`, `cookie`, `tcf_header`, …), empty where nothing was looked at. `may_store`: cookies and ids of
    this visitor may be written. `is_anonymised`: the event goes out as nobody's.
    """

    state: State = "unknown"
    source: str = ""
    may_store: bool = True
    is_anonymised: bool = False


ALLOWED = Consent()
"""What holds where no consent is asked for."""
