"""Decides when to ping and when to give up a connection, and carries that out."""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol

from snakemq.exceptions import SnakeMQTimeout
from snakemq.link import TimerHandle
from snakemq.packeter import Packeter

from .._wire._phases import Phase
from ._connection import Connection
from ._endings import Endings
from ._probe import Prober
from ._settings import PeerSettings

KEEPALIVE_WAIT = 0.5
"""Default of :attr:`Messaging.keepalive_wait`, in seconds."""

BUSY = 0.1
"""A timer that is late by more than this part of a wait shows that the loop was busy."""


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
    """Decide what to do about a silent peer.

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
    """Something that can have one deadline at a time."""

    timer: TimerHandle | None


class KeepAlive:
    """Watches over admitted connections, and ends those that are dead."""

    def __init__(
        self, packeter: Packeter, prober: Prober, endings: Endings, settings: PeerSettings
    ) -> None:
        self._settings = settings
        self._prober = prober
        self._link = packeter.link
        self._endings = endings

    def plan(self, connection: Connection) -> None:
        """Check a connection now and plan its next check, in place of its present timer."""
        if connection.timer is not None:
            connection.timer.cancel()
        if connection.conversation.phase is Phase.CLOSED:
            return
        interval, wait = self._settings.keepalive_interval, self._settings.keepalive_wait
        if interval is None:
            connection.last_ping = None  # nobody waits for the answer any more
            return
        now = self._link.time()
        conn_id = connection.conversation.conn_id
        if self._prober.is_ours(conn_id):
            connection.last_recv = now
            connection.last_ping = None
        elif connection.last_ping is not None and self._prober.is_under_way(
            conn_id, connection.probe, wait, interval
        ):
            connection.last_ping = now
        action, delay = decide(now, connection.last_recv, connection.last_ping, interval, wait)
        if action is Action.GIVE_UP:
            self._endings.fail(connection, SnakeMQTimeout(f"no answer to a ping in {wait:g} s"))
            return
        if action is Action.PING:
            connection.last_ping = now
            connection.probe = self._prober.ping(conn_id)
        if connection.last_ping is not None:
            self.set_deadline(connection, delay, lambda: self.plan(connection))
        else:
            connection.timer = self._link.call_later(delay, lambda: self.plan(connection))

    def bytes_sent(self, connection: Connection) -> None:
        """Give a ping that still waits to be sent more time: bytes move, so the peer reads."""
        if (
            connection.last_ping is not None
            and connection.probe.packet_id > connection.sent_packet_id
        ):
            connection.last_ping = self._link.time()

    def set_deadline(self, holder: HasTimer, wait: float, func: Callable[[], object]) -> None:
        """Call ``func()`` when the other side has had ``wait`` seconds; sets ``holder.timer``.

        Before that the loop handles once more what has arrived. If the loop was busy when the
        deadline came, it has not looked for a while, so the wait begins anew, once.
        """
        due = self._link.time() + wait

        def look_again() -> None:
            was_busy = self._link.time() - due > wait * BUSY
            holder.timer = self._link.call_later(wait if was_busy else 0.0, func)

        holder.timer = self._link.call_later(wait, look_again)
