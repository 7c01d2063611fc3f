from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias, TypeVar

from pymongo import ASCENDING, DESCENDING, MongoClient, UpdateMany
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from snakemq.exceptions import StorageError
from snakemq.message import Message
from snakemq.queues import QueuesStorageBase, StoredMessage
from snakemq.queues.parts import GroupCommit, OwnerClock, Turn

from . import _inbox
from ._client import durable, make_client
from ._deletion import delete, delete_all
from ._documents import Document, check_size
from ._errors import is_lost, translated
from ._insertion import Insertion
from ._lease import InUse, Lease, Lost
from ._reading import read_page, read_queue_names, set_aside
from ._takeover import take_over_v16

T = TypeVar("T")

log = logging.getLogger("snakemq.storage.mongodb")

_Row: TypeAlias = tuple[str, Message, float]
"""The name of a queue, a message, and since when it waits to be stored."""

SCHEMA_VERSION = 1


class MongoDbQueuesStorage(QueuesStorageBase):
    """Queues in MongoDB (4.4 or newer), and what was received.

    ``host``: a host name, a URI (``mongodb://...``) or a client of yours, which is not closed.

    ``port``: if ``host`` is a name without one.

    ``database``: by default the one of the URI, or ``snakemq``.

    ``collection``: what the names of the collections begin with: ``snakemq.messages``,
    ``snakemq.inbox``, ``snakemq.set_aside``, ``snakemq.state``. 1.6's ``snakemq.snakemq_items`` is
    taken over: its messages are copied, in their order, and it is renamed to
    ``snakemq.snakemq_items_v16_backup``.

    ``owner_timeout``: how many seconds to wait for another owner to let go.

    ``owner_lease``: for how many seconds an owner stays one that does not say so again.

    ``clock``: monotonic seconds.

    ``client_options``: for :class:`pymongo.MongoClient`, unless ``host`` is a client.

    *Durability*: when :meth:`push` or :meth:`push_many` returns, the messages are in the journal
    (``j=True``) of the majority of the members, or of as many as the client's own ``w`` says.
    Deletions need not be: after a crash of the server the latest may be undone.

    *Batches*: a batch is one command, but no transaction. If it fails in the middle, what was
    stored is deleted again; only when this process dies in the same moment the first ones stay.

    *One owner*: a second storage on the same collections, in whatever process, raises
    :exc:`StorageError` with ``temporary`` set. A thread renews the ownership. An owner that dies
    without closing is replaced at once by one on the same (Linux) machine, elsewhere after
    ``owner_lease`` seconds. An owner that stood still for longer than that, and was replaced,
    raises :exc:`StorageError` from then on. A forked child cannot use its parent's storage.

    *When the server is away*, or elects a primary, each call fails within a second
    (``serverSelectionTimeoutMS``); within 10 if it stops answering (``socketTimeoutMS``, and 5 for
    a new connection, ``connectTimeoutMS``), unless the URI or the options say otherwise. The first
    call after its return works. A push that raised is undone then, should the server have done it.

    *Limits*: a message and the name of its queue must fit into a document of 16 MiB;
    :exc:`SnakeMQMessageTooLarge` is raised otherwise.

    *Threads*: every method may be called from any thread. Threads that push at the same time
    share commands. A signal handler or a finalizer may push as well; in the middle of a call of its
    own thread what it pushes is durable as soon as that has ended.

    *Ttl*: counts down while the storage is open and stands still while it is not. After a crash
    it goes on from the last thing that was written, a third of ``owner_lease`` ago at most.

    *Unreadable documents* are moved to the collection ``snakemq.set_aside`` and reported to the
    logger ``snakemq.storage.mongodb``.

    Every failure of the database raises :exc:`~snakemq.exceptions.StorageError`.
    """

    pageable = True

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
        self._turn = Turn(log)
        self._pid = os.getpid()
        self._unusable = ""
        self._place = f"{collection!r}"
        self._inbox_ends: dict[str, int] = {}
        with translated(self._place):
            self._own_client: MongoClient[Document] | None = None
            if isinstance(host, str):
                host = self._own_client = make_client(host, port, client_options)
            # To wait for a silent server takes that long; one that is away refuses sooner.
            self._turn.slow = (host.options.pool_options.socket_timeout or 0.0) / 2
            try:
                if database is None:
                    database = host.get_default_database("snakemq").name
                self._parent = host[database][collection]
                self._place = f"{self._parent.full_name!r}"
                concern = durable(host.write_concern)
                self._messages = self._parent["messages"].with_options(write_concern=concern)
                lazily = WriteConcern(w=1)
                self._lazy_messages = self._messages.with_options(write_concern=lazily)
                self._inbox = self._parent["inbox"].with_options(write_concern=concern)
                self._state = self._parent["state"].with_options(write_concern=concern)
                self._become_owner(owner_timeout, owner_lease, clock)
            except BaseException:
                if self._own_client is not None:
                    self._own_client.close()
                raise

    def _become_owner(self, timeout: float, lease: float, clock: Callable[[], float]) -> None:
        self._clock = OwnerClock(clock, 0.0)
        self._lease = Lease(self._state, lease, lambda: self._clock.now())
        try:
            self._lease.acquire(timeout)
        except InUse as error:
            raise StorageError(
                f"MongoDB storage {self._place}: it is in use by another storage object,"
                f" {error}; two owners would deliver its messages twice",
                temporary=True,
            ) from error
        try:
            self._prepare(clock)
        except BaseException:
            with suppress(PyMongoError):
                self._lease.release()
            raise
        self._lease.keep()

    def _prepare(self, clock: Callable[[], float]) -> None:
        schema = self._state.find_one({"_id": "schema"})
        version = schema["version"] if schema else None
        if version not in (None, SCHEMA_VERSION):
            raise StorageError(
                f"MongoDB storage {self._place} has schema version {version}, this"
                f" snakemq-storage-mongo knows versions up to {SCHEMA_VERSION}; upgrade it."
                " Nothing was changed."
            )
        self._messages.create_index([("queue_name", ASCENDING), ("_id", ASCENDING)])
        by_uuid = [("uuid", ASCENDING), ("queue_name", ASCENDING)]
        self._messages.create_index(by_uuid, unique=True)
        self._inbox.create_index([("ident", ASCENDING), ("end", ASCENDING)], unique=True)
        self._state.replace_one({"_id": "schema"}, {"version": SCHEMA_VERSION}, upsert=True)
        last = self._messages.find_one({}, {"stored_at": True}, sort=[("_id", DESCENDING)]) or {
            "_id": 0
        }
        owner = self._state.find_one({"_id": "owner"}) or {}
        readings = [owner.get("seconds"), last.get("stored_at")]
        known = [reading for reading in readings if isinstance(reading, float)]
        self._clock = OwnerClock(clock, max(known, default=0.0))
        self._insertion = Insertion(self._messages, last["_id"] + 1)
        self._group = GroupCommit(self._turn.lock, self._insert)
        take_over_v16(
            self._parent,
            lambda rows: self._insertion.insert(rows, self._clock.now()),
            lambda _, document, reason: set_aside(self._parent, document, reason),
        )

    def close(self) -> None:
        """Let go of the storage. Idempotent."""
        if self._unusable:
            return
        with self._turn.call():
            if self._unusable:
                return
            self._unusable = "it is closed"
            if os.getpid() == self._pid:
                with suppress(PyMongoError):  # the next owner has to wait a little
                    self._lease.release()
                if self._own_client is not None:
                    self._own_client.close()

    def get_queues(self) -> Sequence[str]:
        """Names of the queues that have at least one item."""
        return self._run(lambda: read_queue_names(self._parent, self._messages))

    def get_items(self, queue_name: str) -> Sequence[Message]:
        """The messages of a queue in their order, with what is left of their ttl."""
        return [stored.message for stored in self._read(queue_name, None, 0, None)]

    def get_page(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None = None
    ) -> Sequence[StoredMessage]:
        """The next messages of a queue; costs what is in the page, however long the queue is."""
        return self._read(queue_name, after, limit, max_bytes)

    def count(self, queue_name: str) -> int:
        """How many messages the queue has. The server counts them in an index."""
        return self._run(lambda: self._messages.count_documents({"queue_name": queue_name}))

    def push(self, queue_name: str, item: Message) -> int:
        """Append a message; it is durable when this returns.

        A message whose uuid is in this queue already is ignored.
        """
        check_size(queue_name, item)
        self._check_usable()
        return self._group.write(((queue_name, item, time.monotonic()),))[0]

    def push_many(self, queue_name: str, items: Iterable[Message]) -> Sequence[int]:
        """Append messages; when this raises, none of them stays."""
        now = time.monotonic()
        rows = [(queue_name, item, now) for item in items]
        for _, item, _ in rows:
            check_size(queue_name, item)
        self._check_usable()
        return self._group.write(rows) if rows else ()

    def delete_items(self, items: Iterable[Message]) -> None:
        """Delete messages by their uuid, from every queue that has them."""
        self._delete({}, items)

    def delete(self, queue_name: str, items: Iterable[Message]) -> None:
        """Delete messages of this queue by their uuid."""
        self._delete({"queue_name": queue_name}, items)

    def delete_all(self) -> None:
        """Delete all items and queues. What was set aside stays."""
        self._run(lambda: delete_all(self._lazy_messages))

    def update_items_ttl(self, items: Iterable[Message]) -> None:
        """Store the present ``ttl`` of each message, found by its uuid.

        There is no need to call this for the time that passes: the storage counts it.
        """
        ttls = [(item.uuid, item.ttl) for item in items]

        def update() -> None:
            now = self._clock.now()
            self._lazy_messages.bulk_write(
                [
                    UpdateMany({"uuid": uuid}, {"$set": {"ttl": ttl, "stored_at": now}})
                    for uuid, ttl in ttls
                ]
            )

        if ttls:
            self._run(update)

    def remember(self, ident: str, uuids: Sequence[bytes], keep: int) -> None:
        """Messages of a peer were processed; durable when this returns.

        What is older than the last ``keep`` uuids of that peer is forgotten, by batches.
        """
        ends = self._inbox_ends
        self._run(lambda: _inbox.remember(self._inbox, ends, ident, list(uuids), keep))

    def recall(self, ident: str, count: int) -> Sequence[bytes]:
        """The last ``count`` uuids of a peer, the oldest first; fewer if there are no more."""
        return self._run(lambda: _inbox.recall(self._inbox, ident, count))

    def remembered(self) -> Mapping[str, int]:
        """How many uuids of each peer are kept."""
        return self._run(lambda: _inbox.remembered(self._inbox))

    def forget(self, idents: Sequence[str]) -> None:
        """Forget all uuids of these peers."""
        ends = self._inbox_ends
        self._run(lambda: _inbox.forget(self._inbox, ends, list(idents)))

    def checkpoint_clock(self) -> None:
        """Write down for how long the storage has been open; the owner's thread does it as well."""
        self._run(self._lease.renew)

    def _run(self, work: Callable[[], T]) -> T:
        """Run ``work``, once more if the connection turns out to be lost; so it must not mind if
        it was done already."""
        self._check_usable()
        since = time.monotonic()
        with self._turn.call():
            return self._run_locked(work, since)

    def _run_locked(self, work: Callable[[], T], since: float) -> T:
        self._check_usable()
        self._turn.check(since)
        try:
            result = self._run_twice(work)
        except StorageError as error:
            self._turn.failed(error)
            raise
        self._turn.worked()
        return result

    def _run_twice(self, work: Callable[[], T]) -> T:
        with translated(self._place):
            try:
                try:
                    return self._owned(work)
                except PyMongoError as error:
                    if not is_lost(error):
                        raise
                return self._owned(work)
            except Lost:
                self._lease.is_lost = True
                raise StorageError(
                    f"MongoDB storage {self._place}: this process did not renew its ownership in"
                    " time and another one has taken it; open the storage again"
                ) from None

    def _owned(self, work: Callable[[], T]) -> T:
        self._lease.ensure()
        self._insertion.undo()
        return work()

    def _check_usable(self) -> None:
        # Before the lock as well: in a forked child nobody may be left to release it.
        if os.getpid() != self._pid:
            raise StorageError(
                f"MongoDB storage {self._place}: a forked process cannot use the storage of its"
                " parent; open its own"
            )
        if self._unusable:
            raise StorageError(f"MongoDB storage {self._place}: {self._unusable}")

    def _insert(self, rows: Sequence[_Row]) -> int:
        """Called by the group commit, with the lock held. Returns the first one's position."""
        self._check_usable()
        if not self._turn.is_taken:
            with self._turn.call():
                return self._store(rows, None)
        # A signal handler in the middle of a call of this thread.
        seq = self._insertion.reserve(len(rows))
        self._turn.leave(lambda: self._store(rows, seq))
        return seq

    def _store(self, rows: Sequence[_Row], seq: int | None) -> int:
        """``seq``: the number of the first row; ``None``: the next one."""
        messages = [(name, item) for name, item, _ in rows]
        return self._run_locked(
            lambda: self._insertion.insert(messages, self._clock.now(), seq),
            max([since for _, _, since in rows]),
        )

    def _delete(self, queue: Document, items: Iterable[Message]) -> None:
        uuids = [item.uuid for item in items]

        if uuids:
            self._run(lambda: delete(self._lazy_messages, queue, uuids))

    def _read(
        self, queue_name: str, after: int | None, limit: int, max_bytes: int | None
    ) -> list[StoredMessage]:
        wanted = (queue_name, after or 0, limit, max_bytes)
        return self._run(lambda: read_page(self._parent, self._messages, self._clock.now(), wanted))
