"""What an application does to its queues: it cancels messages, and drops whole queues."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

from snakemq.exceptions import StorageError
from snakemq.messaging import Messaging, QueuedState

from .ledger import Violation

if TYPE_CHECKING:
    from .peer import Peer

LOOKED_AT = 20
"""Messages among which one is cancelled."""

ALL = 100_000


class TakingOut:
    """Takes messages out of queues.

    Drawn from a seed of its own, so that it changes nothing for others.
    """

    def __init__(self, peer: Peer, messaging: Messaging) -> None:
        self._peer = peer
        self._messaging = messaging
        self._random = Random(f"taking out {peer.world.seed} {peer.ident} {peer.life}")
        # Not in all worlds: seeds that are known to other tests must go on meaning the same.
        self._rate = self._random.choice((0.0, 0.05, 0.3)) if peer.world.seed % 7 == 5 else 0.0

    def now_and_then(self) -> None:
        """Outside of the loop, or in a callback."""
        world = self._peer.world
        if world.is_calm or not self._rate or self._random.random() >= self._rate:
            return
        ident = self._random.choice([other for other in world.peers if other != self._peer.ident])
        with suppress(StorageError):
            # Calls have messages, too, of which the ledger knows nothing.
            if world.settings.with_calls or self._random.random() < 0.7:
                self._cancel(ident)
            else:
                self._drop_queue(ident)

    def _cancel(self, ident: str) -> None:
        world, peer = self._peer.world, self._peer
        queue = self._messaging.queue(ident)
        rows = [row for row in queue.list(LOOKED_AT) if world.is_of_ledger(row.uuid)]
        if not rows:
            return
        row = self._random.choice(rows)
        is_taken = queue.cancel(row.uuid)
        if is_taken != (row.state is not QueuedState.IN_FLIGHT):
            raise Violation(f"{peer.ident}: cancel() returned {is_taken} for {row}")
        if is_taken:
            world.ledger.taken_out(peer, ident, row)
            world.happened("message cancelled", peer.ident, f"{row.uuid.hex()} {row.state.value}")

    def _drop_queue(self, ident: str) -> None:
        world, peer = self._peer.world, self._peer
        rows = self._messaging.queue(ident).list(ALL)
        waiting = [row for row in rows if row.state is not QueuedState.IN_FLIGHT]
        for row in waiting:
            world.ledger.to_be_taken_out(peer, ident, row)  # some, if the storage fails
        purged = self._messaging.drop_queue(ident)
        if purged != (len(waiting), len(rows) - len(waiting)):
            raise Violation(f"{peer.ident}: drop_queue() returned {purged} for {rows}")
        for row in waiting:
            world.ledger.taken_out(peer, ident, row)
        if waiting:
            world.happened("queue dropped", peer.ident, f"{len(waiting)} messages to {ident}")
