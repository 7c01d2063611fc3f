"""Stops reading from peers while too much waits here to be processed."""

from __future__ import annotations

from snakemq.exceptions import NoConnection
from snakemq.link import LinkInterface, TimerHandle

from .._session import Session
from ._inbox import Inbox

MAX_UNPROCESSED_BYTES = 128 * 1024 * 1024
"""Default of ``max_unprocessed_bytes``: room for the windows of eight senders."""

MESSAGE_OVERHEAD = 512
"""Bytes that an unprocessed message is taken to need besides its data."""

TICK = 0.25
"""Seconds between two looks at the paused peers: do they owe us acks now?"""


class Backpressure:
    """Pauses connections whose messages find no room, and resumes them at half of that.

    The room is ``max_bytes`` for all connected peers together, and for a 1.6 peer, which knows no
    window, as much as the window would be. A 2.x peer that has messages of ours to acknowledge goes
    on: its acks are behind what is not read, and what is to be processed here may wait for them.
    It is held by its window. For the loop only.
    """

    def __init__(
        self, link: LinkInterface, max_bytes: int, window_messages: int, window_bytes: int
    ) -> None:
        self.bytes = 0
        """Bytes that the unprocessed messages of connected peers need."""
        self._link = link
        self._max_bytes = max_bytes
        self._window_messages = window_messages
        self._window_bytes = window_bytes
        self._paused: dict[Session, None] = {}
        self._timer: TimerHandle | None = None

    def check(self, session: Session) -> None:
        """Some messages of this peer were not processed at once."""
        if session not in self._paused and not session.closed and self._is_over(session, 1):
            try:
                self._link.pause_reading(session.conn_id, self)
            except NoConnection:
                return  # it has just ended, and the session has not been told yet
            self._paused[session] = None
            if self._timer is None:
                self._timer = self._link.call_later(TICK, self._look)

    def relieve(self, session: Session | None = None) -> None:
        """There may be room again; ``session``: messages of this one were processed."""
        if not self._paused:
            return
        if self.bytes * 2 <= self._max_bytes:
            self._resume_who_may_go_on()
        elif session in self._paused:
            self._resume_if_it_may_go_on(session)

    def disconnected(self, session: Session) -> None:
        """A connection is gone."""
        self._paused.pop(session, None)

    def _look(self) -> None:
        self._timer = None
        self._resume_who_may_go_on()
        if self._paused:
            self._timer = self._link.call_later(TICK, self._look)

    def _resume_who_may_go_on(self) -> None:
        for session in list(self._paused):
            self._resume_if_it_may_go_on(session)

    def _resume_if_it_may_go_on(self, session: Session) -> None:
        if not self._is_over(session, 2):
            del self._paused[session]
            self._link.resume_reading(session.conn_id, self)

    def _is_over(self, session: Session, part: int) -> bool:
        """Is more than that part of the room taken: 1 for all, 2 for half?"""
        if session.acks:
            return self.bytes * part > self._max_bytes and not _owes_acks(session)
        inbox = session.inbox
        assert inbox is not None
        return (
            self.bytes * part > self._max_bytes
            or inbox.open_messages * part > self._window_messages
            or inbox.open_bytes * part > self._window_bytes
        )


def load_of(inbox: Inbox) -> int:
    """What the unprocessed messages of one peer need."""
    return inbox.open_bytes + MESSAGE_OVERHEAD * inbox.open_messages


def _owes_acks(session: Session) -> bool:
    return session.queue is not None and bool(session.queue.in_flight)
