"""When to ping, and when to give a connection up: a pure decision, and what carries it out."""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol

from snakemq.link import TimerHandle
from snakemq.packeter import Packeter

from .._session import Session
from ._probe import Prober

KEEPALIVE_WAIT = 0.5
"""Default of :attr:`Messaging.keepalive_wait`, in seconds."""

BUSY = 0.1
"""A timer that is late by this part of a wait tells that the loop was busy with something else."""


class Action(Enum):
    WAIT = "wait"
    PING = "ping"
    GIVE_UP = "give up"


class Decision(NamedTuple):
    action: Action
    delay: float
    """Seconds until the next decision is due."""


def decide(
    now: float, last_recv: float, last_ping: float | None, interval: float, wait: float
) -> Decision:
    """What to do about a silent peer.

    ``last_recv``: when anything arrived from it; ``last_ping``: when it was pinged, ``None`` if
    anything has arrived since (not by comparing times: some clocks stand still for 15 ms);
    ``interval``: seconds of silence after which to ping; ``wait``: seconds to wait for anything
    to arrive after that.
    """
    if last_ping is not None:
        remaining = last_ping + wait - now
        if remaining <= 0:
            return Decision(Action.GIVE_UP, 0.0)
        return Decision(Action.WAIT, remaining)
    remaining = last_recv + interval - now
    if remaining <= 0:
        return Decision(Action.PING, min(interval, wait))
    return Decision(Action.WAIT, remaining)


class HasTimer(Protocol):
    """What can have one deadline at a time."""

    timer: TimerHandle | None


class KeepAlive:
    """Watches over identified sessions. ``give_up(session)`` is called for those that are dead."""

    def __init__(
        self, packeter: Packeter, prober: Prober, give_up: Callable[[Session], None]
    ) -> None:
        self.interval: float | None = None
        self.wait: float = KEEPALIVE_WAIT
        self._prober = prober
        self._link = packeter.link
        self._give_up = give_up

    def plan(self, session: Session) -> None:
        """Look at a session now and whenever it is due, in place of its present timer."""
        if session.timer is not None:
            session.timer.cancel()
        if session.closed:
            return
        if self.interval is None:
            session.last_ping = None  # whether it was answered is not looked at any more
            return
        now = self._link.time()
        conn_id = session.conn_id
        if self._prober.is_ours(conn_id):
            session.last_recv = now
            session.last_ping = None
        elif session.last_ping is not None and self._prober.is_under_way(
            conn_id, session.probe, self.wait, self.interval
        ):
            session.last_ping = now
        action, delay = decide(now, session.last_recv, session.last_ping, self.interval, self.wait)
        if action is Action.GIVE_UP:
            self._give_up(session)
            return
        if action is Action.PING:
            session.last_ping = now
            session.probe = self._prober.ping(conn_id)
        if session.last_ping is not None:
            self.set_deadline(session, delay, lambda: self.plan(session))
        else:
            session.timer = self._link.call_later(delay, lambda: self.plan(session))

    def bytes_sent(self, session: Session) -> None:
        """While something moves the peer reads, so a ping that is not sent yet has time."""
        if session.last_ping is not None and session.probe.packet_id > session.sent_packet_id:
            session.last_ping = self._link.time()

    def set_deadline(self, holder: HasTimer, wait: float, func: Callable[[], object]) -> None:
        """Call ``func()`` when the other side has had ``wait`` seconds; in ``holder.timer``.

        The loop looks once more at what has arrived. If it was busy with other things when the
        deadline came, nobody has looked for a while, and the wait begins anew, once.
        """
        due = self._link.time() + wait

        def look_again() -> None:
            was_busy = self._link.time() - due > wait * BUSY
            holder.timer = self._link.call_later(wait if was_busy else 0.0, func)

        holder.timer = self._link.call_later(wait, look_again)
