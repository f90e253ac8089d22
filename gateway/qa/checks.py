"""Who looks for broken rules, in the order in which their findings stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.qa.answering import Answering
from gateway.qa.consents import Consents
from gateway.qa.customer_ids import CustomerIds
from gateway.qa.identifies import Identifies
from gateway.qa.plan_keeping import PlanKeeping
from gateway.qa.properties import WrongProperties
from gateway.qa.raw_identity import RawIdentity
from gateway.qa.reading import Reader
from gateway.qa.repetitions import Repetitions
from gateway.qa.resets import Resets
from gateway.qa.script_versions import ScriptVersions
from gateway.qa.uid_changes import UidChanges
from gateway.qa.unreadable import Unreadable
from gateway.qa.vendor_calls import VendorCalls

if TYPE_CHECKING:
    from gateway.qa.session import Check
    from gateway.settings import Settings


def checks(settings: Settings, *, is_redirected: bool = False) -> tuple[Check, ...]:
    """Make the checks of a session: each begins anew. `is_redirected`: the gateway takes also what was sent to the vendor's hosts."""
    reader = Reader(settings)
    return (
        RawIdentity(reader, is_redirected=is_redirected),
        CustomerIds(reader),
        UidChanges(settings),
        Resets(settings),
        Identifies(settings),
        Consents(settings),
        PlanKeeping(settings, reader),
        Unreadable(),
        Repetitions(),
        WrongProperties(settings),
        VendorCalls(reader),
        ScriptVersions(settings),
        Answering(settings, reader),
    )
