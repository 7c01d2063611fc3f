"""The queue of a peer, as users look into it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from snakemq._settings import whole, zero_or_more
from snakemq.link import LinkInterface
from snakemq.message import Message
from snakemq.message._stack import size_of

from .._loop_calls import LoopCalls
from ._purging import Purging
from ._queue._expiry import ttl_left
from ._queue._stages import ASIDE, IN_CHUNKS, RETURNED
from ._queued import QueuedMessage, QueuedState

DEFAULT_LIMIT = 100
"""How many messages are listed."""

LOOP_TIMEOUT = 10.0
"""Seconds to wait for the loop."""

_STATES = {
    ASIDE: QueuedState.TOO_LARGE,
    IN_CHUNKS: QueuedState.IN_CHUNKS,
    RETURNED: QueuedState.RETURNED,
}


class _Look(NamedTuple):
    """What is in memory of a queue, and where to read on in the storage."""

    before: list[QueuedMessage]
    behind: list[QueuedMessage]
    """Those that wait for what is in the storage."""
    is_stored: bool
    cursor: int | None
    elsewhere: set[bytes]
    """Messages that are not in the queue, and may be in the storage still, or already."""


class PeerQueue:
    """What waits for one peer, or is on its way to it: see :meth:`Messaging.queue`.

    Thread-safe, also before the loop runs and in callbacks. Other threads wait for the loop, up to
    ``timeout`` seconds. If part of the queue is only in the storage, that is read: in a callback,
    the loop waits for it.

    Every method raises :exc:`~snakemq.exceptions.LoopError` if the loop does not answer in time,
    and in a process that inherited this stack through a fork, and
    :exc:`~snakemq.exceptions.StorageError`.
    """

    def __init__(
        self,
        ident: str,
        show: Callable[[int, bool, float], Sequence[QueuedMessage]],
        take_out: Callable[[bytes, float], bool],
    ) -> None:
        """For :class:`Messaging`: ``show`` and ``take_out`` are those of a :class:`QueueDesk`."""
        self.ident = ident
        self._show = show
        self._take_out = take_out

    def list(
        self, limit: int = DEFAULT_LIMIT, *, with_data: bool = False, timeout: float = LOOP_TIMEOUT
    ) -> Sequence[QueuedMessage]:
        """Return the first ``limit`` messages, in the order in which they leave: those in flight,
        those that wait in memory, those in the storage. Transient messages that wait behind stored
        ones come last.

        ``with_data``: return the messages themselves, too, as copies.
        """
        whole(1)("limit", limit)
        zero_or_more("seconds")("timeout", timeout)
        return self._show(limit, with_data, timeout)

    def cancel(self, uuid: bytes, *, timeout: float = LOOP_TIMEOUT) -> bool:
        """Take a message out of the queue, and out of the storage. Returns whether it was there.

        False for a message that is in flight, or that has left the queue. True: it will not be sent
        from now on. ``on_message_drop`` is called for it, with ``DropReason.PURGED``. If a part of
        it is on its way in chunks, the peer forgets that part. One that was in flight when a
        connection broke may have been processed.
        """
        if not isinstance(uuid, bytes):
            raise TypeError(f"a uuid is bytes, not {uuid!r}")
        zero_or_more("seconds")("timeout", timeout)
        return self._take_out(uuid, timeout)


class QueueDesk:
    """Looks into the queue of a peer, and takes messages out of it."""

    def __init__(
        self,
        ident: str,
        link: LinkInterface,
        calls: LoopCalls,
        purging: Purging,
        check_process: Callable[[], object],
    ) -> None:
        """``check_process``: raises if this is not the process that has the stack."""
        self._ident = ident
        self._time = link.time
        self._calls = calls
        self._purging = purging
        self._check_process = check_process

    def show(self, limit: int, with_data: bool, timeout: float) -> Sequence[QueuedMessage]:
        """See :meth:`PeerQueue.list`."""
        self._check_process()
        look = self._calls.make(lambda: self._look(limit, with_data), timeout)
        shown = look.before[:limit]
        if look.is_stored and len(shown) < limit:
            known = {row.uuid for row in shown} | look.elsewhere  # some may have come into memory
            stored = self._stored(look.cursor, with_data, timeout)
            unknown = (row for row in stored if row.uuid not in known)
            shown += islice(unknown, limit - len(shown))
        return shown + look.behind[: limit - len(shown)]

    def take_out(self, uuid: bytes, timeout: float) -> bool:
        """See :meth:`PeerQueue.cancel`."""
        self._check_process()
        return self._purging.cancel(self._ident, uuid, timeout)

    # -- inside

    def _look(self, limit: int, with_data: bool) -> _Look:
        """Show what is in memory. On the loop's side."""
        queue = self._purging.look_at(self._ident)
        if queue is None:
            return _Look([], [], is_stored=False, cursor=None, elsewhere=set())
        now = self._time()
        offsets = queue.lane.turns.offsets() if queue.lane and queue.lane.turns else {}

        def state_of(message: Message) -> QueuedState:
            if message in queue.large.barring:
                return QueuedState.RETURNED
            return _STATES.get(message.stage, QueuedState.WAITING)

        def rows(messages: Iterable[Message], state: QueuedState | None) -> list[QueuedMessage]:
            return [
                QueuedMessage(
                    message.uuid,
                    message.queued_size,
                    ttl_left(message, now),
                    message.flags,
                    max(0.0, now - message.queued_at),
                    state or state_of(message),
                    offsets.get(message.uuid, 0),
                    _copy(message) if with_data else None,
                )
                for message in islice(messages, limit)
            ]

        return _Look(
            rows(queue.in_flight, QueuedState.IN_FLIGHT) + rows(queue.before_backlog(), None),
            rows(queue.behind_backlog(), None),
            is_stored=queue.backlog.is_open,
            cursor=queue.backlog.cursor,
            elsewhere=self._purging.elsewhere(self._ident) if queue.backlog.is_open else set(),
        )

    def _stored(
        self, after: int | None, with_data: bool, timeout: float
    ) -> Iterator[QueuedMessage]:
        while page := self._purging.read(self._ident, after, timeout):
            for stored in page:
                message = stored.message
                yield QueuedMessage(
                    message.uuid,
                    size_of(message),
                    message.ttl,
                    message.flags,
                    None,
                    QueuedState.STORED,
                    message=message if with_data else None,
                )
            after = page[-1].position


def _copy(message: Message) -> Message:
    return Message(message.data, message.ttl, message.flags, message.uuid, message.headers)
