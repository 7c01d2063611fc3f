"""What a peer that is turned away is told, before its connection is closed."""

from __future__ import annotations

import contextlib

from snakemq.exceptions import (
    SnakeMQBrokenFormat,
    SnakeMQDuplicateIdent,
    SnakeMQException,
    SnakeMQFlood,
    SnakeMQNoIdent,
)
from snakemq.packeter import Packeter

from .._session import Session
from .._wire import _frames as frames


def say_why(packeter: Packeter, session: Session, error: Exception) -> None:
    """Send the reason, as far as that can be done at once. 1.6 peers are told nothing."""
    refusal = _refusal(error)
    if refusal is None or session.features is None:
        return
    frame = frames.encode_refused(*refusal)
    # Whatever is wrong with the connection, it is about to be closed.
    with contextlib.suppress(SnakeMQException):
        packet = len(frame).to_bytes(frames.PACKET_SIZE_LENGTH, "big") + frame
        if packeter.send_framed_at_once(session.conn_id, packet) is None:
            packeter.send_packet(session.conn_id, frame)
            packeter.flush(session.conn_id)


def _refusal(error: Exception) -> tuple[frames.Refusal, str] | None:
    """``None``: nobody is there to be told, or it was the peer who refused."""
    if isinstance(error, SnakeMQDuplicateIdent):
        return frames.Refusal.TAKEN_IDENT, str(error)
    if isinstance(error, SnakeMQFlood):
        return frames.Refusal.FLOOD, str(error)
    if isinstance(error, (SnakeMQBrokenFormat, SnakeMQNoIdent)):
        # No more than that: the text may be that of an exception of a callback.
        return frames.Refusal.BROKEN_RULES, "what was sent breaks the rules of the protocol"
    return None


def with_ident(session: Session, error: Exception) -> Exception:
    """The error as it is logged, if it is one of a peer that has an ident."""
    if session.ident is None:
        return error
    named = SnakeMQException(f"{error} (ident {session.ident!r})")
    named.__cause__ = error
    return named
