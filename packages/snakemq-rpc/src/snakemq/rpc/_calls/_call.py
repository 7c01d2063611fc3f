"""Holds what the client knows about a call, and says what its end means."""

from __future__ import annotations

from typing import Literal, TypeAlias

from snakemq._settings import zero_or_more
from snakemq.link import TimerHandle

from .._errors import CallError, NotConnected, PartialCall
from ._waiters import Waiter

check_timeout = zero_or_more("seconds", or_none=True)

IfAway: TypeAlias = Literal["wait", "fail"]
"""What a call does while its peer is not connected."""


def may_wait(if_away: IfAway) -> bool:
    """Does such a call wait for its peer? Raises ``ValueError`` for another word."""
    if if_away not in ("wait", "fail"):
        raise ValueError(f"if_away is 'wait' or 'fail', not {if_away!r}")
    return if_away == "wait"


class Call:
    """A request that has no reply yet."""

    __slots__ = (
        *("data", "deadline", "has_broken_reply", "ident", "losses"),
        *("may_wait", "req_id", "sent_before", "sent_in", "timer", "waiter"),
    )

    def __init__(
        self,
        ident: str,
        req_id: bytes,
        data: bytes,
        waiter: Waiter,
        deadline: float | None,
        may_wait: bool = True,
    ) -> None:
        self.ident = ident
        self.req_id = req_id
        self.data = data
        self.waiter = waiter
        self.deadline = deadline
        """When it times out, on the clock of the link; ``None``: never."""
        self.may_wait = may_wait
        """May it wait for its peer to connect? If not, it fails as soon as the peer is away."""
        self.sent_in: bytes | None = None
        """The uuid of the last message that carried it; ``None`` if it was never sent."""
        self.sent_before: bytes | None = None
        """The uuid of the message before that."""
        self.losses = 0
        """How many connections in a row ended before it was acknowledged; see :class:`Peer`."""
        self.has_broken_reply = False
        """Since it was sent, has a reply come that names no call, and so may be its own?"""
        self.timer: TimerHandle | None = None

    def remaining(self, now: float) -> float | None:
        """Return how many seconds its caller will still wait; ``None``: forever."""
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
    """Return the error for a call that nobody waits for any longer."""
    if call.sent_in is None:
        return NotConnected(f"{text}; {call.ident!r} was not connected")
    return PartialCall(f"{text}; the request was sent to {call.ident!r}")


def away(call: Call) -> CallError:
    """Return the error for a call that does not wait for its peer, which is away.

    Take the call out first. The thread that sends it claims it, and then looks whether it is still
    there; so this never says of a request that was sent that it was not.
    """
    if call.sent_in is None:
        return NotConnected(f"{call.ident!r} is not connected, and this call does not wait for it")
    return PartialCall(
        f"the connection to {call.ident!r} ended after the request was sent and before the reply"
        " came, and this call does not wait for the next connection"
    )


def refused_silently(call: Call) -> CallError:
    """Return the error for a call whose peer closes the connection each time it receives it."""
    return PartialCall(
        f"{call.losses} connections to {call.ident!r} in a row ended before this request was"
        " acknowledged: it seems to refuse it, see the log there"
    )
