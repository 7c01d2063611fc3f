"""What is known of all senders, in memory and in the inbox storage."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from enum import Enum

from snakemq.link import LinkInterface
from snakemq.queues import ForgetfulInbox, InboxStorage, TransactionalInbox

from .._events import Events
from .._storekeeper import Storekeeper
from ._inbox import Inbox
from ._recalls import Recalls
from ._records import Records
from ._transactions import Transactions

MAX_ABSENT_INBOXES = 1024
"""Absent peers whose last messages are remembered."""

MAX_ABSENT_UUIDS = 256 * 1024
"""How many uuids of all of them together are remembered, in about 30 MB. Idents cost nothing, so
one peer could come with many of them."""

FORGET_BATCH = 64
"""Peers that an inbox storage forgets at once; it takes a commit."""


class _Stored(Enum):
    """Do we know whom the storage remembers from an earlier process?"""

    UNKNOWN = "it has not been asked, or it has failed"
    ASKED = "the answer is to come"
    KNOWN = "yes, or there is no storage that can tell and forget"


class Inboxes:
    """The inboxes of all peers that are connected, or were until recently. For the loop only.

    ``storage``: where processed messages are recorded, and read from after a restart.
    ``storekeeper``: of this storage, if there is one.
    ``window_messages``: what a sender may have unacknowledged.
    """

    def __init__(
        self,
        link: LinkInterface,
        storage: InboxStorage | None,
        storekeeper: Storekeeper | None,
        window_messages: int,
        events: Events,
    ) -> None:
        self.by_ident: dict[str, Inbox] = {}
        self.are_recorded = storage is not None
        # Two windows: what its sender has in flight, and what was acked but is not deleted from
        # the sender's storage yet.
        self._capacity = 2 * window_messages
        self._events = events
        self.transactions: Transactions | None = None
        """Set if the callbacks write in the transaction of the storage."""
        if isinstance(storage, TransactionalInbox):
            self.transactions = Transactions(link, storage, self._capacity, self.by_ident, events)
        self.records = self.transactions or Records(
            link, storage, storekeeper, self._capacity, self.by_ident, events
        )
        self.record = self.records.record
        self.recalls: Recalls | None = None
        if storage is not None and storekeeper is not None:
            self.recalls = Recalls(link, storage, storekeeper, self._capacity, events)
        # Those that may be forgotten, the longest absent first, with the number of their uuids.
        self._absent: OrderedDict[str, int] = OrderedDict()
        self._absent_uuids = 0
        # A storage that cannot forget keeps everybody.
        able: object = storage
        self._storekeeper = storekeeper
        self._forgetful = able if isinstance(able, ForgetfulInbox) else None
        self._stored = _Stored.UNKNOWN if self._forgetful is not None else _Stored.KNOWN
        self._forgotten: dict[str, None] = {}  # here, and not in the storage yet

    def open(self, ident: str) -> Inbox:
        """Return the inbox of a peer that is connected from now on. If it is not recalled, it will
        be soon."""
        self._absent_uuids -= self._absent.pop(ident, 0)
        self._forgotten.pop(ident, None)
        inbox = self.by_ident.get(ident)
        if inbox is None:
            inbox = self.by_ident[ident] = Inbox(ident, self._capacity)
            inbox.is_recalled = self.recalls is None
        if self.recalls is not None and not inbox.is_recalled:
            self.recalls.ask(inbox)
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
        inbox = self.by_ident[ident]
        if self.recalls is not None:
            self.recalls.give_up(inbox)
        self._absent_uuids -= self._absent.pop(ident, 0)
        uuids = len(inbox.seen)
        self._absent[ident] = uuids
        self._absent_uuids += uuids
        self._forget_longest_absent()

    def _forget_longest_absent(self) -> None:
        while len(self._absent) > MAX_ABSENT_INBOXES or self._absent_uuids > MAX_ABSENT_UUIDS:
            forgotten, uuids = self._absent.popitem(last=False)
            self._absent_uuids -= uuids
            self.by_ident.pop(forgotten, None)  # one that only the storage knows is not here
            if uuids and self._forgetful is not None:
                self._forgotten[forgotten] = None
        if len(self._forgotten) >= FORGET_BATCH:
            self._forget_stored()

    def _learn_stored(self) -> None:
        """Ask for the peers that an earlier process knew."""
        if self._stored is not _Stored.UNKNOWN:
            return
        assert self._forgetful is not None
        assert self._storekeeper is not None
        self._stored = _Stored.ASKED
        self._storekeeper.do(
            self._forgetful.remembered, self._stored_are_known, self._stored_are_unknown
        )

    def _stored_are_known(self, stored: Mapping[str, int]) -> None:
        """Add the peers of an earlier process. They have been absent longest."""
        self._stored = _Stored.KNOWN
        for ident, uuids in stored.items():
            if ident in self.by_ident or ident in self._absent or ident in self._forgotten:
                continue
            self._absent[ident] = uuids
            self._absent.move_to_end(ident, last=False)
            self._absent_uuids += uuids
        self._forget_longest_absent()

    def _stored_are_unknown(self, exc: Exception) -> None:
        self._stored = _Stored.UNKNOWN
        self._events.storage_failed(exc)

    def _forget_stored(self) -> None:
        assert self._forgetful is not None
        assert self._storekeeper is not None
        forgetful, idents = self._forgetful, list(self._forgotten)
        self._forgotten.clear()
        self._storekeeper.do(
            lambda: forgetful.forget(idents),
            lambda _: None,
            lambda exc: self._not_forgotten(idents, exc),
        )

    def _not_forgotten(self, idents: Sequence[str], exc: Exception) -> None:
        self._events.storage_failed(exc)
        self._forgotten.update(dict.fromkeys(i for i in idents if i not in self.by_ident))
        if len(self._forgotten) >= MAX_ABSENT_INBOXES:
            self._forgotten.clear()
            self._stored = _Stored.UNKNOWN  # too many to be kept; the storage still has them
