from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from snakemq._settings import Setting, above_zero
from snakemq.callbacks import Callback, Event
from snakemq.exceptions import ConnectFailed
from snakemq.link import (
    Abilities,
    BytesLike,
    LinkInterface,
    PeerCredentials,
    TimerHandle,
    check_send,
    no_connection,
)

BURST_TIME = 0.05
"""An idle connection may at once send what takes this many seconds at its speed. Short, so that the
mean over a second is right; long enough to make few system calls."""

_SHORTEST_WAIT = 0.001
"""Seconds. Rounding can leave a bucket a fraction of a byte short. A timer for that would be due at
once, with the bucket no fuller, again and again."""


class _Bucket:
    """How many bytes one connection may send now: a token bucket that may never be overdrawn."""

    __slots__ = ("_capacity", "_filled_at", "_speed", "_tokens", "data", "timer")

    def __init__(self, speed: float, now: float) -> None:
        self._speed = speed
        self._capacity = max(1.0, speed * BURST_TIME)
        self._tokens = self._capacity
        self._filled_at = now
        self.data: BytesLike | None = None  # the send that is under way
        self.timer: TimerHandle | None = None

    def available(self, now: float) -> int:
        self._tokens = min(self._capacity, self._tokens + (now - self._filled_at) * self._speed)
        self._filled_at = now
        return int(self._tokens)

    def spend(self, count: int) -> None:
        self._tokens -= count

    def wait_for(self, count: int) -> float:
        """Return the seconds until ``count`` bytes, or enough of them, may be sent.

        Enough is half of a full bucket, so that bytes are not sent one by one.
        """
        worth_while = min(count, max(1.0, self._capacity / 2))
        return max(0.0, worth_while - self._tokens) / self._speed


