"""What the layers above need from a link. See :class:`LinkInterface`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from snakemq.callbacks import Callback
from snakemq.exceptions import ConnectFailed, NoConnection, SendNotFinished

from ._credentials import PeerCredentials

BytesLike: TypeAlias = "bytes | bytearray | memoryview"


class TimerHandle(Protocol):
    """A timer, as :meth:`LinkInterface.call_later` returns it."""

    def cancel(self) -> None:
        """Make sure that the function is not called. Idempotent."""


class LinkInterface(Protocol):
    """Keeps connections: moves bytes, tells the time, and runs the loop that calls everything else.

    :class:`~snakemq.link.Link` works over sockets, :class:`~snakemq.throttle.Throttle` wraps
    another link, :class:`~snakemq.link.testing.MemoryLink` lives in memory under a fake clock.
    All of them pass :func:`snakemq.link.testing.check_link`, and so should yours.

    *Connection ids* are opaque strings, which one link never reuses. All *callbacks* are called
    in the loop, one at a time. An exception that a callback raises is logged and does not stop
    the loop; if ``on_connect`` raises, its connection is closed. Only :meth:`wakeup_poll`,
    :meth:`time` and :meth:`in_loop` are thread-safe.

    A link may have more abilities: those of :class:`SendsAtOnce`, :class:`LendingLink`,
    :class:`IdleLink`, :class:`ProgressLink`, :class:`CrowdedLink`, :class:`CredentialsLink`,
    :class:`ReportingLink`, :class:`EndingLink` and :class:`TimedLink`. The layers above ask for
    them once, when they are built on the link: see :class:`Abilities`.
    """

    on_connect: Callback[[str]]
    """``func(conn_id)``: a connection is ready for use (after the TLS handshake if any).

    If a callback closes the connection, those after it are not called. If one raises, the link
    closes the connection: the callback may have been a check, and nobody has approved the peer."""

    on_disconnect: Callback[[str]]
    """``func(conn_id)``: a connection is gone. Called exactly once for each one that was reported
    by ``on_connect``, whoever closed it. The id is unknown to the link from this call on."""

    on_recv: Callback[[str, bytes]]
    """``func(conn_id, data)``: at least one byte arrived, in order, cut anywhere."""

    on_ready_to_send: Callback[[str, int]]
    """``func(conn_id, sent)``: the last :meth:`send` is finished. The system has taken over the
    first ``sent`` bytes of its data, at least one, and not the rest. Never called from within
    :meth:`send`."""

    on_loop_pass: Callback[[]]
    """``func()``: the events of one pass of the loop are handled. This is the last call before the
    loop sleeps. After :meth:`wakeup_poll` it is called at least once.

    Layers join it when they are built, so they are called from the lowest one up: the packeter
    sends what the events of this pass have queued, then messaging acknowledges and sends, then RPC
    wakes its callers. What a layer queues for a lower one in this call goes out in one more pass,
    unless it is flushed."""

    def send(self, conn_id: str, data: BytesLike) -> None:
        """Begin to send; at least one byte of data is needed.

        One send per connection at a time: wait for ``on_ready_to_send`` before the next one, and
        then send again what was not taken. Do not change the data until then.

        Raises :exc:`~snakemq.exceptions.NoConnection`, :exc:`~snakemq.exceptions.SendNotFinished`,
        ``TypeError`` (not bytes) and ``ValueError`` (empty data). A connection that turns out to
        be broken is not an error of the caller: ``on_disconnect`` reports it, never from within
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

        From now on ``on_recv`` is not called for this connection; a call that is under way still
        reaches the other callables. Sending and :meth:`close` work as before.

        An orderly end of the connection comes after the data, so the link notices it only when
        reading goes on. If the connection breaks, a link may notice that at any time, at the latest
        when a send fails; then it calls ``on_disconnect`` despite the pause, and what was not read
        is lost.

        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """

    def resume_reading(self, conn_id: str, reason: object) -> None:
        """Undo :meth:`pause_reading` for this reason; if it was not given, do nothing.

        What has arrived meanwhile comes in order and in full, never from within this call. Raises
        :exc:`~snakemq.exceptions.NoConnection`.
        """

    def is_reading(self, conn_id: str) -> bool:
        """Return True while no reason pauses reading. Otherwise we cause the peer's silence.

        Raises :exc:`~snakemq.exceptions.NoConnection`.
        """

    def wakeup_poll(self) -> None:
        """Make the loop do a pass soon. Thread-safe, cheap, any number of times."""

    def call_later(self, delay: float, func: Callable[[], object]) -> TimerHandle:
        """Call ``func()`` in the loop after ``delay`` seconds, never earlier, and once."""

    def time(self) -> float:
        """Return monotonic seconds, of the clock that :meth:`call_later` goes by. Thread-safe."""

    def in_loop(self) -> bool:
        """Return True in the thread that runs this link's loop right now. Thread-safe."""


class SendsAtOnce(Protocol):
    """A link that can say right away that a send is finished."""

    def send_at_once(self, conn_id: str, data: BytesLike) -> bool:
        """Send like :meth:`LinkInterface.send`. Returns True if the system took all of the data.

        Then ``on_ready_to_send`` is not called for it, and the next ``send`` may follow at once.
        """


