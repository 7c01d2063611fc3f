"""Log lines about messages that come to nothing, few enough to be read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from snakemq.callbacks import Callback

from .._rate import Rate
from ._queue._queue import OutgoingQueue


class Warnings:
    """Logs what would be lost silently. For the loop only, except :meth:`not_stored`."""

    def __init__(
        self,
        time: Callable[[], float],
        log: logging.Logger,
        drop_callbacks: Sequence[Callback[...]],
    ) -> None:
        """``drop_callbacks``: if a user has joined one of them, nothing is lost silently."""
        self._log = log
        self._drop_callbacks = drop_callbacks
        self._absent = Rate(time)
        self._too_large = Rate(time)
        self._said_not_stored = False

    def absent(self, ident: str) -> None:
        """Warn that a message with ttl 0 was dropped, as its peer is not connected."""
        for callback in self._drop_callbacks:
            if any(not _is_ours(func) for func in callback.callbacks):
                return
        count = self._absent.count(ident)
        if count:
            what = "a message" if count == 1 else f"{count} messages"
            self._log.warning(
                "dropped %s with ttl=0 for %r, which is not connected: give messages a ttl and"
                " they wait for it, or listen to on_message_drop",
                what,
                ident,
            )

    def too_large(self, queue: OutgoingQueue, largest: int) -> None:
        """Warn that messages are set aside."""
        if self._too_large.count(queue.ident):
            self._log.warning(
                "%r takes messages of up to %d bytes: %d larger ones wait for it to connect with a"
                " larger max_packet_size%s",
                queue.ident,
                max(0, largest),
                queue.aside.count,
                ", and all others behind them" if queue.aside.is_stalled else "",
            )

    def not_stored(self) -> None:
        """Warn, once, that there is no storage for a persistent message. Thread-safe."""
        if not self._said_not_stored:
            self._said_not_stored = True
            self._log.warning(
                "a message with FLAG_PERSISTENT waits in memory only, and is lost with this"
                " process: give Messaging a queues_storage"
            )


def _is_ours(func: object) -> bool:
    """Was a callback added by another layer of snakeMQ, for messages of its own?"""
    return (getattr(func, "__module__", None) or "").startswith("snakemq.")
