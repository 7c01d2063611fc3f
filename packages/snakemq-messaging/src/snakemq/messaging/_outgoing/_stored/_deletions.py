"""Deleting from the storage what has left its queue."""

from __future__ import annotations

from collections.abc import Container

from snakemq.link import LinkInterface, TimerHandle
from snakemq.message import Message
from snakemq.queues import QueuesStorageBase

from ._owner import Owner
from ._patience import Patience

DELETE_DELAY = 0.02
"""Deletions are collected for this many seconds: one commit instead of one for each message. A
crash in between costs duplicates, which the storage's promise allows."""

DELETE_BATCH = 1000
"""More deletions than this do not wait to be collected."""


class Deletions:
    """Collects deletions, and repeats those that failed. For the loop's thread only."""

    def __init__(self, link: LinkInterface, storage: QueuesStorageBase, owner: Owner) -> None:
        self.count = 0
        """How many messages are to be deleted."""
        self._link = link
        self._storage = storage
        self._owner = owner
        self._pending: dict[str, dict[bytes, Message]] = {}
        self._timer: TimerHandle | None = None
        self._patience = Patience()
        self._lag: dict[str, int] = {}
        """For each ident: how many messages were retired since the oldest pending deletion."""

    def add(self, ident: str, message: Message) -> None:
        """Delete, soon, a stored message that has left its queue for good."""
        messages = self._pending.setdefault(ident, {})
        self.count += message.uuid not in messages
        messages[message.uuid] = message
        if self._timer is None:
            self._timer = self._link.call_later(DELETE_DELAY, self.flush)

    def retired(self, ident: str) -> None:
        """Count a message that left its queue for good, stored or not."""
        if ident in self._pending:
            self._lag[ident] = self._lag.get(ident, 0) + 1

    def pending(self, ident: str) -> Container[bytes]:
        """Return the uuids of messages in the storage that have left their queue for good."""
        return self._pending.get(ident, ())

    def keep_up(self, ident: str, window: int) -> None:
        """Delete now if a window of messages was acknowledged since a deletion became due.

        After a crash, what is in the storage is sent again. The receiver remembers two windows of
        messages, and one of them may be in flight.
        """
        if self._lag.get(ident, 0) >= window and not self._patience.has_failed:
            self.flush()

    def flush_if_many(self) -> None:
        if self.count >= DELETE_BATCH and not self._patience.has_failed:
            self.flush()

    def flush_unless_failing(self) -> None:
        """Delete now, unless the storage fails: each attempt may hold up the loop."""
        if not self._patience.has_failed:
            self.flush()

    def flush(self) -> None:
        """Delete all that was collected. A failure is reported, and the call repeated later."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._pending:
            ident, messages = next(iter(self._pending.items()))
            try:
                self._storage.delete(ident, list(messages.values()))
            except Exception as exc:  # StorageError, if the storage keeps its contract
                self._timer = self._link.call_later(self._patience.next_delay(), self.flush)
                self._owner.storage_failed(exc)
                return
            self._patience.reset()
            del self._pending[ident]
            self._lag.pop(ident, None)
            self.count -= len(messages)
