"""How much is held of bodies that have not come whole: what is too much in all, and who has to go then.

A body may be large and may come slowly, which is fine for each and too much for all together. What always holds: as long as all that is held fits,
nobody goes; else the client that holds most goes first, its oldest body before its others, until the rest fits. So who fills the memory loses
what it filled it with, and a visitor with one event on a bad line is the last to go.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

Member = TypeVar("Member")


def excess(held: Mapping[Member, tuple[str, int]], most: int) -> list[Member]:
    """Give the members that have to go so that the others hold at most `most` bytes.

    `held` has each member's client and how many bytes it holds, the oldest first.
    """
    total = sum(size for _, size in held.values())
    if total <= most:
        return []
    of_client: dict[str, deque[tuple[Member, int]]] = {}
    sums: dict[str, int] = {}
    for member, (client, size) in held.items():
        of_client.setdefault(client, deque()).append((member, size))
        sums[client] = sums.get(client, 0) + size
    heaviest = [(-size, client) for client, size in sums.items()]
    heapq.heapify(heaviest)
    gone: list[Member] = []
    while total > most:
        weight, client = heapq.heappop(heaviest)
        member, size = of_client[client].popleft()
        gone.append(member)
        total -= size
        if of_client[client]:
            heapq.heappush(heaviest, (weight + size, client))
    return gone
