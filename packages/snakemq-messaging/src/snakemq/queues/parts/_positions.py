"""The positions of messages, counted by the one owner of a storage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Positions:
    """Counts the positions that pushed messages get. Not thread-safe.

    The database does not count them: its numbers become visible out of order when two transactions
    overlap.
    """

    def __init__(self, last: int = 0) -> None:
        self.next: int = last + 1
        """The next free position."""

    def reserve(self, count: int) -> int:
        """Take ``count`` positions in a row and return the first one."""
        # In one step: a signal handler may want some, too.
        first, self.next = self.next, self.next + count
        return first

    def continue_after(self, last: int) -> None:
        """Go on behind ``last``, up to which another owner may have stored messages meanwhile."""
        self.next = max(self.next, last + 1)


class Leftovers(Generic[Item]):
    """Deletes what pushes that raised may have left in the back end. Not thread-safe.

    If the answer to a push gets lost, nobody knows whether the messages are there. The push raises,
    which says that they are not; so they are deleted before anything else is done.
    """

    def __init__(self) -> None:
        self._items: list[Item] = []

    def add(self, items: Sequence[Item]) -> None:
        """Note that a push of these items raised."""
        self._items += items

    def remove(self, delete: Callable[[list[Item]], object]) -> None:
        """Call ``delete`` with all leftovers. If it raises, the next call tries again."""
        if self._items:
            delete(self._items)
            self._items = []
