"""What the layers above need of a link. See :class:`LinkInterface`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from snakemq.callbacks import Callback
from snakemq.exceptions import ConnectFailed, NoConnection, SendNotFinished

BytesLike: TypeAlias = "bytes | bytearray | memoryview"


class TimerHandle(Protocol):
    """A timer, as :meth:`LinkInterface.call_later` returns it."""

    def cancel(self) -> None:
        """Make sure that the function is not called any more. Idempotent."""


class LinkInterface(Protocol):
    """A keeper of connections: moves bytes, tells the time, runs the loop that calls everybody.

    :class:`~snakemq.link.Link` is one over sockets, :class:`~snakemq.throttle.Throttle` wraps
    another one, :class:`~snakemq.link.testing.MemoryLink` lives in memory under a fake clock.
    All of them pass :func:`snakemq.link.testing.check_link`, and so should yours.

    *Connection ids* are opaque strings, never reused by one link. *Callbacks* are all called
    in the loop, one at a time. An exception that a callback raises is logged and does not
    stop the loop; only that of ``on_connect`` has consequences. Nothing here is thread-safe but
    :meth:`wakeup_poll`, :meth:`time` and :meth:`in_loop`.

    A link may have more abilities: those of :class:`SendsAtOnce`, :class:`LendingLink`,
    :class:`ProgressLink`, :class:`CrowdedLink`, :class:`ReportingLink` and :class:`EndingLink`. The
    layers above ask for them once, when they are built on it: see :class:`Abilities`.
    """

    on_connect: Callback[[str]]
    """``func(conn_id)``: a connection is ready for use (after the TLS handshake if any).

    If a callback closes the connection, those after it are not called. If one raises, the link
    closes the connection: it may have been a check that could not be made."""

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
    After :meth:`wakeup_poll` it is called at least once.

    Layers join it when they are built, so they are called from the lowest one up: the packeter
    sends what the events of this pass have queued, then messaging acknowledges and sends, then RPC
    wakes its callers. What a layer queues in this call for one below it goes out in one more pass,
    unless it is flushed."""

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

    def pause_reading(self, conn_id: str, reason: object) -> None:
        """Stop reading from a connection, so that its peer has to wait before it can send more.

        ``reason``: anything hashable. Several reasons may pause one connection, and reading goes
        on when the last one is gone, so each caller needs a reason of its own. To pause again for
        the same reason changes nothing.

        ``on_recv`` is not called for this connection any more, except that a call which is under
        way goes on to the other callables. Sending works as before, :meth:`close` too.

        An orderly end of the connection comes behind the data and is noticed only when reading
        goes on. If the connection breaks, a link may notice it at any time, at the latest when a
        send fails; then ``on_disconnect`` is called in spite of the pause, and what was not read is
        lost.

        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """

    def resume_reading(self, conn_id: str, reason: object) -> None:
        """Take back :meth:`pause_reading` for this reason; without one it does nothing.

        What has arrived meanwhile comes in order and in full, never from within this call. Raises
        :exc:`~snakemq.exceptions.NoConnection`.
        """

    def is_reading(self, conn_id: str) -> bool:
        """Is there no reason to pause? While there is one, the silence of a peer is our own doing.

        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """

    def wakeup_poll(self) -> None:
        """Make the loop do a pass soon. Thread-safe, cheap, any number of times."""

    def call_later(self, delay: float, func: Callable[[], object]) -> TimerHandle:
        """Call ``func()`` in the loop after ``delay`` seconds, never earlier, and once."""

    def time(self) -> float:
        """Monotonic seconds of the clock that :meth:`call_later` goes by. Thread-safe."""

    def in_loop(self) -> bool:
        """Is the calling thread the one that runs this link's loop right now? Thread-safe."""


class SendsAtOnce(Protocol):
    """A link that can tell right away that a send is finished."""

    def send_at_once(self, conn_id: str, data: BytesLike) -> bool:
        """Like :meth:`LinkInterface.send`; True if the system has taken over all of the data.

        Then ``on_ready_to_send`` is not called for it, and the next ``send`` may follow at once.
        """


