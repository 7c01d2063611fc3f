"""Decides which client of a messaging may send a suspect call to a peer."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from snakemq.messaging import Messaging

Try = Callable[[], object]


class Trials:
    """Lets one client at a time send a suspect, see :class:`Peer`.

    If two sent one at once, the guilty call of one client would make an innocent call of the other
    look guilty, too. For the loop only.
    """

    def __init__(self) -> None:
        self._turns: dict[str, dict[object, Try]] = {}
        """For each peer, the clients that have suspects, and how each tries one. It is the turn of
        the first."""

    def enter(self, ident: str, client: object, try_one: Try) -> None:
        """Queue a client that has a suspect; ``try_one()`` is called on its turn, maybe at once."""
        turns = self._turns.setdefault(ident, {})
        turns[client] = try_one
        if len(turns) == 1:
            try_one()

    def leave(self, ident: str, client: object) -> None:
        """End the turn of a client whose trial is over, or that has no suspect any more."""
        turns = self._turns.get(ident, {})
        had_turn = next(iter(turns), None) is client
        turns.pop(client, None)
        if not turns:
            self._turns.pop(ident, None)
        elif had_turn:
            next(iter(turns.values()))()

    def disconnect(self, ident: str) -> None:
        """End all trials: the connection has ended."""
        self._turns.pop(ident, None)

    def forget(self, client: object) -> None:
        """Remove a client, which is closed."""
        for ident in list(self._turns):
            self.leave(ident, client)


_trials: WeakKeyDictionary[Messaging, Trials] = WeakKeyDictionary()


def trials_of(messaging: Messaging) -> Trials:
    """Return the trials that all clients of a messaging share."""
    return _trials.setdefault(messaging, Trials())
