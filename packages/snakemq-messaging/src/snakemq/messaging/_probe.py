"""A ping, and what the system of the other side says while its application says nothing."""

from __future__ import annotations

from collections.abc import Callable

from snakemq.packeter import Packeter

from . import _frames as frames

_PING_SIZE = len(frames.PING) + frames.PACKET_SIZE_LENGTH


class Probe:
    """A ping that is out. ``position``: how many bytes of the connection are before it; ``taken``:
    how many the other side's system had taken when somebody looked last, ``None`` if that cannot
    be told."""

    __slots__ = ("packet_id", "position", "taken")

    def __init__(self, packet_id: int, position: int, taken: int | None) -> None:
        self.packet_id = packet_id
        self.position = position
        self.taken = taken

    def moves(self, taken: int | None) -> bool:
        """Was something taken since the last look, of what is before the ping?

        What comes behind it does not count: a system takes all of that for a process that hangs.
        """
        before, self.taken = self.taken, taken
        if before is None or taken is None:
            return False
        return before < self.position and taken > before


class Prober:
    """Sends pings, and asks the link how they fare. For the loop only."""

    def __init__(self, packeter: Packeter) -> None:
        link = packeter.link
        self._packeter = packeter
        self._is_reading = link.is_reading
        # What only some links can tell, see ProgressLink.
        self._unsent: Callable[[str], int | None] = getattr(link, "unsent_bytes", _unknown)
        self._unanswered: Callable[[str], float | None] = getattr(link, "unanswered_for", _unknown)

    def ping(self, conn_id: str) -> Probe:
        """Ping a peer."""
        packet_id = self._packeter.send_packet(conn_id, frames.PING)
        sent, waiting = self._packeter.get_progress(conn_id)
        return Probe(packet_id, sent + waiting - _PING_SIZE, self._taken(conn_id))

    def moves(self, conn_id: str, probe: Probe) -> bool:
        """Does the other side's system take what is before the ping? It may take long, and the
        answer comes behind it."""
        return probe.moves(self._taken(conn_id))

    def is_ours(self, conn_id: str) -> bool:
        """Is the silence of a peer our own doing, because this side does not read now?"""
        return not self._is_reading(conn_id)

    def unanswered_for(self, conn_id: str) -> float | None:
        """For how many seconds the other side's system has owed us an acknowledgement; ``None`` if
        that cannot be told."""
        return self._unanswered(conn_id)

    def _taken(self, conn_id: str) -> int | None:
        unsent = self._unsent(conn_id)
        return None if unsent is None else self._packeter.get_progress(conn_id)[0] - unsent


def _unknown(conn_id: str) -> None:
    return None
