"""How this side ends connections, and what it tells their peers first."""

from __future__ import annotations

import contextlib
import logging

from snakemq.exceptions import (
    NotProven,
    SnakeMQBrokenFormat,
    SnakeMQDuplicateIdent,
    SnakeMQException,
    SnakeMQFlood,
    SnakeMQNoIdent,
)
from snakemq.link import Abilities
from snakemq.packeter import Packeter

from .._events import Events
from .._wire import _frames as frames
from .._wire._conversation import TurnedAway
from .._wire._phases import Phase
from ._connection import Connection

FAREWELL_TIMEOUT = 1.0
"""Seconds that a peer which is turned away has to receive the farewell."""


class Endings:
    """Closes connections: quietly, with a reason, or after a farewell. For the loop only."""

    def __init__(self, packeter: Packeter, events: Events) -> None:
        self._packeter = packeter
        self._link = packeter.link
        self._events = events
        self._log = logging.getLogger("snakemq.messaging")
        self._report_failure = Abilities(packeter.link).report_failure

    def close(self, connection: Connection) -> None:
        """Close a connection, unless it is closed already."""
        conversation = connection.conversation
        if conversation.phase is not Phase.CLOSED:
            self._link.close(conversation.conn_id)

    def fail(self, connection: Connection, error: Exception) -> None:
        """Close a connection because of its peer, and report ``error``."""
        if connection.conversation.phase is Phase.CLOSED:
            return
        self._log_failure(connection, error)
        self._say_why(connection, error)
        self._events.report(connection.conversation.conn_id, error)
        self.close(connection)

    def turn_away(self, connection: Connection, turned_away: TurnedAway) -> None:
        """Like :meth:`fail`, but close only when the system has taken over the farewell."""
        error, farewell = turned_away
        conn_id = connection.conversation.conn_id
        self._log_failure(connection, error)
        connection.farewell_packet_id = self._packeter.send_packet(conn_id, farewell)
        if connection.timer is not None:
            connection.timer.cancel()
        connection.timer = self._link.call_later(FAREWELL_TIMEOUT, lambda: self.close(connection))
        self._events.report(conn_id, error)

    def packets_sent(self, connection: Connection, packet_id: int) -> None:
        """Close the connection of a peer that is turned away, once its farewell is sent."""
        if packet_id >= connection.farewell_packet_id:
            self.close(connection)

    def _log_failure(self, connection: Connection, error: Exception) -> None:
        conn_id, ident = connection.conversation.conn_id, connection.conversation.ident
        level = logging.ERROR if self._report_failure is None else logging.DEBUG
        self._log.log(level, "conn=%s ident=%r %s", conn_id, ident, error)
        if self._report_failure is not None:
            self._report_failure(conn_id, _with_ident(ident, error))

    def _say_why(self, connection: Connection, error: Exception) -> None:
        """Send the reason to a 2.x peer, if that can be done at once."""
        refusal = _refusal(error)
        if refusal is None or connection.conversation.features is None:
            return
        conn_id = connection.conversation.conn_id
        frame = frames.encode_refused(*refusal)
        # Whatever is wrong with the connection, it is about to be closed.
        with contextlib.suppress(SnakeMQException):
            packet = len(frame).to_bytes(frames.PACKET_SIZE_LENGTH, "big") + frame
            if self._packeter.send_framed_at_once(conn_id, packet) is None:
                self._packeter.send_packet(conn_id, frame)
                self._packeter.flush(conn_id)


def _refusal(error: Exception) -> tuple[frames.Refusal, str] | None:
    """Return what to tell the peer; ``None`` if it is not there, or has itself refused."""
    if isinstance(error, SnakeMQDuplicateIdent):
        return frames.Refusal.TAKEN_IDENT, str(error)
    if isinstance(error, NotProven):
        # Not why: a liar must not learn what would have been believed.
        return frames.Refusal.NOT_PROVEN, "the ident is not proven"
    if isinstance(error, SnakeMQFlood):
        return frames.Refusal.FLOOD, str(error)
    if isinstance(error, (SnakeMQBrokenFormat, SnakeMQNoIdent)):
        # Not the text of the error: it may come from a callback.
        return frames.Refusal.BROKEN_RULES, "what was sent breaks the rules of the protocol"
    return None


def _with_ident(ident: str | None, error: Exception) -> Exception:
    """Return the error for the log: it names the ident of the peer, if that is known."""
    if ident is None:
        return error
    named = SnakeMQException(f"{error} (ident {ident!r})")
    named.__cause__ = error
    return named
