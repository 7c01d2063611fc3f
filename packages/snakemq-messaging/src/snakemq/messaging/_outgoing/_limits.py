"""Limits of the outgoing queues, and what happens at them."""

import threading
import time
from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from snakemq._settings import instance_of, whole, zero_or_more
from snakemq.exceptions import QueueFull


class WhenFull(Enum):
    """What ``send_message`` does when there is no room."""

    BLOCK = "block"
    """Wait until there is, ``timeout`` seconds at most, then raise ``QueueFull``. On the loop's own
    thread it is raised at once: only the loop makes room."""
    RAISE = "raise"
    """Raise ``QueueFull``."""
    DROP_OLDEST = "drop oldest"
    """Take the message, and drop those that have waited longest for the same peer, which
    ``on_message_drop`` reports. Messages that are in flight stay. At the limits for all peers
    together ``QueueFull`` is raised: one busy peer must not cost the messages of another."""


_check_limit = whole(1, or_none=True)
_check_when_full = instance_of(WhenFull)
_check_timeout = zero_or_more("seconds", or_none=True)


class _QueueLimits(NamedTuple):
    # No dataclass: dataclasses imports inspect, which is an eighth of the import of this layer.
    peer_messages: int | None
    peer_bytes: int | None
    total_messages: int | None
    total_bytes: int | None
    when_full: WhenFull
    timeout: float | None


class QueueLimits(_QueueLimits):
    """How much may wait in outgoing queues. Limits that are ``None`` do not limit anything.

    They are read-only attributes, too:

    - ``peer_messages``: how many messages for one peer.
    - ``peer_bytes``: bytes of data and headers of all messages for one peer.
    - ``total_messages``: how many messages for all peers together.
    - ``total_bytes``: bytes of data and headers of all messages for all peers.
    - ``when_full``: what happens at the limit.
    - ``timeout``: seconds that :attr:`WhenFull.BLOCK` waits; ``None``: forever. Before the loop
      runs nothing makes room.

    Messages that are in flight count until they are acknowledged. A message that is larger than a
    limit of bytes has room where nothing else is queued.

    Raises ``TypeError`` and ``ValueError``, for limits below 1 and a time-out below 0.
    """

    __slots__ = ()

    def __new__(
        cls,
        peer_messages: int | None = None,
        peer_bytes: int | None = None,
        total_messages: int | None = None,
        total_bytes: int | None = None,
        when_full: WhenFull = WhenFull.RAISE,
        timeout: float | None = 60.0,
    ) -> "QueueLimits":
        self = super().__new__(
            cls, peer_messages, peer_bytes, total_messages, total_bytes, when_full, timeout
        )
        for name in ("peer_messages", "peer_bytes", "total_messages", "total_bytes"):
            _check_limit(name, getattr(self, name))
        _check_when_full("when_full", when_full)
        _check_timeout("timeout", timeout)
        return self


class _Load:
    """Messages and bytes that are queued."""

    __slots__ = ("bytes", "messages")

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0

    def has_room(self, count: int, size: int, messages: int | None, bytes_: int | None) -> bool:
        """Is there room for ``count`` messages of ``size`` bytes in all?

        A single message always has room where nothing else is queued.
        """
        return (count == 1 and not self.messages) or (
            (messages is None or self.messages + count <= messages)
            and (bytes_ is None or self.bytes + size <= bytes_)
        )


