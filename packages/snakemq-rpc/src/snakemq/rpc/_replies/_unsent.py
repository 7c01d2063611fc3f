"""Keeps replies that found the queue of their client full, until there is room."""

from __future__ import annotations

from collections import deque

from snakemq.exceptions import QueueFull
from snakemq.link import TimerHandle
from snakemq.message import Message
from snakemq.messaging import Messaging

TRY_AGAIN_AFTER = 0.02
"""Seconds. Messaging does not tell when a queue has room again."""


class Unsent:
    """Keeps replies, and retries to send them while their client is connected.

    A client that leaves repeats its requests when it comes back, so nothing is kept for it. While
    replies for it are here, a client is in ``full``: the server begins none of its requests, and
    only those that already run can add replies. For the loop only, except for :meth:`add`.
    """

    def __init__(self, messaging: Messaging, full: set[str]) -> None:
        self._messaging = messaging
        self._link = messaging.packeter.link
        self._full = full
        self._new: deque[tuple[str, Message]] = deque()
        self._kept: dict[str, deque[Message]] = {}
        self._timer: TimerHandle | None = None
        if messaging.queue_limits is not None:  # otherwise no queue is ever full
            self._link.on_loop_pass.add_internal(self._on_loop_pass)

    def add(self, ident: str, message: Message) -> None:
        """Keep a reply that cannot be sent now. Thread-safe."""
        self._new.append((ident, message))
        self._full.add(ident)
        self._link.wakeup_poll()

    def has_any(self, ident: str) -> bool:
        """Do replies for this client wait here?"""
        self._on_loop_pass()
        return ident in self._kept

    def close(self) -> None:
        """Take no more replies, but keep trying to send those that are here."""
        if self._messaging.queue_limits is not None:
            self._on_loop_pass()
            self._link.on_loop_pass.remove(self._on_loop_pass)

    def _on_loop_pass(self) -> None:
        while self._new:
            ident, message = self._new.popleft()
            self._kept.setdefault(ident, deque()).append(message)
        if self._kept and self._timer is None:
            self._timer = self._link.call_later(TRY_AGAIN_AFTER, self._try_again)

    def _try_again(self) -> None:
        self._timer = None
        for ident in list(self._kept):
            is_gone = not self._messaging.is_connected(ident)
            if is_gone:
                self._full.discard(ident)
            if is_gone or self._send_all(self._kept[ident], ident):
                del self._kept[ident]
        self._on_loop_pass()

    def _send_all(self, messages: deque[Message], ident: str) -> bool:
        while messages:
            try:
                self._messaging.send_message(ident, messages[0])
            except QueueFull:
                return False
            messages.popleft()
        return True
