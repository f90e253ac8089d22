"""What the ledger answers to a claim, given what it knows: pure, and the same for every ledger.

A ledger brings what holds for the UID and with which CID each address first came; these rules say what is bound, which addresses
are aliases and which are new. The ledger then writes that in one transaction, and asks the rules again if somebody was faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.events.model import Alias, Binding

if TYPE_CHECKING:
    from collections.abc import Callable

    from gateway.events.model import Claim

ERASED = Binding(is_erased=True)
"""The answer for a UID with a tombstone."""


def judge(claim: Claim, held: Binding, first_cid: Callable[[str], str | None]) -> Binding:
    """Give the answer to a claim; `is_new` says that its CID is to be bound now.

    `held` is what `lookup` gives for the UID, `first_cid` the CID with which an address key of the portal first came, or
    `None` for an unknown one.
    """
    cid = claim.cid
    if cid is None or held.is_erased:
        return held
    chosen: str | None = None
    aliases: tuple[Alias, ...] = ()
    for keys in (claim.keys, claim.older_keys):
        for key in keys:
            first = first_cid(key)
            if first is None:
                continue
            if first == cid or first in claim.same:
                chosen = chosen or first
            else:
                aliases += (Alias(key, first, key in claim.proved_keys),)
    if held.cid is not None:
        known = chosen if chosen != held.cid else None
        return Binding(held.cid, aliases=aliases, known_cid=known) if aliases or known else held
    if claim.holds_alias and not all(alias.is_proved for alias in aliases):
        return Binding(aliases=aliases)
    return Binding(chosen or cid, is_new=True, aliases=aliases)


def owns(claim: Claim, answer: Binding) -> bool:
    """Tell whether the claim's addresses belong to the CID of the answer, so that the unknown ones are to be remembered."""
    return (
        answer.cid is not None
        and claim.cid is not None
        and (answer.cid == claim.cid or answer.cid in claim.same)
    )
