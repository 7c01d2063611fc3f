"""Remembers replies, so that a repeated request is not executed again."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

RUNNING = b""
"""Stands for the reply of a request that is still being executed."""

REPLY_OVERHEAD = 256
"""The estimated bytes that a queued reply needs besides its data."""


class DroppedReply(NamedTuple):
    """A remembered reply that messaging has dropped."""

    req_id: bytes
    reply: bytes
    times: int
    """How often it has been dropped so far."""


class _Finished:
    __slots__ = ("drops", "reply", "uuid")

    def __init__(self, reply: bytes, uuid: bytes) -> None:
        self.reply = reply
        self.uuid = uuid  # of the last message that carried it
        self.drops = 0


class _Client:
    __slots__ = ("finished", "running", "size", "unread")

    def __init__(self, unread: int) -> None:
        self.running: set[bytes] = set()
        self.finished: OrderedDict[bytes, _Finished] = OrderedDict()  # the oldest first
        self.size = 0  # of the replies, in bytes
        self.unread = unread  # bytes of replies that it may not have taken yet


class ReplyMemory:
    """Remembers replies by the ident of the client and the id of the request.

    A request that is repeated because the connection broke before its reply arrived is therefore
    not executed again. The memory is bounded, and forgets the oldest first:

    - ``max_replies`` finished requests per ident,
    - ``max_bytes`` of their replies per ident,
    - ``max_idents`` idents; it forgets the one that has been silent for the longest time.

    It never forgets a running request, even if that exceeds the number of idents.

    It also knows which clients do not read: :attr:`full` holds those that may not have taken
    ``max_unread`` bytes of their replies yet. ``unread_of(ident)`` returns how many bytes they have
    really not taken. It is not called for each reply, but once that many bytes were sent since its
    last call.

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
        """Note that a request came, and return what to do. For the loop only.

        ``None``: execute it; :data:`RUNNING`: do nothing; anything else is its reply.
        """
        unread = (
            0 if ident in self._clients else self._unread_of(ident)
        )  # before the lock, which it may take itself
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

    def find(self, ident: str, req_id: bytes) -> bytes | None:
        """Return what :meth:`begin` would return, but note nothing."""
        with self._lock:
            client = self._clients.get(ident)
            if client is None:
                return None
            if req_id in client.running:
                return RUNNING
            finished = client.finished.get(req_id)
            return finished.reply if finished is not None else None

    def finish(self, ident: str, req_id: bytes, reply: bytes, uuid: bytes, size: int) -> None:
        """Note that a running request is done, and remember its reply.

        ``uuid``: the message that will carry the reply. ``size``: the bytes of its data, which may
        differ from what is remembered.
        """
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
        """Note that a request was not executed after all; if it is repeated, it will be.

        ``size``: the bytes of a reply that says so.
        """
        with self._lock:
            client = self._clients[ident]
            client.running.remove(req_id)
            self._count_unread(ident, client, size)
            self._forget_silent(self._max_idents)

    def sent(self, ident: str, size: int) -> None:
        """Note that a client gets a reply of ``size`` bytes that is not remembered."""
        with self._lock:
            client = self._clients.get(ident)
            if client is None:
                self._forget_silent(self._max_idents - 1)
                client = self._clients[ident] = _Client(0)
            self._count_unread(ident, client, size)

    def sent_again(self, ident: str, req_id: bytes, uuid: bytes) -> None:
        """Note that a finished request gets its reply again, in the message ``uuid``."""
        with self._lock:
            client = self._clients.get(ident)
            finished = client and client.finished.get(req_id)
            if client and finished:
                finished.uuid = uuid
                self._count_unread(ident, client, len(finished.reply))

    def dropped(self, ident: str, uuid: bytes) -> DroppedReply | None:
        """Return the remembered reply that was in this message, if any, and count the drop.

        Searches all replies of that ident, so do not call it often.
        """
        with self._lock:
            client = self._clients.get(ident)
            for req_id, finished in client.finished.items() if client else ():
                if finished.uuid == uuid:
                    finished.drops += 1
                    return DroppedReply(req_id, finished.reply, finished.drops)
            return None

    def look_again(self, ident: str) -> bool:
        """Check how much a client in :attr:`full` has not taken. True: it is no longer full.

        For the loop only, like ``unread_of``.
        """
        client = self._clients.get(ident)
        before = 0 if client is None else client.unread
        unread = self._unread_of(ident)
        if unread * 2 > self._max_unread:
            return False
        with self._lock:
            if client is not None:
                client.unread += unread - before  # a thread may have added to it meanwhile
            self.full.discard(ident)
        return True

    def _count_unread(self, ident: str, client: _Client, size: int) -> None:
        client.unread += size + REPLY_OVERHEAD
        if client.unread >= self._max_unread:
            self.full.add(ident)

    def _forget_silent(self, remaining: int) -> None:
        """Forget the clients silent for the longest time, until only this many remain."""
        while len(self._clients) > remaining:
            for ident, client in self._clients.items():
                if not client.running and ident not in self.full:
                    del self._clients[ident]
                    break
            else:
                return
