from __future__ import annotations

from collections.abc import Callable
from functools import partial

from snakemq.callbacks import Callback
from snakemq.exceptions import NoConnection, SendNotFinished
from snakemq.link import BytesLike, LinkInterface, TimerHandle

BURST_TIME = 0.05
"""A connection that was idle may send at once what takes this many seconds at its speed.
Short, so that the mean over a second is right; long enough to make few system calls."""

_SHORTEST_WAIT = 0.001
"""Seconds. What rounding makes a bucket lack is a fraction of a byte; a timer for that would be due
at once, with the bucket no fuller, for ever."""


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
        """Seconds until it is worth while to send some of that many bytes.

        That is all of them or, so that they are not sent one by one, half of a full bucket.
        """
        worth_while = min(count, max(1.0, self._capacity / 2))
        return max(0.0, worth_while - self._tokens) / self._speed


class Throttle:
    """Limits the speed of sending of each connection by itself; receiving is not limited.

    It is a :class:`~snakemq.link.LinkInterface`, so it takes the link's place in the layers above::

        link = snakemq.link.Link()
        packeter = snakemq.packeter.Packeter(snakemq.throttle.Throttle(link, 10_000))

    ``speed``: bytes per second, above 0.
    """

    __module__ = "snakemq.throttle"

    def __init__(self, link: LinkInterface, speed: float) -> None:
        if not speed > 0:
            raise ValueError(f"the speed must be above 0 bytes per second, not {speed!r}")
        self.link = link
        self.speed = speed
        """For connections that are made from now on, in bytes per second."""

        self.on_connect: Callback[[str]] = Callback()
        self.on_disconnect: Callback[[str]] = Callback()
        self.on_ready_to_send: Callback[[str, int]] = Callback()
        self.on_recv = link.on_recv
        self.on_loop_pass = link.on_loop_pass
        self.on_closed: Callback[[]] = getattr(link, "on_closed", Callback())
        """See :attr:`snakemq.link.Link.on_closed`; not called for a link that has none."""

        self._buckets: dict[str, _Bucket] = {}

        link.on_connect.add(self._on_connect)
        link.on_disconnect.add(self._on_disconnect)
        link.on_ready_to_send.add(self._on_ready_to_send)

    def send(self, conn_id: str, data: BytesLike) -> None:
        """See :meth:`LinkInterface.send`."""
        bucket = self._buckets.get(conn_id)
        if bucket is None:
            raise NoConnection(f"there is no connection {conn_id!r} (any more)")
        if bucket.data is not None:
            raise SendNotFinished(f"wait for on_ready_to_send of {conn_id} before the next send")
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"only bytes can be sent, not {type(data).__name__}")
        if not len(data):
            raise ValueError("there is nothing to send")
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
