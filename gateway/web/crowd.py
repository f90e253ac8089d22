"""Who is connected: how many there are together, and of each client.

It opens and closes nothing. What always holds: `enter` and `leave` come in pairs, and the counts are those of who is in between.
"""

from __future__ import annotations

from typing import Generic, TypeVar

Member = TypeVar("Member")


class Crowd(Generic[Member]):
    """Members by client; one without a client (`""`) is counted in the whole only."""

    def __init__(self, most: int, most_of_client: int) -> None:
        self._most = most
        self._most_of_client = most_of_client
        self._of_client: dict[str, dict[Member, None]] = {}
        self._members: dict[Member, str] = {}

    def __len__(self) -> int:
        return len(self._members)

    def members(self) -> list[Member]:
        """Give all, the oldest first."""
        return list(self._members)

    def of(self, client: str) -> list[Member]:
        """Give those of a client, the oldest first."""
        return list(self._of_client.get(client, ()))

    def excess(self, client: str) -> str:
        """Tell what stands against another one of this client: `address`, `process`, or nothing. A bound of 0 is none."""
        if client and 0 < self._most_of_client <= len(self._of_client.get(client, ())):
            return "address"
        return "process" if len(self._members) >= self._most else ""

    def enter(self, member: Member, client: str) -> None:
        """Count one in."""
        self._members[member] = client
        if client:
            self._of_client.setdefault(client, {})[member] = None

    def leave(self, member: Member) -> None:
        """Count one out; one that is not in changes nothing."""
        client = self._members.pop(member, "")
        if client:
            same = self._of_client[client]
            del same[member]
            if not same:
                del self._of_client[client]
