"""Positions for the messages of a storage that does not number them itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import count


class Numbering:
    """Gives each message a number that it keeps as long as it stays in its queue.

    Remembers only the messages that are there: 16 bytes of uuid and a number each.
    """

    def __init__(self) -> None:
        self._fresh = count(1)
        self._queues: dict[str, dict[bytes, int]] = {}

    def number(self, queue_name: str, uuids: Sequence[bytes]) -> list[int]:
        """Return ascending positions for all messages of a queue; ``uuids`` are in order."""
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
        """Forget deleted messages: if they are pushed again, they go to the end of their queues."""
        for uuid in uuids:
            for known in self._queues.values():
                known.pop(uuid, None)
