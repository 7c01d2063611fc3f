"""Stops reading from peers while too much waits here to be processed."""

from __future__ import annotations

from collections.abc import Callable

from snakemq.exceptions import NoConnection
from snakemq.link import LinkInterface, TimerHandle

from ._inbox import Inbox
from ._lane import IncomingLane
from ._settings import ReceiverSettings

MAX_UNPROCESSED_BYTES = 128 * 1024 * 1024
"""Default of ``max_unprocessed_bytes``: room for the windows of eight senders."""

MESSAGE_OVERHEAD = 512
"""Bytes that an unprocessed message is taken to need besides its data."""

TICK = 0.25
"""Seconds between two looks at the paused peers: do they owe us acks now?"""


class Backpressure:
    """Pauses connections whose messages find no room, and resumes them at half of that.

    The room is ``max_unprocessed_bytes`` for all connected peers together, and for a 1.6 peer,
    which knows no window, as much as the window would be. A 2.x peer that has messages of ours to
    acknowledge goes on: its acks are behind what is not read, and what is to be processed here may
    wait for them. It is held by its window. For the loop only.
    """

    def __init__(
        self,
        link: LinkInterface,
        settings: ReceiverSettings,
        owes_acks: Callable[[str], bool],
    ) -> None:
        """``owes_acks(ident)``: has that peer messages of ours to acknowledge?"""
        self.bytes = 0
        """Bytes that the unprocessed messages of connected peers need."""
        self._link = link
        self._settings = settings
        self._owes_acks = owes_acks
        self._paused: dict[IncomingLane, Inbox] = {}
        self._timer: TimerHandle | None = None

    def check(self, inbox: Inbox) -> None:
        """Pause a peer whose open messages find no room. Call it when some were left open."""
        lane = inbox.lane
        if lane is not None and lane not in self._paused and self._is_over(inbox, lane, 1):
            try:
                self._link.pause_reading(lane.conversation.conn_id, self)
            except NoConnection:
                return  # it has just ended, and the lane has not been told yet
            self._paused[lane] = inbox
            if self._timer is None:
                self._timer = self._link.call_later(TICK, self._look)

    def relieve(self, lane: IncomingLane | None = None) -> None:
        """Resume peers if there is room again. ``lane``: messages of this one were processed."""
        if not self._paused:
            return
        if self.bytes * 2 <= self._settings.max_unprocessed_bytes:
            self._resume_who_may_go_on()
        elif lane in self._paused:
            self._resume_if_it_may_go_on(lane)

    def disconnected(self, lane: IncomingLane) -> None:
        """Forget a connection that has ended."""
        self._paused.pop(lane, None)

    def _look(self) -> None:
        self._timer = None
        self._resume_who_may_go_on()
        if self._paused:
            self._timer = self._link.call_later(TICK, self._look)

    def _resume_who_may_go_on(self) -> None:
        for lane in list(self._paused):
            self._resume_if_it_may_go_on(lane)

    def _resume_if_it_may_go_on(self, lane: IncomingLane) -> None:
        if not self._is_over(self._paused[lane], lane, 2):
            del self._paused[lane]
            self._link.resume_reading(lane.conversation.conn_id, self)

    def _is_over(self, inbox: Inbox, lane: IncomingLane, part: int) -> bool:
        """Is more than that part of the room taken: 1 for all, 2 for half?"""
        settings = self._settings
        is_full = self.bytes * part > settings.max_unprocessed_bytes
        if lane.conversation.acks:
            return is_full and not self._owes_acks(inbox.ident)
        return (
            is_full
            or inbox.open_messages * part > settings.window_messages
            or inbox.open_bytes * part > settings.window_bytes
        )


def load_of(inbox: Inbox) -> int:
    """Return how many bytes the unprocessed messages of one peer need."""
    return inbox.open_bytes + MESSAGE_OVERHEAD * inbox.open_messages
