"""Makes the storage write down for how long it has been open."""

from __future__ import annotations

from snakemq.link import LinkInterface
from snakemq.queues import QueuesStorageBase

from ..._storekeeper import Storekeeper
from ._owner import Owner

CHECKPOINT_INTERVAL = 10.0
"""Seconds. Each crash of the sender can extend the ttl of a stored message by up to this long."""


class Checkpoints:
    """Has the storage's clock written down while messages with a ttl wait there. For the loop."""

    def __init__(
        self,
        link: LinkInterface,
        storage: QueuesStorageBase,
        storekeeper: Storekeeper,
        owner: Owner,
    ) -> None:
        self._link = link
        self._storage = storage
        self._storekeeper = storekeeper
        self._owner = owner
        self._is_planned = False
        """Is one planned, or being written?"""

    def plan(self) -> None:
        """Write checkpoints from now on: a message may wait."""
        if not self._is_planned:
            self._is_planned = True
            self._link.call_later(CHECKPOINT_INTERVAL, self._do)

    def _do(self) -> None:
        if self._owner.is_ttl_counted():
            self._storekeeper.do(self._storage.checkpoint_clock, self._done, self._failed)
        else:
            self._is_planned = False

    def _done(self, _: None) -> None:
        self._is_planned = False
        self.plan()

    def _failed(self, exc: Exception) -> None:
        self._owner.storage_failed(exc)
        self._done(None)
