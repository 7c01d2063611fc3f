"""A call: what is known of a request that has no reply yet, and what its end means."""

from __future__ import annotations

from snakemq._settings import zero_or_more
from snakemq.link import TimerHandle

from .._errors import CallError, NotConnected, PartialCall
from ._waiters import Waiter

check_timeout = zero_or_more("seconds", or_none=True)


class Call:
    """A request that has no reply yet."""

    __slots__ = (
        *("data", "deadline", "has_broken_reply", "ident", "losses"),
        *("req_id", "sent_before", "sent_in", "timer", "waiter"),
    )

    def __init__(
        self, ident: str, req_id: bytes, data: bytes, waiter: Waiter, deadline: float | None
    ) -> None:
        self.ident = ident
        self.req_id = req_id
        self.data = data
        self.waiter = waiter
        self.deadline = deadline
        """When its time is over, by the clock of the link; None: it waits forever."""
        self.sent_in: bytes | None = None
        """The uuid of the last message that it was sent in; None if it was never sent."""
        self.sent_before: bytes | None = None
        """The uuid of the message before that."""
        self.losses = 0
        """How many connections in a row ended before it was acknowledged; see :class:`Peer`."""
        self.has_broken_reply = False
        """Has a reply come since it was sent that names no call, and so may be its own?"""
        self.timer: TimerHandle | None = None

    def remaining(self, now: float) -> float | None:
        """Seconds that its caller still waits; ``None``: forever."""
        return None if self.deadline is None else max(0.0, self.deadline - now)

    def succeed(self, value: object) -> None:
        """End it with a result."""
        if self.timer is not None:
            self.timer.cancel()
        self.waiter.succeed(value)

    def fail(self, error: BaseException) -> None:
        """End it with an error."""
        if self.timer is not None:
            self.timer.cancel()
        self.waiter.fail(error)


def expired(call: Call, text: str) -> CallError:
    """The error of a call that nobody waits for any longer."""
    if call.sent_in is None:
        return NotConnected(f"{text}; {call.ident!r} was not connected")
    return PartialCall(f"{text}; the request was sent to {call.ident!r}")


def refused_silently(call: Call) -> CallError:
    """The error of a call whose peer closes the connection each time it gets it."""
    return PartialCall(
        f"{call.losses} connections to {call.ident!r} in a row ended before this request was"
        " acknowledged: it seems to refuse it, see the log there"
    )