class Occupancy:
    """Counts what is queued, and admits or refuses more. Thread-safe.

    Made only for a stack with limits: without them no lock is taken for a message.
    """

    def __init__(self, limits: QueueLimits, in_loop: Callable[[], bool]) -> None:
        self._limits = limits
        self._in_loop = in_loop
        self._changed = threading.Condition()
        self._total = _Load()
        self._peers: dict[str, _Load] = {}
        self._limits_of: dict[str, QueueLimits] = {}
        self._found: dict[str, _Load] = {}  # at the start, in the storage
        self._refused: dict[str, tuple[int, int]] = {}
        """For each peer whose messages were refused since :meth:`take_roomy` has named it last: the
        least of their counts and sizes."""
        self._is_to_look = False
        """Has :attr:`_look_soon` been called, and :meth:`take_roomy` not yet?"""
        self._look_soon: Callable[[], object] = _nobody_looks

    def tell_when_to_look(self, look_soon: Callable[[], object]) -> None:
        """Have ``look_soon()`` called, in any thread, when :meth:`take_roomy` may name a peer."""
        self._look_soon = look_soon

    def set_limits(self, ident: str, limits: QueueLimits) -> None:
        with self._changed:
            self._limits_of[ident] = limits
            self._notify()

    def enter(self, ident: str, count: int, size: int) -> None:
        """Admit ``count`` messages of ``size`` bytes in all, all or none.

        Raises :exc:`~snakemq.exceptions.QueueFull`.
        """
        with self._changed:
            try:
                self._make_sure_of_room(ident, count, size)
            except QueueFull:
                if self._will_ever_have_room(ident, count, size):
                    known = self._refused.get(ident, (count, size))
                    self._refused[ident] = (min(known[0], count), min(known[1], size))
                raise
            self._count(ident, count, size)

    def _make_sure_of_room(self, ident: str, count: int, size: int) -> None:
        if self._has_room(ident, count, size):
            return
        limits = self._limits_for(ident)
        if limits.when_full is WhenFull.BLOCK and self._will_ever_have_room(ident, count, size):
            self._wait_for_room(ident, count, size, limits)
        elif limits.when_full is not WhenFull.DROP_OLDEST or not self._may_overflow(
            ident, count, size, limits
        ):
            many = f"; no room for {count} more" if count > 1 else ""
            raise QueueFull(f"the queue of {ident!r} is full: {self._describe(ident)}{many}")

    def take_roomy(self) -> list[str]:
        """Return the peers whose messages were refused, and for which there is room now. Each is
        named once after a refusal."""
        with self._changed:
            self._is_to_look = False
            roomy = [i for i, wanted in self._refused.items() if self._has_room(i, *wanted)]
            for ident in roomy:
                del self._refused[ident]
        return roomy

    def _notify(self) -> None:
        """Tell all that wait for room that there may be some."""
        self._changed.notify_all()
        if self._refused and not self._is_to_look:
            self._is_to_look = True
            self._look_soon()

    def found(self, ident: str, messages: int, size: int) -> None:
        """Count what an earlier process has left."""
        with self._changed:
            self._count(ident, messages, size)
            load = self._found.setdefault(ident, _Load())
            load.messages += messages
            load.bytes += size

    def correct(self, ident: str, messages: int, size: int) -> None:
        """Correct the count by what the storage has told."""
        with self._changed:
            self._count(ident, messages, size)
            self._notify()

    def leave(self, ident: str, size: int) -> None:
        """Count out a message that has left its queue."""
        with self._changed:
            self._count(ident, -1, -size)
            self._notify()

    def is_over(self, ident: str) -> bool:
        """Must the oldest be dropped, as there is more for this peer than its limits allow?"""
        with self._changed:
            limits = self._limits_for(ident)
            peer = self._peers.get(ident)
            return (
                limits.when_full is WhenFull.DROP_OLDEST
                and peer is not None
                and not _within(peer, limits.peer_messages, limits.peer_bytes)
            )

    def _limits_for(self, ident: str) -> QueueLimits:
        return self._limits_of.get(ident, self._limits)

    def _has_room(self, ident: str, count: int, size: int) -> bool:
        return self._have_room(self._peers.get(ident) or _Load(), self._total, ident, (count, size))

    def _will_ever_have_room(self, ident: str, count: int, size: int) -> bool:
        return self._have_room(_Load(), _Load(), ident, (count, size))

    def _have_room(self, peer: _Load, total: _Load, ident: str, wanted: tuple[int, int]) -> bool:
        limits, totals = self._limits_for(ident), self._limits
        return peer.has_room(*wanted, limits.peer_messages, limits.peer_bytes) and total.has_room(
            *wanted, totals.total_messages, totals.total_bytes
        )

    def _wait_for_room(self, ident: str, count: int, size: int, limits: QueueLimits) -> None:
        timeout = 0 if self._in_loop() else limits.timeout
        begin = time.monotonic()
        if not self._changed.wait_for(lambda: self._has_room(ident, count, size), timeout):
            waited = time.monotonic() - begin
            raise QueueFull(
                f"no room in the queue of {ident!r} for {waited:.3g} s: {self._describe(ident)}"
            )

    def _may_overflow(self, ident: str, count: int, size: int, limits: QueueLimits) -> bool:
        """May these messages come, and the oldest be dropped for them?

        The loop drops. While it does not run, twice the limits may be queued, and what was there at
        the start.
        """
        peer = self._peers.get(ident) or _Load()
        found = self._found.get(ident) or _Load()
        return self._total.has_room(
            count, size, self._limits.total_messages, self._limits.total_bytes
        ) and peer.has_room(
            count,
            size,
            _twice(limits.peer_messages, found.messages),
            _twice(limits.peer_bytes, found.bytes),
        )

    def _count(self, ident: str, messages: int, size: int) -> None:
        peer = self._peers.get(ident)
        if peer is None:
            peer = self._peers[ident] = _Load()
        for load in (peer, self._total):
            load.messages += messages
            load.bytes += size
        if peer.messages <= 0:
            del self._peers[ident]

    def _describe(self, ident: str) -> str:
        peer = self._peers.get(ident) or _Load()
        return (
            f"{peer.messages} messages with {peer.bytes} bytes for this peer, "
            f"{self._total.messages} with {self._total.bytes} for all"
        )


def _nobody_looks() -> None:
    pass


def _within(load: _Load, messages: int | None, bytes_: int | None) -> bool:
    return load.messages <= 1 or (
        (messages is None or load.messages <= messages) and (bytes_ is None or load.bytes <= bytes_)
    )


def _twice(limit: int | None, more: int) -> int | None:
    return None if limit is None else 2 * limit + more
