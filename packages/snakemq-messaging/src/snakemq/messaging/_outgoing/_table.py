"""The queues by ident: any thread gets one, the loop forgets the empty ones."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from snakemq.message import Message

from ._queue._queue import OutgoingQueue


class QueueTable:
    """Makes queues and forgets them, so that no message is ever left in a forgotten one.

    Appending to a queue takes no lock. So a thread may append to a queue that the loop is about to
    forget, and looks at ``is_forgotten`` afterwards; the loop sets that first, and looks into the
    queue afterwards. One of the two sees the other.
    """

    def __init__(self) -> None:
        self._queues: dict[str, OutgoingQueue] = {}
        self.known = self._queues.get
        """Returns the queue of a peer, if there is one. Thread-safe."""
        self._forgetting = threading.RLock()
        self._in_question: OutgoingQueue | None = None
        """The queue that the loop is forgetting, while it has that lock."""

    # -- from any thread

    def get(self, ident: str) -> OutgoingQueue:
        """Return the queue of a peer; make one if there is none. Thread-safe."""
        queue = self._queues.get(ident)
        if queue is None:
            queue = self._queues.setdefault(ident, OutgoingQueue(ident))
        return queue

    def keep(self, queue: OutgoingQueue, message: Message) -> OutgoingQueue:
        """Move a message out of a queue that was forgotten while the message was appended to it.

        Returns the queue that the message is in then. Thread-safe. Call it whenever
        ``is_forgotten`` is set after an append. The loop looks into an empty queue once more after
        it has set that flag: if it does not see the message then, it never will.
        """
        while queue.is_forgotten:
            with self._forgetting:
                if queue is self._in_question or not queue.is_forgotten:
                    break  # or this is a signal handler, in the middle of that: see revived()
                queue.incoming.remove(message)
            queue = self.get(queue.ident)
            queue.append(message)
        return queue

    def __iter__(self) -> Iterator[OutgoingQueue]:
        return iter(list(self._queues.values()))

    # -- in the loop

    def forget(self, queue: OutgoingQueue) -> bool:
        """Forget an empty queue. False if it was forgotten before, or is not empty after all."""
        if self._queues.get(queue.ident) is not queue:
            return False
        with self._forgetting:  # see keep()
            try:
                self._in_question = queue
                queue.is_forgotten = True
                if queue.incoming:
                    queue.is_forgotten = False
                    return False
                del self._queues[queue.ident]
            finally:
                self._in_question = None
                queue.is_forgotten = self._queues.get(queue.ident) is not queue
        return True

    def revived(self, queue: OutgoingQueue) -> OutgoingQueue:
        """Return the queue to look at in place of an announced one.

        It is another one if a signal handler put something into this one while it was forgotten.
        """
        if not queue.is_forgotten:
            return queue
        present = self.get(queue.ident)
        while queue.incoming:
            present.append(queue.incoming.popleft())
        return present