class Throttle:
    """Limits how fast each connection sends; receiving is not limited.

    It is a :class:`~snakemq.link.LinkInterface`, so it takes the link's place in the layers above::

        link = snakemq.link.Link()
        packeter = snakemq.packeter.Packeter(snakemq.throttle.Throttle(link, 10_000))

    The setting is an attribute too, and may change for connections that are made from then on:

    - ``speed``: bytes per second.
    """

    speed: Setting[float] = Setting(above_zero("bytes per second"))

    on_connect: Event[[str]] = Event()
    on_disconnect: Event[[str]] = Event()
    on_recv: Event[[str, bytes]] = Event()
    on_ready_to_send: Event[[str, int]] = Event()
    on_loop_pass: Event[[]] = Event()
    on_closing: Event[[]] = Event()
    """See :attr:`EndingLink.on_closing`; never called if the wrapped link is not one."""
    on_closed: Event[[]] = Event()
    """See :attr:`EndingLink.on_closed`; never called if the wrapped link is not one."""
    on_crowded: Event[[Callable[[str], bool]]] = Event()
    """See :attr:`CrowdedLink.on_crowded`; never called if the wrapped link cannot."""
    on_connect_failed: Event[[Any, ConnectFailed]] = Event()
    """See :attr:`ReportingLink.on_connect_failed`; never called if the wrapped link is not one."""
    if TYPE_CHECKING:
        # Are there if the wrapped link is a ReportingLink, or a TimedLink.
        report_failure: Callable[[str, Exception], object]
        wait_until: Callable[[Callable[[], bool], float | None], bool]

    def __init__(self, link: LinkInterface, speed: float) -> None:
        self.link = link
        self.speed = speed

        self.on_connect = Callback()
        self.on_disconnect = Callback()
        self.on_ready_to_send = Callback()
        self.on_recv = link.on_recv
        self.on_loop_pass = link.on_loop_pass
        self._abilities = abilities = Abilities(link)
        self.on_crowded = abilities.on_crowded
        self.on_closing = abilities.on_closing
        self.on_closed = abilities.on_closed
        self.on_connect_failed = abilities.on_connect_failed
        if abilities.report_failure is not None:
            self.report_failure = abilities.report_failure
        if abilities.wait_until is not None:
            self.wait_until = abilities.wait_until

        self._buckets: dict[str, _Bucket] = {}

        link.on_connect.add_internal(self._on_connect)
        link.on_disconnect.add_internal(self._on_disconnect)
        link.on_ready_to_send.add_internal(self._on_ready_to_send)

    def send(self, conn_id: str, data: BytesLike) -> None:
        """See :meth:`LinkInterface.send`."""
        bucket = self._buckets.get(conn_id)
        if bucket is None:
            raise no_connection(conn_id)
        check_send(conn_id, data, is_sending=bucket.data is not None)
        bucket.data = data
        self._send_when_allowed(conn_id, bucket)

    def _send_when_allowed(self, conn_id: str, bucket: _Bucket) -> None:
        assert bucket.data is not None
        bucket.timer = None
        allowed = bucket.available(self.link.time())
        wait = bucket.wait_for(len(bucket.data))
        if wait > 0 or allowed < 1:
            bucket.timer = self.link.call_later(
                max(wait, _SHORTEST_WAIT), partial(self._send_when_allowed, conn_id, bucket)
            )
        else:
            try:
                self.link.send(conn_id, memoryview(bucket.data)[:allowed])
            except BaseException:
                bucket.data = None  # refused: nothing will be reported
                raise

    def _on_connect(self, conn_id: str) -> None:
        self._buckets[conn_id] = _Bucket(self.speed, self.link.time())
        self.on_connect.call_while(lambda: conn_id in self._buckets, conn_id)

    def _on_disconnect(self, conn_id: str) -> None:
        bucket = self._buckets.pop(conn_id, None)
        if bucket is None:
            return  # older than this throttle
        if bucket.timer is not None:
            bucket.timer.cancel()
        self.on_disconnect(conn_id)

    def _on_ready_to_send(self, conn_id: str, sent: int) -> None:
        bucket = self._buckets.get(conn_id)
        if bucket is None:
            return
        bucket.spend(sent)
        bucket.data = None
        self.on_ready_to_send(conn_id, sent)

    def close(self, conn_id: str) -> None:
        """See :meth:`LinkInterface.close`."""
        self.link.close(conn_id)

    def pause_reading(self, conn_id: str, reason: object) -> None:
        """See :meth:`LinkInterface.pause_reading`."""
        self.link.pause_reading(conn_id, reason)

    def resume_reading(self, conn_id: str, reason: object) -> None:
        """See :meth:`LinkInterface.resume_reading`."""
        self.link.resume_reading(conn_id, reason)

    def is_reading(self, conn_id: str) -> bool:
        """See :meth:`LinkInterface.is_reading`."""
        return self.link.is_reading(conn_id)

    def unsent_bytes(self, conn_id: str) -> int | None:
        """See :meth:`ProgressLink.unsent_bytes`; ``None`` if the wrapped link cannot tell it.

        What waits for its turn in the throttle is not counted.
        """
        return self._abilities.unsent_bytes(conn_id)

    def unanswered_for(self, conn_id: str) -> float | None:
        """See :meth:`ProgressLink.unanswered_for`; ``None`` if the wrapped link cannot tell it."""
        return self._abilities.unanswered_for(conn_id)

    def peer_credentials(self, conn_id: str) -> PeerCredentials:
        """See :meth:`CredentialsLink.peer_credentials`; they prove nothing if the wrapped link does
        not know any."""
        return self._abilities.peer_credentials(conn_id)

    def wakeup_poll(self) -> None:
        """See :meth:`LinkInterface.wakeup_poll`. Thread-safe."""
        self.link.wakeup_poll()

    def call_later(self, delay: float, func: Callable[[], object]) -> TimerHandle:
        """See :meth:`LinkInterface.call_later`."""
        return self.link.call_later(delay, func)

    def time(self) -> float:
        """See :meth:`LinkInterface.time`. Thread-safe."""
        return self.link.time()

    def in_loop(self) -> bool:
        """See :meth:`LinkInterface.in_loop`. Thread-safe."""
        return self.link.in_loop()

    def run_if_idle(self, func: Callable[[], object]) -> bool:
        """See :meth:`IdleLink.run_if_idle`; False if the wrapped link cannot tell. Thread-safe."""
        return self._abilities.run_if_idle(func)
