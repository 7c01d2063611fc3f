"""When to ping, and when to give a connection up. Pure."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


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