class ReportingLink(Protocol):
    """A link that keeps count of failures, so that each is reported to people only once.

    The layers above ask for it; without it they log an error for each connection.
    """

    on_connect_failed: Callback[[Any, ConnectFailed]]
    """See :attr:`Link.on_connect_failed`."""

    def report_failure(self, conn_id: str, error: Exception) -> None:
        """Say that a connection is of no use, because of ``error``, before it is closed.

        It counts as an attempt that has failed: the next ones come less and less often, and the
        link writes a warning if that is news. ``error``: its text is the reason. For the loop only.
        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """


class EndingLink(Protocol):
    """A link that says when it ends for good, as :meth:`Link.cleanup` does."""

    on_closing: Callback[[]]
    """``func()``: the link is about to close everything, and takes last words. See
    :attr:`Link.on_closing`."""

    on_closed: Callback[[]]
    """``func()``: the link has closed everything, and is of no more use. Called once."""


class LendingLink(Protocol):
    """A link whose loop can be borrowed by other threads while it sleeps.

    For a thread which has something to send and would only wait for the loop to do it. While it has
    borrowed the loop it may send, and do nothing that takes long. It must not call what users have
    registered: that has to be called in the thread of the loop. If the system does not take all of
    the data the loop sees to the rest.
    """

    def borrow(self) -> bool:
        """Take the place of the loop for a moment. True: it stays asleep until :meth:`give_back`.
        False: it is busy, or does not run. Always returns True in the thread that runs the loop.
        Thread-safe, never waits."""

    def give_back(self) -> None:
        """End what :meth:`borrow` has begun, in the same thread.

        To be called even if :meth:`borrow` was interrupted. Raises ``RuntimeError`` if this thread
        has borrowed nothing.
        """


class ProgressLink(Protocol):
    """A link that can tell how much of what it has sent is still on its way.

    For a layer above that waits for a sign of life: while this number falls the other side takes
    what it is sent, although its answer may be far behind it.
    """

    def unsent_bytes(self, conn_id: str) -> int | None:
        """Bytes that were taken over from :meth:`LinkInterface.send` and that the system of the
        other side has not acknowledged yet; ``None`` if that cannot be told.

        Whether its application has read them is another matter. Bytes on the wire are counted: what
        TLS adds belongs to them, and a Unix socket counts its own overhead too. Raises
        :exc:`~snakemq.exceptions.NoConnection`.
        """

    def unanswered_for(self, conn_id: str) -> float | None:
        """Seconds for which the system of the other side has owed an acknowledgement: since the
        last one that came, while something is under way for longer than it should be. 0.0 while
        nothing is under way; ``None`` if that cannot be told.

        This tells a machine that is gone from an application that is busy, or that has no room for
        more. For a connection that was idle, the time before the last send is counted too. Raises
        :exc:`~snakemq.exceptions.NoConnection`.
        """


class CrowdedLink(Protocol):
    """A link that asks the layers above for room before it refuses a newcomer."""

    on_crowded: Callback[[Callable[[str], bool]]]
    """``func(would_help)``: a newcomer is refused unless a connection for whose id
    ``would_help(conn_id)`` is true is closed in this call. Close one that can be done without, and
    not more than one."""


def no_connection(conn_id: str) -> NoConnection:
    """Make the error that a link raises for an id that it does not know, or not any more."""
    return NoConnection(f"there is no connection {conn_id!r} (any more)")


def check_send(conn_id: str, data: object, *, is_sending: bool) -> None:
    """Raise what :meth:`LinkInterface.send` has to raise. For those who write a link.

    ``is_sending``: is the send before this one not reported yet?
    """
    if is_sending:
        raise SendNotFinished(f"wait for on_ready_to_send of {conn_id} before the next send")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"only bytes can be sent, not {type(data).__name__}")
    if not len(data):
        raise ValueError("there is nothing to send")
