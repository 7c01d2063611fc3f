"""Pings, and how far the system of the other side has got while its application is silent."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from snakemq.exceptions import NoConnection
from snakemq.link import Abilities
from snakemq.packeter import Packeter

from .._wire import _frames as frames

T = TypeVar("T")

_PING_SIZE = len(frames.PING) + frames.PACKET_SIZE_LENGTH


class Probe:
    """A ping that is out. ``position``: how many bytes of the connection are before it; ``taken``:
    how many of them the other side's system had taken at the last look, ``None`` if that cannot be
    told; ``moved_at``: when it had taken more than before."""

    __slots__ = ("moved_at", "packet_id", "position", "taken")

    def __init__(
        self, packet_id: int, position: int, taken: int | None, moved_at: float = 0.0
    ) -> None:
        self.packet_id = packet_id
        self.position = position
        self.taken = taken
        self.moved_at = moved_at

    def moves(self, taken: int | None) -> bool:
        """Were bytes in front of the ping taken since the last look?

        Bytes behind it do not count: a system takes those even for a process that hangs.
        """
        before, self.taken = self.taken, taken
        if before is None or taken is None:
            return False
        return before < self.position and taken > before


NO_PROBE = Probe(0, 0, None)


class Prober:
    """Sends pings, and asks the link how far they have got. For the loop only."""

    def __init__(self, packeter: Packeter) -> None:
        link = packeter.link
        self._packeter = packeter
        self._time = link.time
        self._is_reading = link.is_reading
        abilities = Abilities(link)
        self._unsent = abilities.unsent_bytes
        self._unanswered = abilities.unanswered_for

    def ping(self, conn_id: str) -> Probe:
        """Ping a peer."""
        packet_id = self._packeter.send_packet(conn_id, frames.PING)
        sent, waiting = self._packeter.get_progress(conn_id)
        position = sent + waiting - _PING_SIZE
        return Probe(packet_id, position, self._taken(conn_id), self._time())

    def moves(self, conn_id: str, probe: Probe) -> bool:
        """Does the other side's system take the bytes in front of the ping? They may take long, and
        the answer comes after them."""
        moves = probe.moves(self._taken(conn_id))
        if moves:
            probe.moved_at = self._time()
        return moves

    def is_under_way(self, conn_id: str, probe: Probe, wait: float, longest: float) -> bool:
        """Is the ping still behind something that the other side's system takes, however slowly?

        It need not take anything in ``wait`` seconds, as long as it is not late with an
        acknowledgement by that much. After ``longest`` seconds it no longer counts as slow: it may
        be stopped, and have no room.
        """
        if self.moves(conn_id, probe):
            return True
        if probe.taken is None or probe.taken >= probe.position:
            return False
        late = self.unanswered_for(conn_id)
        if late is None or late >= wait:
            return False
        return self._time() - probe.moved_at < longest

    def is_ours(self, conn_id: str) -> bool:
        """Is a peer silent only because this side has paused reading?"""
        return _ask(self._is_reading, conn_id) is False

    def unanswered_for(self, conn_id: str) -> float | None:
        """Seconds for which the other side's system has owed us an acknowledgement; ``None`` if
        that cannot be told."""
        return _ask(self._unanswered, conn_id)

    def _taken(self, conn_id: str) -> int | None:
        unsent = _ask(self._unsent, conn_id)
        return None if unsent is None else self._packeter.get_progress(conn_id)[0] - unsent


def _ask(tell: Callable[[str], T | None], conn_id: str) -> T | None:
    """Ask the link; ``None`` if the connection is gone from it."""
    try:
        return tell(conn_id)
    except NoConnection:
        return None
