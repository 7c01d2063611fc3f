"""Having the storage write down for how long it was open."""

from __future__ import annotations

from collections.abc import Callable

from snakemq.link import LinkInterface
from snakemq.queues import QueuesStorageBase

CHECKPOINT_INTERVAL = 10.0
"""Seconds. Each crash of the sender can extend the ttl of a stored message by up to this long."""


class Checkpoints:
    """Checkpoints of the storage's clock, while messages wait whose ttl it counts. For the loop."""

    def __init__(
        self,
        link: LinkInterface,
        storage: QueuesStorageBase,
        are_needed: Callable[[], bool],
        failed: Callable[[Exception], None],
    ) -> None:
        """``are_needed()``: does such a message wait? ``failed(exception)`` is called when the
        storage fails."""
        self._link = link
        self._storage = storage
        self._are_needed = are_needed
        self._failed = failed
        self._is_planned = False

    def plan(self) -> None:
        """A message may wait now."""
        if not self._is_planned:
            self._is_planned = True
            self._link.call_later(CHECKPOINT_INTERVAL, self._do)

    def _do(self) -> None:
        self._is_planned = False
        if self._are_needed():
            try:
                self._storage.checkpoint_clock()
            except Exception as exc:  # StorageError, if the storage keeps its contract
                self._failed(exc)
            self.plan()
