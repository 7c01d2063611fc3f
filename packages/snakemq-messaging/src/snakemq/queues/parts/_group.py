"""Group commit: writers that come at the same time share one commit."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from time import perf_counter
from typing import Generic, TypeVar

from snakemq.exceptions import StorageError

from ._bell import Bell

Row = TypeVar("Row")

LONGEST_GATHERING = 0.05
"""Seconds to wait for other writers at most. A commit takes longer only where something is wrong: a
server that does not answer makes it fail after seconds, and half of that is too long to wait."""

MUTEX_PATIENCE = 0.05
"""Seconds. The books are held for microseconds; for longer only by a thread that was interrupted by
a signal handler, which then may wait for the lock that this thread has."""


class _Ticket(Generic[Row]):
    """What one thread wants to have written."""

    __slots__ = ("done", "error", "first", "rows")

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.done = False
        self.first = 0
        self.error: Exception | None = None


class _Group(Generic[Row]):
    """What is written in one commit. Nobody joins it any more when that begins."""

    __slots__ = ("bell", "tickets", "waiting")

    def __init__(self) -> None:
        self.tickets: list[_Ticket[Row]] = []
        self.waiting = 0
        """The threads that wait for the bell, and for which it did not ring yet."""
        self.bell: Bell | None = None
        """There is none as long as nobody needs it, and from the last time on that it rings."""


class GroupCommit(Generic[Row]):
    """Collects rows while a commit is under way, and commits them together in the next one.

    One of the waiting threads leads: it commits for all that wait; no thread of its own is
    needed. It waits a moment for those that were there last time, up to half of what the last
    commit took and 0.05 s; a lone writer waits for nobody. Threads that wait need four file
    descriptors all together, mostly; without any they queue for the lock.

    A signal handler or a finalizer that writes in the middle of a write of its own thread, or of
    anything else for which this thread has the lock, commits at once: whoever would lead may be the
    thread that it has interrupted.

    ``lock``: held during ``commit``. Others may use it, too. A :class:`threading.RLock`, as that of
    a :class:`Turn`, because ``commit`` is called in the middle of whatever was interrupted; with
    another lock such a handler would wait for its own thread.

    ``commit``: makes all rows durable in their order, or none, and raises. Returns the number of
    the first row; those of the others follow it one by one.
    """

    # The others sleep until they are done. If all of them queued for the one lock, each commit
    # would be followed by a row of threads that take it in turns only to find that they are done,
    # while those that are quick go in between with a commit for themselves alone. Measured with 16
    # threads on PostgreSQL: 1,900 messages a second, now 6,400.
    #
    # Any number of threads may lead: the lock lets one of them commit at a time, and who finds that
    # it is done has nothing to do. So whenever it is not clear who goes on, somebody more is woken.

    def __init__(
        self, lock: AbstractContextManager[object], commit: Callable[[Sequence[Row]], int]
    ) -> None:
        self._pid = os.getpid()
        self._lock = lock
        self._has_lock: Callable[[], bool] = getattr(lock, "_is_owned", _no)  # as Condition does
        self._commit = commit
        self._writers: set[int] = set()
        """Threads that are inside :meth:`write`."""
        self._mutex = threading.RLock()  # for all of these, and never held for long
        self._open = _Group[Row]()  # whoever comes is in it
        self._is_led = False  # will somebody commit the open group?
        self._gathering: threading.Lock | None = None  # of the leader, while it waits for others
        self._expected = 1
        self._patience = 0.0
        self._spare_bells: list[Bell] = []

    def write(self, rows: Sequence[Row]) -> range:
        """Return the numbers of the rows when they are durable. Thread-safe.

        Raises what ``commit`` raised for them, and :exc:`~snakemq.exceptions.StorageError` in a
        process that has inherited this through a fork.
        """
        if os.getpid() != self._pid:  # who waits here would take the turn of a thread of the parent
            raise StorageError("this storage belongs to the parent process; after a fork open one")
        thread = threading.get_ident()
        if thread in self._writers or self._has_lock():
            with self._lock:
                number = self._commit(rows)
            return range(number, number + len(rows))
        try:
            self._writers.add(thread)
            return self._write(rows)
        finally:
            self._writers.discard(thread)

    def _write(self, rows: Sequence[Row]) -> range:
        ticket = _Ticket(rows)
        group, bell = None, None
        try:
            with self._mutex:
                group = self._open
                if self._is_led:
                    bell = self._bell_of(group)  # without one this thread leads as well
                self._is_led = True
                group.tickets.append(ticket)
                if bell is not None:
                    group.waiting += 1
                if self._gathering is not None and len(group.tickets) == self._expected:
                    self._gathering.release()
                    self._gathering = None
            if bell is not None and bell.wait():
                self._spare_bells.append(bell)
            if not ticket.done:
                self._lead(group)
        except BaseException:
            if group is not None:
                self._withdraw(group, ticket)
            raise
        if ticket.error is not None:
            raise ticket.error
        return range(ticket.first, ticket.first + len(rows))

    def _bell_of(self, group: _Group[Row]) -> Bell | None:
        if group.bell is None:
            try:
                group.bell = self._spare_bells.pop() if self._spare_bells else Bell()
            except OSError:  # no file descriptors are left
                return None
        return group.bell

    def _lead(self, group: _Group[Row]) -> None:
        while not self._led(group):
            pass
        self._wake(group)

    def _led(self, group: _Group[Row]) -> bool:
        """Returns False if another thread needs the lock for a moment before this can be done."""
        with self._lock:
            if group is self._open and self._gather(group):
                return False
            tickets = [ticket for ticket in group.tickets if not ticket.done]
            if tickets:
                began = perf_counter()
                self._commit_all(tickets)
                took = perf_counter() - began
                self._patience = min(LONGEST_GATHERING, took / 2)
                self._expected = len(tickets) + len(self._open.tickets)
        return True

    def _gather(self, group: _Group[Row]) -> bool:
        """Close the group when all are there that can be expected. True: not done, try again."""
        # Otherwise threads that do nothing but write come in two halves: one prepares its next rows
        # while those of the other are committed. Measured with 16 of them: 30 % more messages a
        # second if a commit takes 1 ms, 5 % more if it takes 0.25.
        complete = threading.Lock()
        complete.acquire()
        is_complete = True

        def look() -> None:
            nonlocal is_complete
            is_complete = len(group.tickets) >= self._expected
            self._gathering = None if is_complete else complete

        def close() -> None:
            self._gathering = None
            self._open = _Group()

        if not self._with_mutex(look):
            return True
        if not is_complete:
            complete.acquire(timeout=self._patience)
        return not self._with_mutex(close)

    def _with_mutex(self, change: Callable[[], None]) -> bool:
        """While this thread has the lock. False: not done, see MUTEX_PATIENCE."""
        try:
            if not self._mutex.acquire(timeout=MUTEX_PATIENCE):
                return False
            change()
            return True
        finally:
            # Ctrl-C may have come anywhere, so it may have been acquired or not.
            try:  # noqa: SIM105
                self._mutex.release()
            except RuntimeError:
                pass

    def _wake(self, group: _Group[Row]) -> None:
        """Wake the next leader, if a thread has come meanwhile, and the threads of this group."""
        with self._mutex:
            following = self._open.bell if self._open.waiting else None
            if following is not None:
                self._open.waiting -= 1
            elif not self._open.tickets:
                self._is_led = False
            is_open = group is self._open
        if following is not None:
            following.ring()
        if group.bell is not None and not is_open:
            if group.waiting:
                group.bell.ring_for_the_last(group.waiting)
            else:
                self._spare_bells.append(group.bell)
            group.bell = None  # not before: a thread that is interrupted comes here again

    def _withdraw(self, group: _Group[Row], ticket: _Ticket[Row]) -> None:
        """This thread was interrupted. What was not accepted must not be stored later, and nobody
        may wait for a leader that is gone: threads that are woken and not done lead."""
        ticket.rows = ()
        with self._mutex:
            if group is self._open and ticket in group.tickets:
                group.tickets.remove(ticket)
        self._wake(group)

    def _commit_all(self, tickets: list[_Ticket[Row]]) -> None:
        batches = [ticket.rows for ticket in tickets]  # an interrupted thread takes back its own
        try:
            number = self._commit([row for rows in batches for row in rows])
        except Exception as error:
            self._commit_each(tickets, error)
            return
        for ticket, rows in zip(tickets, batches, strict=True):
            ticket.first = number
            number += len(rows)
            ticket.done = True

    def _commit_each(self, tickets: list[_Ticket[Row]], error: Exception) -> None:
        """One may be at fault for all; but not if the back end is away, which takes its time to
        find out."""
        goes_on = len(tickets) > 1
        for ticket in tickets:
            try:
                if not goes_on:
                    raise error
                ticket.first = self._commit(ticket.rows)
            except Exception as its_error:
                ticket.error = error = its_error
                goes_on = goes_on and not (isinstance(error, StorageError) and error.temporary)
            ticket.done = True


def _no() -> bool:
    return False
