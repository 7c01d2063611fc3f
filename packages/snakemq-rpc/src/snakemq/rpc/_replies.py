import threading
from collections import OrderedDict
from typing import NamedTuple

RUNNING = b""
"""Instead of a reply: the first request is being executed, its reply will come."""


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
    __slots__ = ("finished", "running", "size")

    def __init__(self) -> None:
        self.running: set[bytes] = set()
        self.finished: OrderedDict[bytes, _Finished] = OrderedDict()  # the oldest first
        self.size = 0  # of the replies, in bytes


class ReplyMemory:
    """The replies that were given, by the ident of the client and the id of the request.

    So a request that is repeated, because the connection broke before its reply arrived, is
    not executed again. It is bounded, and the oldest is forgotten first:

    - ``max_replies`` finished requests per ident,
    - ``max_bytes`` of their replies per ident,
    - ``max_idents`` idents; that one is forgotten which has been silent for the longest time.

    A running request is never forgotten, even if there are more idents because of that.
    Thread-safe.
    """

    def __init__(
        self, max_replies: int = 1024, max_bytes: int = 4 << 20, max_idents: int = 256
    ) -> None:
        if max_replies < 0 or max_bytes < 0 or max_idents < 1:
            raise ValueError("the reply memory needs bounds of at least 0, and one ident")
        self._max_replies = max_replies
        self._max_bytes = max_bytes
        self._max_idents = max_idents
        self._lock = threading.Lock()
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    def begin(self, ident: str, req_id: bytes) -> bytes | None:
        """A request came. None: execute it; :data:`RUNNING`: do nothing; else: its reply."""
        with self._lock:
            client = self._clients.get(ident)
            if client is None:
                self._forget_silent(self._max_idents - 1)
                client = self._clients[ident] = _Client()
            else:
                self._clients.move_to_end(ident)
                if req_id in client.running:
                    return RUNNING
                finished = client.finished.get(req_id)
                if finished is not None:
                    return finished.reply
            client.running.add(req_id)
            return None

    def fits(self, reply: bytes) -> bool:
        """Is this reply short enough to be remembered?"""
        return len(reply) <= self._max_bytes

    def finish(self, ident: str, req_id: bytes, reply: bytes, uuid: bytes) -> None:
        """A running request is done. ``uuid``: of the message that will bring the reply."""
        with self._lock:
            client = self._clients[ident]
            client.running.remove(req_id)
            client.finished[req_id] = _Finished(reply, uuid)
            client.size += len(reply)
            while client.size > self._max_bytes or len(client.finished) > self._max_replies:
                client.size -= len(client.finished.popitem(last=False)[1].reply)
            self._forget_silent(self._max_idents)

    def abandon(self, ident: str, req_id: bytes) -> None:
        """A request was not executed after all: a repeated one shall be."""
        with self._lock:
            self._clients[ident].running.remove(req_id)
            self._forget_silent(self._max_idents)

    def sent_again(self, ident: str, req_id: bytes, uuid: bytes) -> None:
        """A finished request gets its reply once more, in the message ``uuid``."""
        with self._lock:
            client = self._clients.get(ident)
            finished = client and client.finished.get(req_id)
            if finished:
                finished.uuid = uuid

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

    def _forget_silent(self, remaining: int) -> None:
        """Forget clients, silent for the longest time, until only so many remain."""
        while len(self._clients) > remaining:
            for ident, client in self._clients.items():
                if not client.running:
                    del self._clients[ident]
                    break
            else:
                return
