"""Whose frame is next: first in, first out for each client, in turns among clients."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Client = TypeVar("Client", bound=Hashable)
Item = TypeVar("Item")


class RoundRobin(Generic[Client, Item]):
    """A queue in which one busy client delays another by at most one item. Not thread-safe."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Client, deque[Item]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(items) for items in self._waiting.values())

    def add(self, client: Client, item: Item) -> None:
        """Queue an item behind the client's others."""
        self._waiting.setdefault(client, deque()).append(item)

    def take(self) -> Item | None:
        """Remove and return the next item, or None; its client then waits for the others."""
        if not self._waiting:
            return None
        client, items = self._waiting.popitem(last=False)
        item = items.popleft()
        if items:
            self._waiting[client] = items
        return item

    def discard(self, client: Client) -> list[Item]:
        """Remove and return all that a client has waiting."""
        return list(self._waiting.pop(client, ()))
