"""What becomes of an event whose UID can't have the CID that it claims: the policies `quarantine`, `new_uid` and `strip`.

What always holds: such an event is never forwarded under its own UID with either customer. The UID that `new_uid` gives is
made of the old one and the claimed CID under a secret: the same claim under the same UID gets the same one again, however often
the page sends its event, whichever worker takes it, and whether or not the page heard of it; nobody else can compute it.

An erased UID is retired whatever the policy says: its later events go on under another one, and nothing links the two.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

from gateway.events.decisions import Pending
from gateway.events.identity import Repair
from gateway.events.model import AuditNote
from gateway.events.outcome import FATES, Outcome, Reason, Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.events.decisions import Prepared, Verdict
    from gateway.events.identity import Identified
    from gateway.events.keyring import Keyring
    from gateway.events.model import Binding, Stamp

_PURPOSE = b"tracking-gateway/minted-uids/1"
# One for a conflict, one for an erasure, and as many again; then a person shall look.
_MOST_MOVES = 4

CONFLICT = Rejection(
    Reason.CID_CONFLICT, "cid", "this uid belongs to another customer, and a customer id never changes"
)
STRIPPED = Rejection(
    Reason.IDENTITY_STRIPPED, "cid", "this uid belongs to another customer: sent on without any identity"
)
MOVED = Rejection(
    Reason.NEW_UID, "uid", "this uid belongs to another customer: sent on under a uid of the customer's own"
)
RETIRED = Rejection(Reason.NEW_UID, "uid", "this uid was erased: sent on under another one")
NOBODYS = Rejection(Reason.ANONYMISED, "consent", "the visitor has not agreed: sent on as nobody's")
ERASED = Rejection(Reason.UID_ERASED, "uid", "this uid was erased and can't be bound again")
ALIAS = Rejection(
    Reason.IDENTITY_ALIAS, "dims.customers", "an address of this customer is known as another customer's"
)


class Conflicts:
    """Finds events whose UID can't have their CID, and gives them another UID where the policy says so."""

    def __init__(self, keyring: Keyring) -> None:
        key = keyring.derive(_PURPOSE).first
        self._secret = key.secret if key else None

    def resolve(self, prepared: Prepared, bindings: Sequence[Binding]) -> bool:
        """Move events to other UIDs, in place; `True` when one was moved, so that the ledger has to be asked again.

        `bindings` answer `prepared.claims`, in order.
        """
        owner = prepared.owner
        portal_id, stamp = prepared.envelope.portal_id, prepared.stamp
        moved: dict[str, str] = {}
        has_moved = False
        answers = iter(bindings)
        for pending in prepared.events:
            if not isinstance(pending, Pending) or pending.consent.is_anonymised:
                continue
            binding, identified, uid = next(answers), pending.identified, pending.uid
            if identified.rejection is not None or pending.moves >= _MOST_MOVES:
                continue
            if binding.is_erased:
                pending.move(self.mint(portal_id, uid, "", stamp), "erased")
            elif is_conflict(identified, binding):
                if owner is None or owner.on_conflict != "new_uid":
                    continue
                pending.conflict_cid, pending.conflict_uid = binding.cid or "", uid
                moved[uid] = self.mint(portal_id, uid, identified.cid or "", stamp)
                pending.move(moved[uid], "conflict")
            elif uid in moved and identified.cid is None:
                # What the same visitor did after that, in the same request, is hers too.
                pending.move(moved[uid], "conflict")
            else:
                if identified.cid is not None:
                    # The first person is back: what she does from here on is hers.
                    moved.pop(uid, None)
                continue
            has_moved = True
        return has_moved

    def mint(self, portal_id: str, uid: str, cid: str, stamp: Stamp) -> str:
        """Give the UID for a customer who can't have this one; the same again for the same three, where there is a secret."""
        if self._secret is None:
            return stamp.fresh_uid()
        text = f"{portal_id}\0{uid}\0{cid}".encode("utf-8", "surrogatepass")
        number = int.from_bytes(hmac.digest(self._secret, text, "sha256")[:8], "big")
        return str(number & ((1 << 63) - 1) or 1)


