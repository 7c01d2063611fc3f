"""Recording what was processed in the transaction in which the callbacks write their rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from functools import partial

from snakemq.callbacks import Callback
from snakemq.exceptions import StorageError
from snakemq.link import LinkInterface
from snakemq.message import Message
from snakemq.queues import TransactionalInbox

from .._events import Events
from .._wire._phases import Phase
from ._inbox import Inbox
from ._verdicts import verdict_of


class NotKept(Exception):
    """Raised in place of an offer: the inbox has failed, and the message has to come again."""


class Stage(Enum):
    """What is open in the database."""

    NOTHING = "all is committed or rolled back"
    MESSAGES = "messages are processed, and not committed"
    OFFER = "callbacks of a message write"


class Transactions:
    """Stands in the place of :class:`Records` for a :class:`TransactionalInbox`. For the loop only.

    The messages of a batch share a commit, and nothing of it is acknowledged before. If that fails,
    or something on the way to it, all of them are forgotten, and their connections are closed, so
    that their peers send them again. Only after its inbox was read anew is a peer listened to:
    there is no other way to know whether a commit whose answer was lost has succeeded.
    """

    def __init__(
        self,
        link: LinkInterface,
        storage: TransactionalInbox,
        capacity: int,
        inboxes: Mapping[str, Inbox],
        events: Events,
    ) -> None:
        self.on_recorded: Callable[[Inbox], object] = lambda inbox: None
        """Never called: what is recorded is durable when :meth:`record` returns."""
        self._link = link
        self._storage = storage
        self._capacity = capacity
        self._inboxes = inboxes
        self._events = events
        self._stage = Stage.NOTHING
        self._kept: list[tuple[Inbox, bytes | None]] = []
        """The messages that the next commit makes durable, with the uuids of those that may come
        again."""

    # -- around an offer

    def around(
        self,
        event: Callback[[str, str, Message]],
        inbox: Inbox | None,
        *,
        may_come_again: bool,
        is_deferred: Callable[[], bool],
        alone: bool = False,
    ) -> Callback[[str, str, Message]]:
        """Return what to call in place of ``event``, to offer messages of a peer.

        ``inbox``: ``None`` for a message that has come from no connection. ``may_come_again``: do
        the peer's messages with a ttl? ``is_deferred()``: has a callback deferred the ack?
        ``alone``: commit after the message. The returned event raises :exc:`NotKept` if the inbox
        fails.
        """
        around: Callback[[str, str, Message]] = Callback()
        around.callbacks = (partial(self._offer, event, inbox, may_come_again, is_deferred, alone),)
        return around

    def _offer(
        self,
        event: Callback[[str, str, Message]],
        inbox: Inbox | None,
        may_come_again: bool,
        is_deferred: Callable[[], bool],
        alone: bool,
        conn_id: str,
        ident: str,
        message: Message,
    ) -> None:
        self._begin(inbox)
        try:
            event(conn_id, ident, message)
        except BaseException as exc:
            self._stage = Stage.MESSAGES
            self._undo(inbox, conn_id, exc)
            raise
        self._stage = Stage.MESSAGES
        if is_deferred():  # it is not processed yet
            self._undo(inbox, conn_id, None)
        else:
            uuid = message.uuid if may_come_again and message.ttl != 0 else None
            self._keep(inbox, ident, uuid)
        if alone and not self._commit(inbox, ident):
            raise NotKept

    def _begin(self, inbox: Inbox | None) -> None:
        if self._stage is Stage.OFFER:
            # A callback has closed a connection, and so let another one in.
            error = StorageError("a callback still writes, so this peer has to come again")
            self._events.storage_failed(error)
            self._close([inbox] if inbox is not None else [])
            raise NotKept from error
        try:
            self._storage.begin()
        except BaseException as exc:
            self._rolled_back(inbox, exc)
            raise NotKept from exc
        self._stage = Stage.OFFER

    def _keep(self, inbox: Inbox | None, ident: str, uuid: bytes | None) -> None:
        try:
            self._storage.keep(ident, uuid)
        except BaseException as exc:
            if isinstance(exc, Exception) and not isinstance(exc, StorageError):
                raise  # these rows were refused, and undone
            self._rolled_back(inbox, exc)
            raise NotKept from exc
        if inbox is not None:
            self._kept.append((inbox, uuid))

    def _undo(self, inbox: Inbox | None, conn_id: str, raised: BaseException | None) -> None:
        """Undo one message. ``raised``: what its callbacks have raised."""
        try:
            self._storage.undo()
        except BaseException as exc:
            if isinstance(raised, Exception):
                _, error = verdict_of(raised)
                if error is not None:  # or nobody would hear of it
                    self._events.raised(conn_id, error)
            self._rolled_back(inbox, exc)
            if raised is None or isinstance(raised, Exception):
                raise NotKept from exc

    # -- see Records

    def record(self, inbox: Inbox) -> None:
        """Make what was processed durable now, of all peers. While a callback writes, this does
        nothing, and it happens after the message."""
        if self._stage is Stage.MESSAGES or (self._stage is Stage.NOTHING and inbox.unrecorded):
            self._commit(inbox, inbox.ident)

    def close(self) -> None:
        """Record everything now."""
        for inbox in list(self._inboxes.values()):
            self.record(inbox)

    def _commit(self, inbox: Inbox | None, ident: str) -> bool:
        """Returns whether all is durable."""
        uuids: list[bytes] = []
        if inbox is not None:
            uuids, inbox.unrecorded = inbox.unrecorded, []
        # Both generations of RecentUuids. A rejected message takes up two places, see mark_of().
        keep = (4 if inbox is None or len(inbox.rejected) else 2) * self._capacity
        try:
            self._storage.remember(ident, uuids, keep)
        except BaseException as exc:
            if inbox is not None:
                inbox.unrecorded = [*uuids, *inbox.unrecorded][-keep:]
            self._rolled_back(inbox, exc)
            return False
        self._stage = Stage.NOTHING
        self._kept.clear()
        return True

    # -- failures

    def _rolled_back(self, inbox: Inbox | None, exc: BaseException) -> None:
        """Let all messages since the last commit come again. ``inbox``: the peer whose message, or
        record, has failed."""
        self._stage = Stage.NOTHING
        kept, self._kept = self._kept, []
        for other, uuid in kept:
            if uuid is not None:
                other.seen.discard(uuid)
        concerned = {other: None for other, _ in kept}
        if inbox is not None:
            concerned[inbox] = None
        for other in concerned:
            other.is_recalled = False
        if isinstance(exc, Exception):
            self._events.storage_failed(exc)
        self._close(concerned)
        if not isinstance(exc, Exception):
            raise exc  # Ctrl-C

    def _close(self, inboxes: Iterable[Inbox]) -> None:
        for inbox in inboxes:
            lane = inbox.lane
            if lane is not None and lane.conversation.phase is not Phase.CLOSED:
                self._link.close(lane.conversation.conn_id)
