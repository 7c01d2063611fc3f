"""The open collections of a storage, and what their one owner knows about them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from pymongo import DESCENDING, MongoClient
from pymongo.errors import PyMongoError

from snakemq.queues.parts import Border, OwnerClock, Positions, ServerGate

from ._aside import set_aside
from ._collections import Collections
from ._documents import Document
from ._errors import explain, is_lost
from ._insertion import Insertion
from ._lease import Lease, Lost
from ._takeover import take_over_v16

T = TypeVar("T")

log = logging.getLogger("snakemq.storage.mongodb")


class Database:
    """The collections whose names begin with ``collection``, opened by their owner.

    Raises :exc:`~snakemq.exceptions.StorageError`.
    """

    def __init__(
        self,
        client: MongoClient[Document],
        database: str | None,
        collection: str,
        *,
        owner_timeout: float,
        owner_lease: float,
        clock: Callable[[], float],
    ) -> None:
        with Border(f"MongoDB storage {collection!r}", explain):
            self.collections = Collections(client, database, collection)
        # A silent server takes at least that long to notice; one that is away refuses sooner.
        slow = (client.options.pool_options.socket_timeout or 0.0) / 2
        name = f"MongoDB storage {self.collections.parent.full_name!r}"
        self.gate = ServerGate(name, explain, log, slow=slow)
        self.clock = OwnerClock(clock, 0.0)
        self.lease = Lease(self.collections.state, owner_lease, lambda: self.clock.now())
        with self.gate.border:
            self.lease.acquire(owner_timeout)
            try:
                self._settle(clock)
            except BaseException:
                with suppress(PyMongoError):
                    self.lease.release()
                raise
        self.lease.keep()
        self.gate.open()

    def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` when it is this thread's turn: see :meth:`run_in_turn`."""
        with self.gate.call():
            return self.run_in_turn(work)

    def run_in_turn(self, work: Callable[[], T]) -> T:
        """Run ``work`` as the owner, once more if the connection turns out to be lost.

        So ``work`` must be safe to repeat.
        """
        try:
            try:
                return self._run_as_owner(work)
            except PyMongoError as error:
                if not is_lost(error):
                    raise
            return self._run_as_owner(work)
        except Lost:
            self.lease.is_lost = True
            raise

    def close(self, finish: Callable[[], None]) -> None:
        """Release the storage, then call ``finish``. Idempotent."""

        def release() -> None:
            with suppress(PyMongoError):  # then the next owner has to wait a little
                self.lease.release()
            finish()

        self.gate.close(release)

    def _run_as_owner(self, work: Callable[[], T]) -> T:
        self.lease.ensure()
        self.insertion.undo()
        return work()

    def _settle(self, clock: Callable[[], float]) -> None:
        """Find out what is there, now that we are the owner."""
        collections = self.collections
        collections.create()
        newest = collections.messages.find_one(
            {}, {"stored_at": True}, sort=[("_id", DESCENDING)]
        ) or {"_id": 0}
        owner = collections.state.find_one({"_id": "owner"}) or {}
        readings = [owner.get("seconds"), newest.get("stored_at")]
        known = [reading for reading in readings if isinstance(reading, float)]
        self.clock = OwnerClock(clock, max(known, default=0.0))
        self.positions = Positions(newest["_id"])
        self.insertion = Insertion(collections.messages, self.positions)
        take_over_v16(
            collections.parent,
            lambda rows: self.insertion.insert(rows, self.clock.now()),
            lambda document, reason: set_aside(collections.set_aside, document, reason),
        )
