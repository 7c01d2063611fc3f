"""The contract of a queues storage."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from snakemq.message import Message

from ._numbering import Numbering


class StoredMessage(NamedTuple):
    """A message and its position in a queue, as :meth:`QueuesStorageBase.get_page` returns it."""

    position: int
    """Larger than the positions of all messages that were pushed to this queue before. Positions
    have gaps, and mean nothing once the storage is closed."""

    message: Message


class QueuesStorageBase(ABC):
    """Keeps persistent messages until they are delivered, in one queue for each peer's ident.

    Duties of an implementation:

    - *Order*: :meth:`get_items` and :meth:`get_page` return messages in the order in which they
      were pushed. If several threads push at once, that is the order in which the messages become
      visible: nothing ever appears before a position that was already returned.
    - *Identity*: a message is identified by its uuid and its queue. Pushing a uuid that is already
      in the queue is ignored: the message that is there keeps its place and its content. Once it
      is deleted, the uuid may be pushed again. The same uuid in two queues is two items. A queue
      name is any Unicode text, even the empty one; two names are equal only if they have the same
      characters.
    - *Durability*: when :meth:`push` returns, the message survives the death of the process
      and, if the back end can do it, of the machine. Deletions may lag behind: a message that
      comes back costs a duplicate, a lost one breaks the library's promise.
    - *Exactness*: data of any length, all 16 bytes of the uuid, ttl (``None``, 0, fractions)
      and 32 bits of flags come back as they went in; and headers, see :attr:`keeps_headers`.
    - *Ttl*: time counts only while the storage is open. The storage counts it if it can do so
      without rewriting its rows; otherwise its user does, through :meth:`update_items_ttl`. An
      expired message has 0 left, never less. A :attr:`pageable` storage has to count.
    - *Copies*: changing a message that was pushed or returned changes nothing in the storage.
    - *Thread-safety*: :meth:`push` and :meth:`push_many` are called from any thread, also while
      another method runs. All other methods are called from one thread at a time: first from the
      one that makes the ``Messaging``, then from its storage thread, or from the loop if the
      storage does not block (:attr:`blocks`). So a long page or deletion should not keep a push
      waiting for long.
    - *Idempotence*: deleting what is not there, and closing twice, are not errors.
    - *Errors*: whatever the back end raises becomes a :exc:`~snakemq.exceptions.StorageError`;
      using a closed storage raises one, too. The error is ``temporary`` if the same call may
      succeed later without a change to the program: the server is away, the disk is full, another
      owner has the storage. A push that raised has no effect, as far as the back end lets the
      storage know; either way it may be repeated with the same message. Two errors are the
      caller's fault, not the storage's: a message that the back end can never hold is refused with
      :exc:`~snakemq.exceptions.SnakeMQMessageTooLarge`, a queue name that is not Unicode (a lone
      surrogate) with ``ValueError``.
    - *Patience*: while a server is away, calls fail within seconds; the first call after its
      return works. Waiting and retrying is up to the caller.
    - *Unreadable content* of the back end is set aside and reported through the log; it is not
      lost, and it does not hold up the rest of its queue.

    ``snakemq.queues.testing`` checks an implementation for all of this.
    """

    pageable: bool = False
    """Whether a long queue may stay in the storage, to be read page by page. If so, a page costs
    only what is in it, :meth:`push` and :meth:`push_many` return positions, and the storage counts
    ttl. If not, as with a storage that was written for snakeMQ 1.6, each queue is read whole at the
    start and kept in memory."""

    blocks: bool = True
    """Whether a call may take a while, because a disk or a server has to answer. Then ``Messaging``
    calls the storage in a thread of its own; if not, in its loop. A storage that can be used only
    in the thread of the loop sets this to False, and holds up the loop with each call."""
    keeps_headers: bool = False
    """Whether the headers of a message are stored with it. If not, as with a storage that was
    written before 2.1, a persistent message with headers is refused before anything is stored."""

    @abstractmethod
    def close(self) -> None:
        """Release everything. Idempotent. No other method may be used afterwards."""

    @abstractmethod
    def get_queues(self) -> Sequence[str]:
        """Return the names of the queues that have at least one item, in any order."""

    @abstractmethod
    def get_items(self, queue_name: str) -> Sequence[Message]:
        """Return the messages of a queue in order; empty if there is no such queue.

        The ``ttl`` of each message is what is left of it, in seconds.
        """

    @abstractmethod
    def push(self, queue_name: str, item: Message) -> int | None:
        """Append a message; it is durable when this returns.

        Returns its position, as :meth:`get_page` will return it: larger than that of every push to
        this queue that has returned before. If the message was ignored, the number is one that no
        other message has. ``None``: the position is not known, see :attr:`pageable`.
        """

    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Sequence[StoredMessage]:
        """Return the next messages of a queue in order, so that a backlog need not be in memory.

        ``after``: a position that was returned for this queue since the storage was opened; its
        message may have been deleted meanwhile. ``None``: from the beginning.

        ``limit``: at most this many messages, 1 or more.

        ``max_bytes``: the page ends with the message that brings its data, and the headers of its
        messages, to this many bytes.

        Empty only if there is nothing behind ``after``. A caller that reads page by page while
        others push and delete gets every message that stays, once. A message that is deleted, or
        deleted and pushed again, counts as it is when its page is read.

        A page costs only what is in it, however long the queue is. This default, for storages that
        were written for snakeMQ 1.6, costs more: it reads the whole queue and, to do so only once,
        returns everything behind ``after``, more than ``limit`` and ``max_bytes`` allow.
        """
        items = self.get_items(queue_name)
        positions = self._numbering().number(queue_name, [item.uuid for item in items])
        return [
            StoredMessage(position, item)
            for position, item in zip(positions, items, strict=True)
            if after is None or position > after
        ]

    def count(self, queue_name: str) -> int:
        """Return how many messages the queue has. This default reads them all; override it."""
        return len(self.get_items(queue_name))

    def push_many(self, queue_name: str, items: Iterable[Message]) -> Sequence[int] | None:
        """Append messages; they are durable when this returns. Returns their positions.

        If it raises, a storage that has transactions has stored none of them. This default pushes
        them one by one, and those before the error stay.
        """
        positions = [self.push(queue_name, item) for item in items]
        known = [position for position in positions if position is not None]
        return known if len(known) == len(positions) else None

    @abstractmethod
    def delete_items(self, items: Iterable[Message]) -> None:
        """Delete messages by their uuid, from every queue that has them."""

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        """Delete messages of this queue by their uuid; other queues keep theirs.

        This default, for storages that were written for snakeMQ 1.6, can only delete them from
        every queue. That is harmless while no message is sent to two peers; override it.
        """
        items = list(items)
        self.delete_items(items)
        self._numbering().forget([item.uuid for item in items])

    @abstractmethod
    def delete_all(self) -> None:
        """Delete all items and queues."""

    @abstractmethod
    def update_items_ttl(self, items: Iterable[Message]) -> None:
        """Store the present ``ttl`` of each message, found by its uuid."""

    def checkpoint_clock(self) -> None:  # noqa: B027 - optional: most writes do it as well
        """Write down for how long the storage has been open, if it counts ttl.

        A crash forgets the time since the last write, and messages with a ttl live that much
        longer. While such messages wait and nothing else is written, call this now and then; it
        costs one small write.
        """

    def _numbering(self) -> Numbering:
        # Made when needed: a subclass written for snakeMQ 1.6 does not call __init__.
        numbering: Numbering = self.__dict__.setdefault("_snakemq_numbering", Numbering())
        return numbering


@runtime_checkable
class InboxStorage(Protocol):
    """Remembers which messages a receiver has processed, across its restarts.

    A storage of queues can be one as well. The storage thread calls all methods; they raise
    :exc:`~snakemq.exceptions.StorageError` if the back end fails. An inbox that never blocks may
    say so by an attribute ``blocks``, as in :class:`QueuesStorageBase`: then the loop calls it.

    It should be a :class:`ForgetfulInbox`, too: a new ident costs its peer nothing, and an inbox
    that cannot forget keeps the uuids of every peer that ever came.
    """

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        """Note that messages of a peer were processed; durable when this returns.

        At least the last ``keep`` uuids of that peer have to be kept.
        """

    def recall(self, ident: str, count: int) -> Sequence[bytes]:
        """Return the last ``count`` uuids of a peer, oldest first; fewer if there are no more."""


@runtime_checkable
class ForgetfulInbox(Protocol):
    """An :class:`InboxStorage` that can forget peers. Its methods follow the same rules."""

    def remembered(self) -> Mapping[str, int]:
        """Return each peer that has uuids here, with their approximate number."""

    def forget(self, idents: Sequence[str]) -> None:
        """Forget all uuids of these peers. An unknown peer is not an error."""


@runtime_checkable
class TransactionalInbox(InboxStorage, Protocol):
    """An inbox in the database in which callbacks keep their own rows: what a callback has written
    and the record of its message become durable together, or not at all.

    All methods are called in the loop, in whose thread the callbacks write: ``blocks`` has to be
    False. For each message that is offered, :meth:`begin` is called, then the callbacks, then
    either :meth:`keep` or :meth:`undo`. After the messages that have arrived together,
    ``remember`` commits them all. It is never called between :meth:`begin` and what ends that;
    ``recall``, ``remembered`` and ``forget`` may be, and then commit nothing.

    If :meth:`begin`, :meth:`keep`, :meth:`undo` or ``remember`` raises, everything since the last
    commit is rolled back. The caller has these messages sent again, and calls ``recall`` before it
    offers one of them: whether a commit whose answer was lost has succeeded, only the database
    knows.
    """

    def begin(self) -> None:
        """Begin a message. What is written from now on can be undone by itself."""

    def keep(self, ident: str, uuid: bytes | None) -> None:
        """Keep what was written since :meth:`begin`. It is committed together with ``uuid``, as a
        processed message of ``ident``. ``None``: this message cannot come again.

        If this raises anything but a :exc:`~snakemq.exceptions.StorageError`, the database has
        refused these rows, and only they are rolled back. That counts as an error of the callback.
        """

    def undo(self) -> None:
        """Roll back what was written since :meth:`begin`, and nothing before it."""
