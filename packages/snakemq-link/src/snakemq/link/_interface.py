"""What the layers above need of a link. See :class:`LinkInterface`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from snakemq.callbacks import Callback
from snakemq.exceptions import ConnectFailed

BytesLike: TypeAlias = "bytes | bytearray | memoryview"


class TimerHandle(Protocol):
    """What :meth:`LinkInterface.call_later` returns."""

    __module__: str = "snakemq.link"

    def cancel(self) -> None:
        """Make sure that the function is not called any more. Idempotent."""


class LinkInterface(Protocol):
    """A keeper of connections: moves bytes, tells the time, runs the loop that calls everybody.

    :class:`~snakemq.link.Link` is one over sockets, :class:`~snakemq.throttle.Throttle` wraps
    another one, :class:`~snakemq.link.testing.MemoryLink` lives in memory under a fake clock.
    All of them pass :func:`snakemq.link.testing.check_link`, and so should yours.

    *Connection ids* are opaque strings, never reused by one link. *Callbacks* are all called
    in the loop, one at a time. An exception that a callback raises is logged and does not
    stop the loop. Nothing here is thread-safe but :meth:`wakeup_poll`, :meth:`time` and
    :meth:`in_loop`.

    A link may have ``send_at_once`` too, see :meth:`Link.send_at_once`; the packeter uses it when
    it is there. And it may be a :class:`LendingLink` and a :class:`ReportingLink`.
    """

    __module__: str = "snakemq.link"

    on_connect: Callback[[str]]
    """``func(conn_id)``: a connection is ready for use (after the TLS handshake if any)."""

    on_disconnect: Callback[[str]]
    """``func(conn_id)``: a connection is gone. Called exactly once for each one that was reported
    by ``on_connect``, whoever closed it. The id is unknown to the link from this call on."""

    on_recv: Callback[[str, bytes]]
    """``func(conn_id, data)``: at least one byte arrived, in order, cut anywhere."""

    on_ready_to_send: Callback[[str, int]]
    """``func(conn_id, sent)``: the last :meth:`send` is finished; the first ``sent`` bytes of its
    data, at least one, were taken over by the system and the rest was not. Never called from within
    :meth:`send`."""

    on_loop_pass: Callback[[]]
    """``func()``: events of one pass of the loop are handled; the last call before the loop sleeps.
    After :meth:`wakeup_poll` it is called at least once."""

    def send(self, conn_id: str, data: BytesLike) -> None:
        """Begin to send; at least one byte of data is needed.

        One send per connection at a time: wait for ``on_ready_to_send`` before the next one,
        and send what it did not take again. The data must not be changed until then.

        Raises :exc:`~snakemq.exceptions.NoConnection`, :exc:`~snakemq.exceptions.SendNotFinished`,
        ``TypeError`` (not bytes) and ``ValueError`` (empty data). A connection that turns out to
        be broken is not an error of the caller: ``on_disconnect`` tells it, never from within
        this call.
        """

    def close(self, conn_id: str) -> None:
        """Close a connection at once; ``on_disconnect`` is called before this returns.

        What the system has not taken over is lost. Raises
        :exc:`~snakemq.exceptions.NoConnection` when it is not there (any more).
        """

    def wakeup_poll(self) -> None:
        """Make the loop do a pass soon. Thread-safe, cheap, any number of times."""

    def call_later(self, delay: float, func: Callable[[], object]) -> TimerHandle:
        """Call ``func()`` in the loop after ``delay`` seconds, never earlier, and once."""

    def time(self) -> float:
        """Monotonic seconds of the clock that :meth:`call_later` goes by. Thread-safe."""

    def in_loop(self) -> bool:
        """Is the calling thread the one that runs this link's loop right now? Thread-safe."""


class ReportingLink(Protocol):
    """A link that keeps the books of failures, so that a person is told of each once.

    The layers above ask for it; without it they write an error for each connection.
    """

    __module__: str = "snakemq.link"

    on_connect_failed: Callback[[Any, ConnectFailed]]
    """See :attr:`Link.on_connect_failed`."""

    def report_failure(self, conn_id: str, error: Exception) -> None:
        """Say that a connection is of no use, because of ``error``, before it is closed.

        It counts as an attempt that has failed: the next ones come less and less often, and the
        link writes a warning if that is news. ``error``: its text is the reason. For the loop only.
        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """


class LendingLink(Protocol):
    """A link whose loop can be borrowed by other threads while it sleeps.

    For a thread which has something to send and would only wait for the loop to do it. While it has
    borrowed the loop it may send, and do nothing that takes long. It must not call what users have
    registered: that has to be called in the thread of the loop. If the system does not take all of
    the data the loop sees to the rest.
    """

    __module__: str = "snakemq.link"

    def borrow(self) -> bool:
        """Be the loop for a moment: True, and it stays asleep until :meth:`give_back`, or False if
        it is busy or does not run. Who runs the loop is the loop anyway: True. Thread-safe, never
        waits."""

    def give_back(self) -> None:
        """End what :meth:`borrow` has begun, in the same thread.

        To be called even if :meth:`borrow` was interrupted. Raises ``RuntimeError`` if this thread
        has borrowed nothing.
        """
