"""Whose turn it is to send a suspect call to a peer, of all clients of one messaging."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from snakemq.messaging import Messaging

Try = Callable[[], object]


class Trials:
    """Lets one client at a time send a suspect, see :class:`Peer`.

    If two of them did, the call that is why the connections end would take an innocent one of the
    other client with it. For the loop only.
    """

    def __init__(self) -> None:
        self._turns: dict[str, dict[object, Try]] = {}
        """For each peer the clients that have suspects, and how they try one. The first has its
        turn."""

    def enter(self, ident: str, client: object, try_one: Try) -> None:
        """A client has a suspect: call ``try_one()`` when it is its turn, which may be now."""
        turns = self._turns.setdefault(ident, {})
        turns[client] = try_one
        if len(turns) == 1:
            try_one()

    def leave(self, ident: str, client: object) -> None:
        """The trial of a client is over, or it has no suspect any more: it is the next one's
        turn."""
        turns = self._turns.get(ident, {})
        had_turn = next(iter(turns), None) is client
        turns.pop(client, None)
        if not turns:
            self._turns.pop(ident, None)
        elif had_turn:
            next(iter(turns.values()))()

    def disconnect(self, ident: str) -> None:
        """The connection has ended, and with it all trials."""
        self._turns.pop(ident, None)

    def forget(self, client: object) -> None:
        """A client is closed."""
        for ident in list(self._turns):
            self.leave(ident, client)


_trials: WeakKeyDictionary[Messaging, Trials] = WeakKeyDictionary()


def trials_of(messaging: Messaging) -> Trials:
    """The trials that all clients of a messaging share."""
    return _trials.setdefault(messaging, Trials())
