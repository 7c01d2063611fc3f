"""Where the messages of a peer wait for threads of which the network knows."""

from __future__ import annotations

import threading

from snakemq.peer._iteration import Row
from snakemq.peer._received import Desk, ReceivedMessage

from ._link import PeerLink


class TrackedRow(Row):
    """Knows the threads that take messages. They work except while they wait."""

    def __init__(self, desk: Desk, link: PeerLink) -> None:
        super().__init__(desk)
        self.working: set[threading.Thread] = set()
        self._link = link

    def take(self, timeout: float | None = None) -> ReceivedMessage | None:
        self.working.add(threading.current_thread())
        end = None if timeout is None else self._link.time() + timeout
        while not self._is_over:
            left = None if end is None else max(0.0, end - self._link.time())
            if not self._link.wait_until(lambda: not self._row.empty(), left):
                return None
            # Another thread may have been faster.
            if (message := super().take(0.0)) is not None:
                return message
        return None

    def leave(self) -> None:
        self.working.discard(threading.current_thread())
        self._link.wakeup_poll()

    def end(self) -> None:
        super().end()
        self._link.wakeup_poll()
