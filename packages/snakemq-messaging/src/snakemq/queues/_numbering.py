"""Positions for the messages of a storage that has none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count


class Numbering:
    """Numbers that stay with their messages for as long as these stay in their queue.

    Only for the messages that are there: 16 bytes of uuid and a number each.
    """

    def __init__(self) -> None:
        self._fresh = count(1)
        self._queues: dict[str, dict[bytes, int]] = {}

    def number(self, queue_name: str, uuids: Sequence[bytes]) -> list[int]:
        """The ascending positions of all messages of a queue, given in their order."""
        known = self._queues.pop(queue_name, {})
        positions: list[int] = []
        last = 0
        for uuid in uuids:
            position = known.get(uuid, 0)
            if position <= last:  # new, or deleted and pushed again since the last time
                position = next(self._fresh)
            positions.append(position)
            last = position
        if positions:
            self._queues[queue_name] = dict(zip(uuids, positions, strict=True))
        return positions

    def forget(self, uuids: Iterable[bytes]) -> None:
        """They were deleted: should they be pushed again, they are at the end of their queues."""
        for uuid in uuids:
            for known in self._queues.values():
                known.pop(uuid, None)