class ReportingLink(Protocol):
    """A link that counts failures, so that people read of each only once.

    With any other link, the layers above log an error for each connection.
    """

    on_connect_failed: Callback[[Any, ConnectFailed]]
    """See :attr:`Link.on_connect_failed`."""

    def report_failure(self, conn_id: str, error: Exception) -> None:
        """Report that a connection is of no use because of ``error``, before you close it.

        It counts as a failed attempt: the next ones come less and less often, and the link logs a
        warning if the reason, which is the text of ``error``, is new. For the loop only. Raises
        :exc:`~snakemq.exceptions.NoConnection`.
        """


class EndingLink(Protocol):
    """A link that says when it ends for good, as :meth:`Link.cleanup` does."""

    on_closing: Callback[[]]
    """``func()``: the link is about to close everything, and still sends what it is given. See
    :attr:`Link.on_closing`."""

    on_closed: Callback[[]]
    """``func()``: the link has closed everything and cannot be used any more. Called once."""


class LendingLink(Protocol):
    """A link whose loop can be borrowed by other threads while it sleeps.

    This is for a thread that has something to send and would otherwise wait for the loop to do it.
    While a thread has borrowed the loop it may send, but must do nothing that takes long. Nor may
    it call what users have registered: that runs in the thread of the loop. The loop sends whatever
    the system does not take at once.
    """

    def borrow(self) -> bool:
        """Take the place of the loop for a moment.

        Returns True if the loop stays asleep until :meth:`give_back`, and False if it is busy or
        does not run. Always returns True in the thread that runs the loop. Thread-safe, never
        waits.
        """

    def give_back(self) -> None:
        """End what :meth:`borrow` has begun, in the same thread.

        Call it even if :meth:`borrow` was interrupted. Raises ``RuntimeError`` if this thread has
        not borrowed the loop.
        """


class IdleLink(Protocol):
    """A link that knows whether its loop runs."""

    def run_if_idle(self, func: Callable[[], object]) -> bool:
        """Call ``func()`` in this thread if no loop runs, and let none begin meanwhile.

        Returns False, and does nothing, if a loop runs or the link was cleaned up. ``func`` takes
        the place of the loop, so it must be short, and must not call what users have registered.
        Thread-safe. Raises what ``func`` raises.
        """


class TimedLink(Protocol):
    """A link whose clock is not that of the system, so that threads must wait by it as well. With
    any other link, they block by themselves."""

    def wait_until(self, is_over: Callable[[], bool], timeout: float | None) -> bool:
        """Block the calling thread until ``is_over()`` returns True, at most for ``timeout``
        seconds of :meth:`LinkInterface.time`; ``None``: forever.

        Returns what ``is_over()`` has returned last. Other threads call it, too, and at any time,
        so it only looks. It may change in the loop, and in any thread that calls
        :meth:`LinkInterface.wakeup_poll` afterwards. Not for the thread that runs the loop.
        """


class ProgressLink(Protocol):
    """A link that knows how much of what it has sent is still on its way.

    For a layer above that waits for a sign of life: while the number of unsent bytes falls, the
    other side is taking data, however far away its answer is.
    """

    def unsent_bytes(self, conn_id: str) -> int | None:
        """Return how many bytes of what was sent the system of the other side has not acknowledged
        yet; ``None`` if that is unknown.

        Acknowledged bytes may still be unread by its application. This counts bytes on the wire,
        so it includes what TLS adds, and the overhead of a Unix socket. Raises
        :exc:`~snakemq.exceptions.NoConnection`.
        """

    def unanswered_for(self, conn_id: str) -> float | None:
        """Return for how many seconds the system of the other side has owed an acknowledgement;
        ``None`` if that is unknown.

        That is the time since the last acknowledgement, while something has been under way for
        longer than it should be, and 0.0 otherwise. It distinguishes a machine that is gone from an
        application that is busy or has no room for more. For a connection that was idle, it
        includes the time before the last send. Raises :exc:`~snakemq.exceptions.NoConnection`.
        """


class CrowdedLink(Protocol):
    """A link that asks the layers above for room before it refuses a newcomer."""

    on_crowded: Callback[[Callable[[str], bool]]]
    """``func(would_help)``: the newcomer is refused unless this call closes a connection for which
    ``would_help(conn_id)`` returns True. Close only one, and only one that you can do without."""


class CredentialsLink(Protocol):
    """A link that knows what its transport proves about a peer. With any other link, nothing is
    proven."""

    def peer_credentials(self, conn_id: str) -> PeerCredentials:
        """Return what the transport proves about the peer of a connection.

        They are complete when ``on_connect`` is called, and do not change until ``on_disconnect``.
        For the loop only. Raises :exc:`~snakemq.exceptions.NoConnection`.
        """


def no_connection(conn_id: str) -> NoConnection:
    """Make the error for an id that a link does not know, or no longer knows."""
    return NoConnection(f"there is no connection {conn_id!r} (any more)")


def check_send(conn_id: str, data: object, *, is_sending: bool) -> None:
    """Raise what :meth:`LinkInterface.send` has to raise. For authors of links.

    ``is_sending``: True if the send before this one has not been reported yet.
    """
    if is_sending:
        raise SendNotFinished(f"wait for on_ready_to_send of {conn_id} before the next send")
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(f"only bytes can be sent, not {type(data).__name__}")
    if not len(data):
        raise ValueError("there is nothing to send")
