"""The contract of a queues storage."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from snakemq.message import Message

from ._numbering import Numbering


class StoredMessage(NamedTuple):
    """A message of a queue and its place there, as :meth:`QueuesStorageBase.get_page` gives it."""

    position: int
    """Larger than those of all messages that were pushed to this queue before. The numbers have
    gaps, and mean nothing once the storage was closed."""

    message: Message


class QueuesStorageBase(ABC):
    """Where persistent messages wait. One queue per ident of a peer.

    Duties of an implementation:

    - *Order*: :meth:`get_items` and :meth:`get_page` return messages in the order in which they
      were pushed. Of pushes by several threads at once, that is the order in which they became
      visible: nothing ever appears before a position that was returned already.
    - *Identity*: a message is a uuid in a queue. Pushing a uuid that is in this queue already
      is ignored, the message that is there keeps its place and its content; once deleted, it
      may be pushed again. The same uuid in two queues are two items. The names of queues are
      any Unicode text, the empty one too, and equal only if they have the same characters.
    - *Durability*: when :meth:`push` returns, the message survives the death of the process
      and, if the back end can do it, of the machine. Deletions may lag behind: a message that
      comes back costs a duplicate, one that is lost breaks the promise of the library.
    - *Exactness*: data of any length, all 16 bytes of the uuid, ttl (``None``, 0, fractions)
      and 32 bits of flags come back as they went in.
    - *Ttl*: the time during which nobody has the storage open does not count. The time while
      it is open is counted by the storage, if it can do so without rewriting its rows, or else
      by its user through :meth:`update_items_ttl`. An expired message has 0 left, never less.
      A storage that is :attr:`pageable` has to count.
    - *Copies*: changing a message after it was pushed, or one that was returned, changes
      nothing in the storage.
    - *Thread-safety*: :meth:`push` and :meth:`push_many` are called from any thread, the others
      from the loop.
    - *Idempotence*: deleting what is not there, and closing twice, are not errors.
    - *Errors*: whatever the back end raises is translated to
      :exc:`~snakemq.exceptions.StorageError`; so is the use of a closed storage. It is
      ``temporary`` when the same call may succeed later without anybody changing the program:
      a server that is away, a full disk, another owner. A push that raised has no effect as far
      as the back end lets the storage know; it may be repeated with the same message in any
      case. Two things are the caller's fault and not the storage's: a message that the back end
      can never hold is refused with :exc:`~snakemq.exceptions.SnakeMQMessageTooLarge`, a queue
      name that is not Unicode (a lone surrogate) with ``ValueError``.
    - *Patience*: a server that is away makes a call fail within seconds, and the first call
      after its return works again. Waiting and trying again is the caller's business.
    - *Unreadable content* of the back end is set aside and reported through the log; it neither
      gets lost nor holds up the rest of its queue.

    ``snakemq.queues.testing`` checks an implementation for all of this.
    """

    pageable: bool = False
    """May a long queue be left in the storage, to be read page by page? Then :meth:`get_page` costs
    what is in the page, :meth:`push` and :meth:`push_many` return positions, and the storage counts
    ttl. Otherwise, as of a storage that was written for snakeMQ 1.6, each queue is read as a whole
    at the start and kept in memory."""

    @abstractmethod
    def close(self) -> None:
        """Release everything. Idempotent. No other method may be used afterwards."""

    @abstractmethod
    def get_queues(self) -> Sequence[str]:
        """Names of the queues that have at least one item, in any order."""

    @abstractmethod
    def get_items(self, queue_name: str) -> Sequence[Message]:
        """The messages of a queue in their order; empty when there is no such queue.

        The ``ttl`` of a message is what is left of it, in seconds.
        """

    @abstractmethod
    def push(self, queue_name: str, item: Message) -> int | None:
        """Append a message; it is durable when this returns.

        Returns its position, as :meth:`get_page` will give it: above those of all pushes to this
        queue that had returned before. If the message was ignored, the number is one that no other
        message has. ``None``: not known, see :attr:`pageable`.
        """

    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Sequence[StoredMessage]:
        """The next messages of a queue in their order, so that a backlog need not be in memory.

        ``after``: a position that was returned for this queue since the storage was opened; its
        message may have been deleted meanwhile. ``None``: from the beginning.

        ``limit``: the most messages, 1 or more.

        ``max_bytes``: the page ends with the message whose data reaches this sum.

        Empty only if there is nothing behind ``after``. A reader that goes page by page while
        others push and delete gets every message that stays, once; a deleted one, and one that was
        deleted and pushed again, as it is when its page is read.

        A page costs what is in it, whatever the length of the queue. Not so this default, for
        storages that were written for snakeMQ 1.6: it reads the whole queue, and to do so only
        once returns everything behind ``after``, more than ``limit`` and ``max_bytes`` allow.
        """
        items = self.get_items(queue_name)
        positions = self._numbering().number(queue_name, [item.uuid for item in items])
        return [
            StoredMessage(position, item)
            for position, item in zip(positions, items, strict=True)
            if after is None or position > after
        ]

    def count(self, queue_name: str) -> int:
        """How many messages the queue has. This default reads them all; override it."""
        return len(self.get_items(queue_name))

    def push_many(self, queue_name: str, items: Iterable[Message]) -> Sequence[int] | None:
        """Append messages; they are durable when this returns. Returns their positions.

        When it raises, a storage that has transactions has stored none of them. This default
        pushes one after the other, and leaves those that came before the error.
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
        every queue. It does no harm where no message is sent to two peers; override it.
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

    def checkpoint_clock(self) -> None:  # noqa: B027 - most writes do it as well
        """Write down for how long the storage has been open, if it counts ttl.

        A crash forgets the time since the last write, by which messages with a ttl live longer. A
        program that may be idle for long while such messages wait calls this now and then; it costs
        one small write.
        """

    def _numbering(self) -> Numbering:
        # Made when needed: a subclass of snakeMQ 1.6 does not call __init__.
        numbering: Numbering = self.__dict__.setdefault("_snakemq_numbering", Numbering())
        return numbering


@runtime_checkable
class InboxStorage(Protocol):
    """Where a receiver remembers which messages it has processed, across its restarts.

    A storage of queues can be one as well. Both methods are called from the loop, and raise
    :exc:`~snakemq.exceptions.StorageError` when the back end fails.

    Idents cost nothing, so it should be a :class:`ForgetfulInbox` too: otherwise it keeps
    the uuids of every peer that ever came.
    """

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        """Messages of a peer were processed; durable when this returns.

        At least the last ``keep`` uuids of that peer have to be kept.
        """

    def recall(self, ident: str, count: int) -> Sequence[bytes]:
        """The last ``count`` uuids of a peer, the oldest first; fewer if there are no more."""


@runtime_checkable
class ForgetfulInbox(Protocol):
    """An :class:`InboxStorage` that can forget peers. Called and failing as that one."""

    def remembered(self) -> Mapping[str, int]:
        """The peers of which any uuids are kept, and how many, approximately."""

    def forget(self, idents: Sequence[str]) -> None:
        """Forget all uuids of these peers. Not an error for one that is not known."""
