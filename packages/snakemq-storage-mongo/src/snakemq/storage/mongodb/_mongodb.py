"""The storage that keeps queues in collections of MongoDB."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pymongo import MongoClient, UpdateMany

from snakemq._settings import Fixed, above_zero, function, instance_of, zero_or_more
from snakemq.message import Message
from snakemq.queues import QueuesStorageBase, StoredMessage
from snakemq.queues.parts import Border, Pushes

from ._client import make_client
from ._database import Database
from ._deletion import delete, delete_all
from ._documents import Document, check_size
from ._errors import explain
from ._inbox import Inbox
from ._reading import read_page, read_queue_names


class MongoDbQueuesStorage(QueuesStorageBase):
    """Keeps queues in MongoDB (4.4 or newer), and an inbox.

    ``host``: a host name, a URI (``mongodb://...``) or a client of yours, which is not closed.

    ``port``: the port, if ``host`` is a name without one.

    ``database``: by default that of the URI, or ``snakemq``.

    ``client_options``: for :class:`pymongo.MongoClient`, unless ``host`` is a client.

    Settings are attributes, too, read-only after the construction:

    - ``collection``: what the names of the collections begin with: ``snakemq.messages``,
      ``snakemq.inbox``, ``snakemq.set_aside``, ``snakemq.state``.
    - ``owner_timeout``: how many seconds to wait for another owner to release the storage.
    - ``owner_lease``: for how many seconds an owner stays the owner without renewing that.
    - ``clock``: a function that returns monotonic seconds.

    1.6's ``snakemq.snakemq_items`` is taken over: its messages are copied in order, and it is
    renamed to ``snakemq.snakemq_items_v16_backup``.

    *Durability*: when :meth:`push` or :meth:`push_many` returns, the messages are in the journal
    (``j=True``) of the majority of the members, or of as many as the client's own ``w`` says.
    Deletions need not be: a crash of the server may undo the latest of them.

    *Batches*: a batch is one command, but not a transaction. If it fails in the middle, what was
    stored is deleted again. Only if this process dies at that moment, the first messages stay.

    *One owner*: a second storage on the same collections, in any process, raises
    :exc:`StorageError` with ``temporary`` set. A thread renews the ownership. An owner that dies
    without closing is replaced at once by an owner on the same Linux machine, or else after
    ``owner_lease`` seconds. An owner that stood still for longer than that, and was replaced,
    raises :exc:`StorageError` from then on. A forked child cannot use its parent's storage.

    *While the server is away*, or elects a primary, each call fails within a second
    (``serverSelectionTimeoutMS``). If the server stops answering, calls fail within 10 seconds
    (``socketTimeoutMS``), new connections within 5 (``connectTimeoutMS``). The URI and the options
    may change these. The first call after the server's return works, and undoes what a push that
    raised may have left.

    *Limits*: a message and the name of its queue must fit into a document of 16 MiB, or a push
    raises :exc:`SnakeMQMessageTooLarge`.

    *Threads*: every method may be called from any thread. Threads that push at the same time
    share commands. A signal handler or a finalizer may push, too; if it interrupts a call of its
    own thread, what it pushes is durable as soon as that has ended.

    *Ttl* counts down while the storage is open and stands still while it is closed. After a crash
    the clock goes on from the last write, at most a third of ``owner_lease`` before the crash.

    *Unreadable documents* are moved to the collection ``snakemq.set_aside`` and reported to the
    logger ``snakemq.storage.mongodb``.

    Every failure of the database raises :exc:`~snakemq.exceptions.StorageError`.
    """

    pageable = True
    keeps_headers = True

    collection: Fixed[str] = Fixed(instance_of(str))
    owner_timeout: Fixed[float] = Fixed(zero_or_more("seconds"))
    owner_lease: Fixed[float] = Fixed(above_zero("seconds"))
    clock: Fixed[Callable[[], float]] = Fixed(function())

    def __init__(
        self,
        host: str | MongoClient[Document] = "localhost",
        port: int = 27017,
        database: str | None = None,
        collection: str = "snakemq",
        *,
        owner_timeout: float = 5.0,
        owner_lease: float = 15.0,
        clock: Callable[[], float] = time.monotonic,
        **client_options: Any,
    ) -> None:
        self.collection = collection
        self.owner_timeout = owner_timeout
        self.owner_lease = owner_lease
        self.clock = clock
        self._own_client: MongoClient[Document] | None = None
        if isinstance(host, str):
            with Border(f"MongoDB storage {collection!r}", explain):
                host = self._own_client = make_client(host, port, client_options)
        try:
            self._database = Database(
                host,
                database,
                collection,
                owner_timeout=owner_timeout,
                owner_lease=owner_lease,
                clock=clock,
            )
        except BaseException:
            self._close_client()
            raise
        self._collections = self._database.collections
        self._inbox = Inbox(self._collections.inbox)
        self._pushes = Pushes(self._database.gate, self._database.positions, self._store)

    def close(self) -> None:
        """Release the storage. Idempotent."""
        self._database.close(finish=self._close_client)

    def get_queues(self) -> Sequence[str]:
        """Return the names of the queues that have at least one item."""
        return self._database.run(lambda: read_queue_names(self._collections))

    def get_items(self, queue_name: str) -> Sequence[Message]:
        """Return the messages of a queue in order, each with what is left of its ttl."""
        return [stored.message for stored in self._read(queue_name, None, None, None)]

    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Sequence[StoredMessage]:
        """Return the next messages of a queue. Costs only what is in the page."""
        return self._read(queue_name, after, limit, max_bytes)

    def count(self, queue_name: str) -> int:
        """Return how many messages the queue has. The server counts them in an index."""
        messages = self._collections.messages
        return self._database.run(lambda: messages.count_documents({"queue_name": queue_name}))

    def push(self, queue_name: str, item: Message) -> int:
        """Append a message; it is durable when this returns.

        A message whose uuid is already in this queue is ignored.
        """
        check_size(queue_name, item)
        return self._pushes.push(queue_name, (item,))[0]

    def push_many(self, queue_name: str, items: Iterable[Message]) -> Sequence[int]:
        """Append messages; if this raises, none of them stays."""
        items = list(items)
        for item in items:
            check_size(queue_name, item)
        return self._pushes.push(queue_name, items)

    def delete_items(self, items: Iterable[Message]) -> None:
        """Delete messages by their uuid, from every queue that has them."""
        self._delete({}, items)

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        """Delete messages of this queue by their uuid."""
        self._delete({"queue_name": queue_name}, items)

    def delete_all(self) -> None:
        """Delete all items and queues. What was set aside stays."""
        self._database.run(lambda: delete_all(self._collections.lazy_messages))

    def update_items_ttl(self, items: Iterable[Message]) -> None:
        """Store the present ``ttl`` of each message, found by its uuid.

        There is no need to call this for the time that passes: the storage counts it.
        """
        ttls = [(item.uuid, item.ttl) for item in items]

        def update() -> None:
            now = self._database.clock.now()
            self._collections.lazy_messages.bulk_write(
                [
                    UpdateMany({"uuid": uuid}, {"$set": {"ttl": ttl, "stored_at": now}})
                    for uuid, ttl in ttls
                ]
            )

        if ttls:
            self._database.run(update)

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        """Note that messages of a peer were processed; durable when this returns.

        What is older than the last ``keep`` uuids of that peer is forgotten, batch by batch.
        """
        self._database.run(lambda: self._inbox.remember(ident, list(uuids), keep))

    def recall(self, ident: str, count: int) -> Sequence[bytes]:
        """Return the last ``count`` uuids of a peer, oldest first; fewer if there are no more."""
        return self._database.run(lambda: self._inbox.recall(ident, count))

    def remembered(self) -> Mapping[str, int]:
        """Return how many uuids of each peer are kept."""
        return self._database.run(self._inbox.remembered)

    def forget(self, idents: Sequence[str]) -> None:
        """Forget all uuids of these peers."""
        self._database.run(lambda: self._inbox.forget(list(idents)))

    def checkpoint_clock(self) -> None:
        """Write down for how long the storage has been open; the owner's thread does so, too."""
        self._database.run(self._database.lease.renew)

    def _store(self, messages: Sequence[tuple[str, Message]], first: int | None) -> int:
        """Store pushed messages. Called in turn, see :class:`Pushes`."""
        database = self._database
        return database.run_in_turn(
            lambda: database.insertion.insert(messages, database.clock.now(), first)
        )

    def _delete(self, queue: Document, items: Iterable[Message]) -> None:
        uuids = [item.uuid for item in items]
        if uuids:
            self._database.run(lambda: delete(self._collections.lazy_messages, queue, uuids))

    def _read(
        self, queue_name: str, after: int | None, limit: int | None, max_bytes: int | None
    ) -> list[StoredMessage]:
        wanted = (queue_name, after or 0, limit, max_bytes)
        return self._database.run(
            lambda: read_page(self._collections, self._database.clock.now(), wanted)
        )

    def _close_client(self) -> None:
        if self._own_client is not None:
            self._own_client.close()
