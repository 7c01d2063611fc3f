"""Tries several endpoints of one name side by side: Happy Eyeballs, RFC 8305. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ._endpoint import Endpoint

ATTEMPT_DELAY = 0.25
"""Seconds from the beginning of one attempt to that of the next one, while none has failed: the
"Connection Attempt Delay" of the RFC."""


class Race:
    """Says which endpoint is to be tried when; the first one that answers has won.

    The first endpoint is tried at once, each further one when the attempt before it has failed or
    has not been decided for a while. Attempts that are under way go on. A name with many addresses
    has shorter delays, so that each of them gets at least half of the time.
    """

    def __init__(self, endpoints: Sequence[Endpoint], time_left: float) -> None:
        """``time_left``: seconds that the whole race may take."""
        self._waiting = deque(endpoints)
        self._running = 0
        self._next_at = 0.0
        self._delay = min(ATTEMPT_DELAY, time_left / 2 / max(1, len(endpoints)))

    def start(self, now: float) -> Endpoint | None:
        """Return the endpoint to try now, if there is one. Ask again until there is none."""
        if not self._waiting or (self._running and now < self._next_at):
            return None
        self._running += 1
        self._next_at = now + self._delay
        return self._waiting.popleft()

    def fail(self, now: float) -> None:
        """One of the attempts has failed, so the next one need not wait."""
        self._running -= 1
        self._next_at = now

    @property
    def next_at(self) -> float | None:
        """When to ask for the next endpoint; ``None``: all of them have been tried."""
        return self._next_at if self._waiting else None

    @property
    def is_lost(self) -> bool:
        """True when all attempts have failed."""
        return not self._waiting and not self._running


def starting_order(endpoints: Sequence[Endpoint], best: Endpoint | None) -> list[Endpoint]:
    """Put ``best``, the endpoint that worked last, first, and then the families in turn.

    Otherwise keep the order of the system's resolver. Each endpoint comes once.
    """
    families: dict[int, deque[Endpoint]] = {}
    for endpoint in dict.fromkeys(endpoints):
        families.setdefault(endpoint.family, deque()).append(endpoint)
    order: list[Endpoint] = []
    while families:
        for family, members in list(families.items()):
            order.append(members.popleft())
            if not members:
                del families[family]
    if best in order:
        order.remove(best)
        order.insert(0, best)
    return order
