"""Receipts: what has come of a message that was posted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from enum import Enum
from functools import partial
from time import monotonic
from weakref import WeakValueDictionary

from snakemq._settings import zero_or_more
from snakemq.callbacks import check_callback
from snakemq.exceptions import LoopError, SnakeMQException
from snakemq.link import Abilities, LinkInterface, forks
from snakemq.message import Message

from .._errands import Errands
from .._events import Events
from .._stats import DropReason


class ReceiptState(Enum):
    """How far a message has come. The last four are ends: after them, the state does not change."""

    POSTED = "posted"
    """It is not queued yet: the loop has not seen it, or the storage has not answered."""
    QUEUED = "queued"
    """It is in its queue, and durable if it is persistent."""
    SENT = "sent"
    """The operating system has taken over all of it, once at least. After a broken connection it
    may be sent again."""
    DELIVERED = "delivered"
    """The peer has processed it."""
    DROPPED = "dropped"
    """It will not be sent (again). It may have been processed all the same, except by a peer that
    has rejected it."""
    UNCONFIRMED = "unconfirmed"
    """Nobody will say what becomes of it. It went to a 1.6 peer, which acknowledges nothing; or the
    link was cleaned up first, and then the next process sends it if it is in the storage."""
    FAILED = "failed"
    """It was not queued, and the peer has never seen it: the queue was full, the storage failed, or
    the stack had ended. It may be posted again."""


_STEPS = {
    ReceiptState.POSTED: 0,
    ReceiptState.QUEUED: 1,
    ReceiptState.SENT: 2,
    ReceiptState.DELIVERED: 3,
}
"""The states in which a message goes on, or has arrived."""


class Dropped(SnakeMQException):
    """A message was dropped, so it is not confirmed that the peer has processed it."""

    def __init__(self, message: str, reason: DropReason, detail: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.detail = detail
        """What the receiver says of a message that it has rejected, a text of a stranger; otherwise
        ``""``."""


class Unconfirmed(SnakeMQException):
    """Nobody will say what becomes of a message: see :attr:`ReceiptState.UNCONFIRMED`."""


class Course:
    """What is known of one message. Only :class:`Receipts` writes it; any thread may read it."""

    __slots__ = (
        "__weakref__",
        "calls",
        "error",
        "ident",
        "state",
        "step",
        "twins",
        "uuid",
        "waiting",
    )

    def __init__(self, ident: str, uuid: bytes) -> None:
        self.ident: str = ident
        self.uuid: bytes = uuid
        self.state: ReceiptState = ReceiptState.POSTED
        self.step: int = 0
        """The farthest of :data:`_STEPS` that it has come; it stays when the message is dropped."""
        self.error: Exception | None = None
        """Why it has ended without being delivered."""
        self.waiting: list[Callable[[], object]] = []
        """Called after each change. Each thread that waits adds its own, which never blocks."""
        self.calls: tuple[Callable[[], object], ...] = ()
        """To be made at the end."""
        self.twins: list[Course] = []
        """All open ones of this uuid and peer, if there is more than one."""

    @property
    def is_done(self) -> bool:
        return self.error is not None or self.state is ReceiptState.DELIVERED

    def has_come_to(self, until: ReceiptState) -> bool:
        """Raises :attr:`error` if it will never come so far."""
        if self.step >= _STEPS[until]:
            return True
        if self.error is not None:
            raise self.error.with_traceback(None)  # it is raised in any number of threads
        return False


class Receipt:
    """What :meth:`Messaging.post` returns. It tells what has come of the message.

    Nothing is kept for a message whose receipt nobody holds. One with callbacks holds itself until
    they are called. A receipt ends with its process: what a later process delivers from the storage
    is reported by ``on_message_delivered`` and the like only.

    All of it is thread-safe.
    """

    __slots__ = ("_course", "_receipts")

    def __init__(self, course: Course, receipts: Receipts) -> None:
        self._course = course
        self._receipts = receipts

    @property
    def ident(self) -> str:
        """The peer that the message is for."""
        return self._course.ident

    @property
    def uuid(self) -> bytes:
        """The uuid of the message, 16 bytes."""
        return self._course.uuid

    @property
    def state(self) -> ReceiptState:
        """How far the message has come."""
        return self._course.state

    @property
    def is_done(self) -> bool:
        """Is this an end, after which the state does not change?"""
        return self._course.is_done

    @property
    def error(self) -> Exception | None:
        """Why the message has ended without being delivered: a :exc:`Dropped`, an
        :exc:`Unconfirmed`, or, if the state is ``FAILED``, what :meth:`wait` raises then. ``None``
        for one that goes on, or is delivered."""
        return self._course.error

    def reached(self, until: ReceiptState = ReceiptState.DELIVERED) -> bool:
        """Was the message ``DELIVERED``, or at least ``SENT`` or ``QUEUED``, at any time? Raises
        what :attr:`error` is if it will never be, and ``ValueError`` for any other state."""
        _check_until(until)
        return self._course.has_come_to(until)

    def wait(
        self, timeout: float | None = None, until: ReceiptState = ReceiptState.DELIVERED
    ) -> None:
        """Wait until the message is ``DELIVERED``, or at least ``SENT`` or ``QUEUED``.

        ``timeout``: seconds; ``None``: forever. Returns at once if the message was in that state at
        any time, whatever has become of it since.

        Raises what :attr:`error` is if the message ends before: :exc:`Dropped`, :exc:`Unconfirmed`,
        :exc:`~snakemq.exceptions.QueueFull`, :exc:`~snakemq.exceptions.StorageError` or
        :exc:`~snakemq.exceptions.LoopError`. Raises ``TimeoutError`` if the time is over; the
        message goes on. Also raises ``LoopError`` in the thread that runs the loop, which would
        wait for itself, and in a process that inherited the stack through a fork; and
        ``ValueError`` for any other state.
        """
        _check_until(until)
        zero_or_more("seconds", or_none=True)("timeout", timeout)
        self._receipts.wait(self._course, until, timeout)

    def add_done_callback(self, callback: Callable[[Receipt], object]) -> None:
        """Have ``callback(receipt)`` called when the state is an end; soon if it is one already.

        It is called in the loop, right before ``on_message_delivered`` and the like, and what it
        raises is reported by ``on_error``. Only when the link was cleaned up, it is called by the
        thread that does that, or, afterwards, by the one that calls this.

        Raises ``TypeError`` for something that cannot be a callback.
        """
        check_callback(callback)
        self._receipts.add_call(self._course, lambda: callback(self))

    def watch(self, on_change: Callable[[], object]) -> Callable[[], None]:
        """Have ``on_change()`` called whenever the state has changed, for an event loop or a
        framework of your own. Returns a function that ends this; call it once.

        It is called by the thread that changes the state, the loop as a rule, in the middle of its
        work: it must not block, raise, or use the stack. Look at :attr:`state` after this returns:
        what has changed before is not reported.
        """
        self._course.waiting.append(on_change)
        return partial(self._course.waiting.remove, on_change)

    def __repr__(self) -> str:
        return f"<Receipt {self.uuid.hex()} for {self.ident!r}: {self.state.value}>"


def _check_until(until: ReceiptState) -> None:
    if until is ReceiptState.POSTED or until not in _STEPS:
        raise ValueError(f"wait until QUEUED, SENT or DELIVERED, not {until!r}")


class Receipts:
    """Writes into the receipts what is reported of messages. For the loop, except what says so."""

    def __init__(self, link: LinkInterface, events: Events, errands: Errands) -> None:
        self.are_held: bool = False
        """May anybody hold a receipt of a message in a queue? While nobody does, nobody needs to
        report here."""
        self._in_loop = link.in_loop
        self._wait_until = Abilities(link).wait_until
        self._events = events
        self._errands = errands
        self._forks = forks.count
        self._is_over = False
        self._open: WeakValueDictionary[tuple[str, bytes], Course] = WeakValueDictionary()
        """Courses of messages in queues, by uuid, because a message that a page
        brings back from the storage is another object."""
        self._kept: set[Course] = set()
        """Those with callbacks, which must not vanish before these are called."""

    # -- from any thread

    def wait(self, course: Course, until: ReceiptState, timeout: float | None) -> None:
        """See :meth:`Receipt.wait`."""
        if course.has_come_to(until):
            return
        if self._forks != forks.count:
            raise LoopError("the message was posted by the parent process, before a fork")
        if self._in_loop():
            raise LoopError(
                "the loop cannot wait for itself: use add_done_callback() in a callback"
            )
        if self._wait_until is None:
            self._block(course, until, timeout)
        else:
            self._wait_until(lambda: course.is_done or course.step >= _STEPS[until], timeout)
        if not course.has_come_to(until):
            raise TimeoutError(
                f"the message is {course.state.value}, not {until.value}, after {timeout:g} s"
            )

    def _block(self, course: Course, until: ReceiptState, timeout: float | None) -> None:
        end = None if timeout is None else monotonic() + timeout
        bell = threading.Event()
        course.waiting.append(bell.set)  # before the next look, see _ring()
        try:
            while not course.has_come_to(until):
                if not bell.wait(None if end is None else max(0.0, end - monotonic())):
                    return
                bell.clear()
        finally:
            course.waiting.remove(bell.set)

    def add_call(self, course: Course, call: Callable[[], object]) -> None:
        """See :meth:`Receipt.add_done_callback`."""
        self._errands.give(lambda: self._add_call(course, call))
        if self._is_over:  # it is set before the last errands are run
            self._errands.run()

    # -- in the loop

    def _add_call(self, course: Course, call: Callable[[], object]) -> None:
        if course.is_done:
            self._events.call(None, call)
        else:
            course.calls = (*course.calls, call)
            self._kept.add(course)

    def queued(self, course: Course) -> None:
        """Note that a message is about to be put into its queue."""
        if self._is_over:
            self.unknown(course)
            return
        self._step(course, ReceiptState.QUEUED)
        self.are_held = True
        twin = self._open.setdefault((course.ident, course.uuid), course)
        if twin is not course:
            # The user has posted this uuid twice. For the receiver it is one message.
            # Each of them keeps the first one alive, and that one keeps and finds all.
            twin.twins = course.twins = [*(twin.twins or (twin,)), course]

    def sent(self, ident: str, messages: Iterable[Message], *, is_end: bool) -> None:
        """Note that the system has taken messages over. ``is_end``: that is all there will be to
        know, because the peer does not acknowledge."""
        for message in messages:
            if not self.are_held:
                return
            for course in self._find(ident, message.uuid, is_end=is_end):
                self._step(course, ReceiptState.SENT)
                if is_end:
                    error = Unconfirmed(f"{ident!r} runs snakeMQ 1.6, which acknowledges nothing")
                    self._end(course, ReceiptState.UNCONFIRMED, error)

    def delivered(self, ident: str, messages: Iterable[Message]) -> None:
        """Note that the peer has processed messages."""
        for message in messages:
            if not self.are_held:
                return
            for course in self._find(ident, message.uuid, is_end=True):
                self._end(course, ReceiptState.DELIVERED)

    def dropped(self, ident: str, uuid: bytes, reason: DropReason, detail: str) -> None:
        """Note that a message has left its queue without being delivered."""
        for course in self._find(ident, uuid, is_end=True):
            text = f"the message was dropped: {reason.value}{detail and f' ({detail})'}"
            self._end(course, ReceiptState.DROPPED, Dropped(text, reason, detail))

    def failed(self, course: Course, error: Exception) -> None:
        """Note that a message was not queued. In any thread, for one that no other thread knows
        yet."""
        self._end(course, ReceiptState.FAILED, error)

    def end(self) -> None:
        """End all that are open, because the link is gone."""
        self._is_over = True
        for course in list(self._open.values()):
            for twin in course.twins or (course,):
                self.unknown(twin)

    def unknown(self, course: Course) -> None:
        """Note that the link is gone while a message was queued, or was being stored."""
        error = Unconfirmed(
            "the link was cleaned up before the peer had acknowledged the message; if it is in the"
            " storage, the next process sends it"
        )
        self._end(course, ReceiptState.UNCONFIRMED, error)

    def _find(self, ident: str, uuid: bytes, *, is_end: bool) -> Iterable[Course]:
        found = self._open.get((ident, uuid))
        if found is None:
            self.are_held = bool(self._open)
            return ()
        if is_end:
            del self._open[ident, uuid]
        return found.twins or (found,)

    def _step(self, course: Course, state: ReceiptState) -> None:
        if course.step < _STEPS[state]:
            course.step = _STEPS[state]
            course.state = state
            self._ring(course)

    def _end(self, course: Course, state: ReceiptState, error: Exception | None = None) -> None:
        if course.is_done:
            return
        course.twins = []
        course.error = error
        course.step = _STEPS.get(state, course.step)
        course.state = state
        self._ring(course)
        self._kept.discard(course)
        calls, course.calls = course.calls, ()
        for call in calls:
            self._events.call(None, call)

    @staticmethod
    def _ring(course: Course) -> None:
        """Let threads look again. Those that look at the state before it changes have added their
        bells by now, or will look once more."""
        for ring in course.waiting.copy():
            ring()
