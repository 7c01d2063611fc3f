"""From the loop to the threads that process messages."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from types import TracebackType

from snakemq._settings import zero_or_more
from snakemq.exceptions import LoopError
from snakemq.identity import Identity
from snakemq.message import Message

from ._received import Desk, ReceivedMessage


class Row:
    """The messages that have arrived and that no thread has taken yet.

    The window of each sender bounds them: what is here is not acknowledged.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._in_loop = desk.messaging.packeter.link.in_loop
        # Not a deque and a lock: a thread that waits here can be interrupted at any time, and the
        # loop never waits for one that is about to look.
        self._row: SimpleQueue[ReceivedMessage | None] = SimpleQueue()
        self._is_over = False

    def put(self, message: Message, sender: Identity) -> None:
        """Add a message. In the loop."""
        self._row.put(ReceivedMessage(message, sender, self._desk))

    def take(self, timeout: float | None = None) -> ReceivedMessage | None:
        """Wait for a message. ``None``: the time is over, or the peer is being closed."""
        if self._in_loop():
            raise LoopError("the loop cannot wait for messages, because it is what brings them")
        try:
            message = self._row.get(timeout=timeout)
        except Empty:
            return None
        if message is None or self._is_over:
            self._row.put(None)  # for the next thread that waits
            return None
        return message

    def leave(self) -> None:
        """Note that this thread, which has taken messages, takes no more."""

    def end(self) -> None:
        """Give nothing out any more. What is still here is not acknowledged, and comes again to the
        next process."""
        self._is_over = True
        self._row.put(None)


class Messages:
    """The received messages, one after another: an iterator, see :meth:`Peer.messages`.

    It may be used as a context manager. Then it is known how a loop has ended: after ``break``, the
    last message is acknowledged. (An exception that is caught within the block looks like that,
    too.)
    """

    def __init__(self, row: Row, timeout: float | None) -> None:
        self._current: ReceivedMessage | None = None  # first, because __del__ reads it
        zero_or_more("seconds", or_none=True)("timeout", timeout)
        self._row = row
        self._timeout = timeout

    def __iter__(self) -> Messages:
        if self._current is not None:  # it is used again after a loop that was left
            self._turn_ends(_Left())
        return self

    def __next__(self) -> ReceivedMessage:
        self._turn_ends(None)
        message = self._current = self._row.take(self._timeout)
        if message is None:
            self._row.leave()
            raise StopIteration
        return message

    def __enter__(self) -> Messages:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._turn_ends(error)
        self._row.leave()

    def __del__(self) -> None:
        # A loop that has ended by itself has no current message. So the body has raised, or left
        # by break or return; Python does not tell which.
        if self._current is not None:
            self._turn_ends(_Left())
            self._row.leave()

    def _turn_ends(self, error: BaseException | None) -> None:
        message, self._current = self._current, None
        if message is not None:
            message.turn_ends(error)


class _Left(Exception):
    """The body of a loop was left."""
