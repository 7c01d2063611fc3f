"""The positions of messages, counted by the one owner of a storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Positions:
    """Counts the positions that pushed messages get. Not thread-safe.

    Counted here and not by the database: numbers that a database gives out become visible out of
    order when two transactions overlap.
    """

    def __init__(self, last: int = 0) -> None:
        self.next: int = last + 1
        """The first position that is free."""

    def reserve(self, count: int) -> int:
        """Take ``count`` positions in a row and return the first one."""
        # At once: a signal handler may want some as well.
        first, self.next = self.next, self.next + count
        return first

    def continue_after(self, last: int) -> None:
        """Another owner may have stored messages meanwhile, up to the position ``last``."""
        self.next = max(self.next, last + 1)


class Leftovers(Generic[Item]):
    """What pushes that raised may have left in the back end. Not thread-safe.

    If the answer to a push gets lost, nobody knows whether the messages are there. The caller was
    told that they are not; so they are deleted before anything else is done.
    """

    def __init__(self) -> None:
        self._items: list[Item] = []

    def add(self, items: Sequence[Item]) -> None:
        """A push of these raised."""
        self._items += items

    def remove(self, delete: Callable[[list[Item]], object]) -> None:
        """Have everything deleted. If ``delete`` raises, it is done again the next time."""
        if self._items:
            delete(self._items)
            self._items = []