def is_conflict(identified: Identified, binding: Binding) -> bool:
    """Tell whether an event claims another customer than its UID has."""
    if identified.cid is None or binding.cid is None:
        return False
    return not identified.names(binding.cid, is_known_otherwise=binding.known_cid is not None)


def judge(prepared: Prepared, pending: Pending, binding: Binding) -> Rejection | None:
    """Give what the ledger's answer makes of an event; `None` when there is nothing in its way."""
    identified = pending.identified
    if identified.cid is None and not (binding.is_erased or binding.aliases or pending.cause):
        # Who names nobody contradicts nobody: nearly every event.
        return None
    owner = prepared.owner
    if binding.is_erased:
        return ERASED
    if is_conflict(identified, binding):
        return STRIPPED if owner is not None and owner.on_conflict == "strip" else CONFLICT
    holds_alias = owner is not None and owner.on_alias == "quarantine"
    if holds_alias and not all(alias.is_proved for alias in binding.aliases):
        return ALIAS
    if pending.cause == "conflict":
        return MOVED
    return RETIRED if pending.cause == "erased" else None


def settle(
    pending: Pending, binding: Binding, rejection: Rejection, *, attaches_known: bool
) -> tuple[str, Repair | None]:
    """Give the CID that an event goes out with, or is held with, and what was repaired of it; writes it into the event's places.

    `rejection` is what `judge` made of it. `attaches_known`: an event that names nobody gets the CID of its UID.
    """
    identified = pending.identified
    repair, cid = identified.repair, identified.cid or ""
    if identified.rejection is not None:
        return "", repair
    if FATES[rejection.reason].outcome is Outcome.ACCEPTED and binding.cid is not None:
        if not cid:
            cid = binding.cid if attaches_known else ""
        elif cid != binding.cid and rejection.reason is not Reason.IDENTITY_STRIPPED:
            # The same person's, hashed otherwise when it was bound: a CID never changes.
            repair = None if binding.cid == (repair and repair.wrong) else Repair(cid, binding.cid)
            cid = binding.cid
            for place in identified.places:
                place.holder[place.key] = cid
    return cid, repair


def notes(prepared: Prepared, pending: Pending, binding: Binding, verdict: Verdict) -> list[AuditNote]:
    """Give what the audit log is to say of an event besides its binding: conflict, repair, aliases."""
    found: list[AuditNote] = []
    portal_id, identified = prepared.envelope.portal_id, pending.identified
    claimed, reason = identified.cid or "", verdict.rejection.reason

    def note(kind: str, uid: str, cid: str, other: str, text: str) -> None:
        found.append(
            AuditNote(
                kind=kind,  # type: ignore[arg-type]  # one of the four below
                portal_id=portal_id,
                uid=uid,
                cid=cid,
                other=other,
                note=text,
                event_id=pending.event_id,
            )
        )

    if pending.conflict_cid:
        note("conflict", pending.conflict_uid, pending.conflict_cid, claimed, f"new_uid {pending.uid}")
    if reason is Reason.CID_CONFLICT:
        note("conflict", pending.uid, binding.cid or "", claimed, "quarantine")
    elif reason is Reason.IDENTITY_STRIPPED:
        note("conflict", pending.uid, binding.cid or "", claimed, "strip")
    elif reason is Reason.CID_CONTRADICTION:
        note("conflict", pending.uid, "", "", f"contradiction: {verdict.rejection.detail}")
    elif reason is Reason.UID_ERASED:
        note("conflict", pending.uid, "", "", "uid_erased")
    if verdict.repair is not None:
        note("repair", pending.uid, verdict.repair.right, verdict.repair.wrong, "")
    for alias in binding.aliases:
        note("alias", pending.uid, alias.cid, claimed, alias.key)
    return found
