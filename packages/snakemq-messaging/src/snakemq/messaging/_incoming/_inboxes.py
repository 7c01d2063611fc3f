"""What is known of all senders, in memory and in the inbox storage."""

from __future__ import annotations

from collections import OrderedDict

from snakemq.exceptions import StorageError
from snakemq.queues import ForgetfulInbox, InboxStorage

from .._events import Events
from ._inbox import Inbox

MAX_ABSENT_INBOXES = 1024
"""Absent peers whose last messages are remembered."""

MAX_ABSENT_UUIDS = 256 * 1024
"""How many uuids of all of them together are remembered, in about 30 MB. Idents cost nothing, so
one peer could come with many of them."""

FORGET_BATCH = 64
"""Peers that an inbox storage forgets at once; it takes a commit."""


class Inboxes:
    """The inboxes of all peers that are connected, or were until recently. For the loop only.

    ``storage``: where processed messages are recorded, and read from after a restart.
    ``window_messages``: what a sender may have unacknowledged.
    """

    def __init__(self, storage: InboxStorage | None, window_messages: int, events: Events) -> None:
        self.by_ident: dict[str, Inbox] = {}
        self.are_recorded = storage is not None
        self._storage = storage
        # Two windows: what its sender has in flight, and what was acked but is not deleted from
        # the sender's storage yet.
        self._capacity = 2 * window_messages
        self._events = events
        # Those that may be forgotten, the longest absent first, with the number of their uuids.
        self._absent: OrderedDict[str, int] = OrderedDict()
        self._absent_uuids = 0
        # A storage that cannot forget keeps everybody.
        able: object = storage
        self._forgetful = able if isinstance(able, ForgetfulInbox) else None
        self._knows_stored = self._forgetful is None
        self._forgotten: dict[str, None] = {}  # here, and not in the storage yet

    def open(self, ident: str) -> Inbox:
        """Return the inbox of a peer that is connected from now on."""
        self._absent_uuids -= self._absent.pop(ident, 0)
        self._forgotten.pop(ident, None)
        inbox = self.by_ident.get(ident)
        if inbox is None:
            inbox = self.by_ident[ident] = Inbox(ident, self._capacity)
            if self._storage is not None:
                try:
                    self.recall(inbox)
                except StorageError as exc:
                    self._events.storage_failed(exc)
        return inbox

    def hold(self, ident: str) -> Inbox:
        """Return the inbox of an absent peer of which something is open, and keep it until
        :meth:`let_go`."""
        self._absent_uuids -= self._absent.pop(ident, 0)
        return self.by_ident.get(ident) or self.open(ident)

    def let_go(self, ident: str) -> None:
        """Let the inbox of an absent peer be forgotten, as nothing of it is open. The longest
        absent peers are forgotten first."""
        self._learn_stored()
        self._absent_uuids -= self._absent.pop(ident, 0)
        uuids = len(self.by_ident[ident].seen)
        self._absent[ident] = uuids
        self._absent_uuids += uuids
        while len(self._absent) > MAX_ABSENT_INBOXES or self._absent_uuids > MAX_ABSENT_UUIDS:
            forgotten, uuids = self._absent.popitem(last=False)
            self._absent_uuids -= uuids
            self.by_ident.pop(forgotten, None)  # one that only the storage knows is not here
            if uuids and self._forgetful is not None:
                self._forgotten[forgotten] = None
        if len(self._forgotten) >= FORGET_BATCH:
            self._forget_stored()

    def _learn_stored(self) -> None:
        """Add the peers that an earlier process knew. They have been absent longest."""
        if self._knows_stored or self._forgetful is None:
            return
        try:
            stored = self._forgetful.remembered()
        except Exception as exc:  # StorageError, if it keeps its contract
            self._events.storage_failed(exc)
            return
        self._knows_stored = True
        for ident, uuids in stored.items():
            if ident not in self.by_ident:
                self._absent[ident] = uuids
                self._absent.move_to_end(ident, last=False)
                self._absent_uuids += uuids

    def _forget_stored(self) -> None:
        assert self._forgetful is not None
        try:
            self._forgetful.forget(list(self._forgotten))
        except Exception as exc:  # StorageError, if it keeps its contract
            self._events.storage_failed(exc)
            if len(self._forgotten) < MAX_ABSENT_INBOXES:
                return
            self._knows_stored = False  # too many to be kept; the storage still has them
        self._forgotten.clear()

    def recall(self, inbox: Inbox) -> None:
        """Read what was processed before this process. Raises ``StorageError``: then no message
        can be taken, because it may be a repetition."""
        assert self._storage is not None
        inbox.is_recalled = False
        try:
            # What was rejected takes up two places, see mark_of().
            inbox.recalled(self._storage.recall(inbox.ident, 2 * self._capacity))
        except StorageError:
            raise
        except Exception as exc:  # it breaks its contract
            raise StorageError(f"the inbox storage: {exc}") from exc
        inbox.is_recalled = True

    def record(self, inbox: Inbox) -> bool:
        """Make what was processed durable. False if the storage fails."""
        if self._storage is None or not inbox.unrecorded:
            return True
        keep = self._capacity + len(inbox.rejected)
        try:
            self._storage.remember(inbox.ident, inbox.unrecorded, keep)
        except Exception as exc:  # StorageError, if it keeps its contract
            # a peer may come many times, and the storage would keep no more either
            del inbox.unrecorded[:-keep]
            self._events.storage_failed(exc)
            return False
        inbox.unrecorded.clear()
        return True
