"""Whose frame is next, and whether it can still be ready in time."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

Client = TypeVar("Client", bound=Hashable)
Item = TypeVar("Item")


class RoundRobin(Generic[Client, Item]):
    """A queue in which one busy client delays another by the item that runs. Not thread-safe.

    First in, first out for each client, in turns among clients. One that was served stands behind
    all who come until the next is taken.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[Client, deque[Item]] = OrderedDict()
        self._served: Client | None = None

    def __len__(self) -> int:
        return sum(len(items) for items in self._waiting.values())

    def add(self, client: Client, item: Item, *, latest: bool = False) -> list[Item]:
        """Queue an item behind the client's others, or, with `latest`, instead of them.

        Returns those that it replaces. The client keeps its turn.
        """
        items = self._waiting.setdefault(client, deque())
        replaced = list(items) if latest else []
        if latest:
            items.clear()
        items.append(item)
        return replaced

    def take(self) -> Item | None:
        """Remove and return the next item, or None; its client then waits for the others."""
        if self._served is not None and self._served in self._waiting:
            self._waiting.move_to_end(self._served)
        if not self._waiting:
            return None
        client = next(iter(self._waiting))
        items = self._waiting[client]
        item = items.popleft()
        if not items:
            del self._waiting[client]
        self._served = client
        return item

    def discard(self, client: Client) -> list[Item]:
        """Remove and return all that a client has waiting."""
        return list(self._waiting.pop(client, ()))


class Estimate:
    """How long the next frame will take: a running mean, and twice the running deviation.

    As in TCP's estimate of a round trip (RFC 6298), whose gains these are. Times in ns.
    """

    def __init__(self) -> None:
        self._mean = 0.0
        self._deviation = 0.0
        self._relaxed_ns = 0

    @property
    def ns(self) -> int:
        """Time that most frames keep within; 0 before the first."""
        return int(self._mean + 2 * self._deviation)

    def add(self, taken_ns: int) -> None:
        """Learn from a frame."""
        if self._mean == 0:
            self._mean, self._deviation = float(taken_ns), taken_ns / 4
            return
        self._deviation += (abs(taken_ns - self._mean) - self._deviation) / 4
        self._mean += (taken_ns - self._mean) / 8

    def relax(self, now_ns: int) -> None:
        """Believe a little less: it was not tried, so that it is tried again in a while.

        Otherwise one slow moment would mean the fallback for ever. At most once in the time of a
        frame, so that many hopeless deadlines do not talk it down.
        """
        if now_ns - self._relaxed_ns < self.ns:
            return
        self._relaxed_ns = now_ns
        self._mean *= 0.99
        self._deviation *= 0.99

    def misses(self, deadline_ns: int, now_ns: int) -> bool:
        """Whether a frame that starts now is likely to be late; `deadline_ns` 0 is none."""
        return bool(deadline_ns) and now_ns + self.ns > deadline_ns
