"""What was answered: so that a repeated request is not executed again."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

RUNNING = b""
"""Instead of a reply: the first request is being executed, its reply will come."""

REPLY_OVERHEAD = 256
"""Bytes that a queued reply is taken to need besides its data."""


class DroppedReply(NamedTuple):
    """A remembered reply that messaging has dropped."""

    req_id: bytes
    reply: bytes
    times: int
    """How often it was dropped by now."""


class _Finished:
    __slots__ = ("drops", "reply", "uuid")

    def __init__(self, reply: bytes, uuid: bytes) -> None:
        self.reply = reply
        self.uuid = uuid  # of the message that brought it last
        self.drops = 0


class _Client:
    __slots__ = ("finished", "running", "size", "unread")

    def __init__(self, unread: int) -> None:
        self.running: set[bytes] = set()
        self.finished: OrderedDict[bytes, _Finished] = OrderedDict()  # the oldest first
        self.size = 0  # of the replies, in bytes
        self.unread = unread  # bytes of replies that it may not have taken yet


class ReplyMemory:
    """The replies that were given, by the ident of the client and the id of the request.

    So a request that is repeated, because the connection broke before its reply arrived, is
    not executed again. It is bounded, and the oldest is forgotten first:

    - ``max_replies`` finished requests per ident,
    - ``max_bytes`` of their replies per ident,
    - ``max_idents`` idents; that one is forgotten which has been silent for the longest time.

    A running request is never forgotten, even if there are more idents because of that.

    It also knows which clients do not read: those to whom ``max_unread`` bytes of replies were
    sent which they may not have taken yet are in :attr:`full`. ``unread_of(ident)`` tells how many
    bytes those are in fact. It is not asked for each reply, but when that many were sent since it
    was asked last.

    Thread-safe.
    """

    def __init__(
        self,
        max_replies: int = 1024,
        max_bytes: int = 4 << 20,
        max_idents: int = 256,
        *,
        max_unread: float = float("inf"),
        unread_of: Callable[[str], int] = lambda _ident: 0,
    ) -> None:
        self._max_replies = max_replies
        self.max_bytes = max_bytes
        """A reply that is longer cannot be remembered."""
        self._max_idents = max_idents
        self._lock = threading.Lock()
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        self._max_unread = max_unread
        self._unread_of = unread_of
        self.full: set[str] = set()
        """Clients that have as many unread replies as they may have, or seem to."""

    def begin(self, ident: str, req_id: bytes) -> bytes | None:
        """A request came. None: execute it; :data:`RUNNING`: do nothing; else: its reply. For the
        loop only."""
        unread = 0 if ident in self._clients else self._unread_of(ident)  # which may take our lock
        with self._lock:
            client = self._clients.get(ident)
            if client is None:
                self._forget_silent(self._max_idents - 1)
                client = self._clients[ident] = _Client(unread)
            else:
                self._clients.move_to_end(ident)
                if req_id in client.running:
                    return RUNNING
                finished = client.finished.get(req_id)
                if finished is not None:
                    return finished.reply
            client.running.add(req_id)
            return None

    def finish(self, ident: str, req_id: bytes, reply: bytes, uuid: bytes, size: int) -> None:
        """A running request is done. ``uuid``: of the message that will bring the reply;
        ``size``: of its data, which may be others than those to be remembered."""
        with self._lock:
            client = self._clients[ident]
            client.running.remove(req_id)
            client.finished[req_id] = _Finished(reply, uuid)
            client.size += len(reply)
            while client.size > self.max_bytes or len(client.finished) > self._max_replies:
                client.size -= len(client.finished.popitem(last=False)[1].reply)
            self._count_unread(ident, client, size)
            self._forget_silent(self._max_idents)

    def abandon(self, ident: str, req_id: bytes, size: int = 0) -> None:
        """A request was not executed after all: a repeated one will be. ``size``: of a reply that
        says so."""
        with self._lock:
            client = self._clients[ident]
            client.running.remove(req_id)
            self._count_unread(ident, client, size)
            self._forget_silent(self._max_idents)

    def sent(self, ident: str, size: int) -> None:
        """A client gets a reply that is not remembered, of ``size`` bytes."""
        with self._lock:
            client = self._clients.get(ident)
            if client is None:
                self._forget_silent(self._max_idents - 1)
                client = self._clients[ident] = _Client(0)
            self._count_unread(ident, client, size)

    def sent_again(self, ident: str, req_id: bytes, uuid: bytes) -> None:
        """A finished request gets its reply once more, in the message ``uuid``."""
        with self._lock:
            client = self._clients.get(ident)
            finished = client and client.finished.get(req_id)
            if client and finished:
                finished.uuid = uuid
                self._count_unread(ident, client, len(finished.reply))

    def dropped(self, ident: str, uuid: bytes) -> DroppedReply | None:
        """Which reply was in this message? None if in none that is remembered.

        Takes a look at all of that ident, so it is not for what happens often.
        """
        with self._lock:
            client = self._clients.get(ident)
            for req_id, finished in client.finished.items() if client else ():
                if finished.uuid == uuid:
                    finished.drops += 1
                    return DroppedReply(req_id, finished.reply, finished.drops)
            return None

    def look_again(self, ident: str) -> bool:
        """Ask what a client that is :attr:`full` has not taken. True: it is not full any more.

        For the loop only, as ``unread_of`` is.
        """
        client = self._clients.get(ident)
        before = 0 if client is None else client.unread
        unread = self._unread_of(ident)
        if unread * 2 > self._max_unread:
            return False
        with self._lock:
            if client is not None:
                client.unread += unread - before  # others may have been sent meanwhile
            self.full.discard(ident)
        return True

    def _count_unread(self, ident: str, client: _Client, size: int) -> None:
        client.unread += size + REPLY_OVERHEAD
        if client.unread >= self._max_unread:
            self.full.add(ident)

    def _forget_silent(self, remaining: int) -> None:
        """Forget clients, silent for the longest time, until only this many remain."""
        while len(self._clients) > remaining:
            for ident, client in self._clients.items():
                if not client.running and ident not in self.full:
                    del self._clients[ident]
                    break
            else:
                return
