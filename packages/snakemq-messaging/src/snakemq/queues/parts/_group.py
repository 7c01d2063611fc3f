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
"""Seconds that a leader waits for other writers, at most. Half of a commit takes longer only where
something is wrong: it fails after seconds if a server does not answer."""

BOOKS_PATIENCE = 0.05
"""Seconds that a leader waits for the books. Others hold them for microseconds; longer only if a
signal handler has interrupted the holder, and that handler may be waiting for the leader's lock."""


class _Ticket(Generic[Row]):
    """The rows that one thread wants to have written, and what came of them."""

    __slots__ = ("done", "error", "first", "rows")

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.done = False
        self.first = 0
        """The number of the first row."""
        self.error: Exception | None = None


class _Group(Generic[Row]):
    """The tickets that share one commit. None is added once that has begun."""

    __slots__ = ("bell", "tickets", "waiting")

    def __init__(self) -> None:
        self.tickets: list[_Ticket[Row]] = []
        self.waiting = 0
        """How many threads wait for the bell, without those for which it has rung."""
        self.bell: Bell | None = None
        """Made when the first thread waits, given away when the bell rings for the last time."""


class GroupCommit(Generic[Row]):
    """Collects rows while a commit is under way, and commits them together in the next one.

    One of the threads that wait leads its group; no thread of its own is needed. The phases of a
    group::

        the first thread leads        others take a ticket and wait for the bell
                │                                      │
                ▼                                      │
        OPEN       the leader waits for the lock: the group before is being committed
                │ it has the lock                      │
                ▼                                      │
        GATHERING  it waits for the threads that were there last time, for a moment
                │ all are there, or its patience ends  │
                ▼                                      │
        CLOSED     it commits all rows; those of each ticket alone, if that fails
                │                                      │   (who comes now is in the next group)
                ▼                                      ▼
        DONE       it rings: for one thread of the next group, which leads that,
                   and for all of this group, which return

    The moment is up to half of what the last commit took, and 0.05 s; a lone writer waits for
    nobody. Threads that wait need four file descriptors all together, mostly; without any they
    queue for the lock.

    A signal handler or a finalizer that writes in the middle of a write of its own thread, or of
    anything else for which this thread has the lock, commits at once: the thread that would lead
    may be the one that it has interrupted.

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
    # Any number of threads may lead: the lock lets one of them commit at a time, and a leader whose
    # ticket is done has nothing to do. So where it is not clear who goes on, one more is woken.

    def __init__(
        self, lock: AbstractContextManager[object], commit: Callable[[Sequence[Row]], int]
    ) -> None:
        self._pid = os.getpid()
        self._lock = lock
        self._has_lock: Callable[[], bool] = getattr(lock, "_is_owned", _never)  # as Condition does
        self._commit = commit
        self._writers: set[int] = set()
        """Threads that are inside :meth:`write`."""
        self._books = threading.RLock()  # for what follows, and never held for long
        self._open = _Group[Row]()
        """The group that a thread joins which comes now."""
        self._is_led = False
        """Will a thread commit the open group?"""
        self._complete: threading.Lock | None = None
        """The leader waits for it while it gathers: released when all are there."""
        self._expected = 1
        """How many tickets make a group complete."""
        self._patience = 0.0
        """How many seconds a leader waits for that."""
        self._spare_bells: list[Bell] = []

    def write(self, rows: Sequence[Row]) -> range:
        """Return the numbers of the rows when they are durable. Thread-safe.

        Raises what ``commit`` raised for them, and :exc:`~snakemq.exceptions.StorageError` in a
        process that has inherited this through a fork.
        """
        if os.getpid() != self._pid:  # a wait here would take the turn of a parent's thread
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
            with self._books:
                group = self._open
                if self._is_led:
                    bell = self._bell_of(group)  # without one this thread leads as well
                self._is_led = True
                group.tickets.append(ticket)
                if bell is not None:
                    group.waiting += 1
                if self._complete is not None and len(group.tickets) == self._expected:
                    self._complete.release()
                    self._complete = None
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
        while not self._commit_group(group):
            pass
        self._wake(group)

    def _commit_group(self, group: _Group[Row]) -> bool:
        """Returns False if another thread needs the lock for a moment before this can be done."""
        with self._lock:
            if group is self._open and not self._gather(group):
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
        """Close the group when all are there that can be expected. Returns False if it is still
        open, because another thread keeps the books."""
        # Otherwise threads that do nothing but write come in two halves: one prepares its next rows
        # while those of the other are committed. Measured with 16 of them: 30 % more messages a
        # second if a commit takes 1 ms, 5 % more if it takes 0.25.
        complete = threading.Lock()
        complete.acquire()
        is_complete = True

        def look() -> None:
            nonlocal is_complete
            is_complete = len(group.tickets) >= self._expected
            self._complete = None if is_complete else complete

        def close() -> None:
            self._complete = None
            self._open = _Group()

        if not self._with_books(look):
            return False
        if not is_complete:
            complete.acquire(timeout=self._patience)
        return self._with_books(close)

    def _with_books(self, change: Callable[[], None]) -> bool:
        """Change the books, with the lock. Returns False if it was not done: see
        ``BOOKS_PATIENCE``."""
        try:
            if not self._books.acquire(timeout=BOOKS_PATIENCE):
                return False
            change()
            return True
        finally:
            # Ctrl-C may have come anywhere, so it may have been acquired or not.
            try:  # noqa: SIM105
                self._books.release()
            except RuntimeError:
                pass

    def _wake(self, group: _Group[Row]) -> None:
        """Wake the leader of the next group, if a thread waits there, and those of this group."""
        with self._books:
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
        """This thread was interrupted, by Ctrl-C for example.

        What was not accepted must not be stored later, and no thread may wait for a leader that is
        gone: a thread that is woken and not done leads.
        """
        ticket.rows = ()
        with self._books:
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
        """One ticket may be at fault for all. But not if the back end is away: then it would take
        its time to find that out again for each of them."""
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


def _never() -> bool:
    return False
