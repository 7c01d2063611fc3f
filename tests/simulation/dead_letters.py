"""What is known of dead letters: none may be lost, and none may be missing behind a rejection."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from snakemq.message import Message
from snakemq.messaging import DeadLetters
from snakemq.messaging._dead_letters import requeued

if TYPE_CHECKING:
    from .peer import Peer
    from .storage import WatchedStorage


class DeadLetterBook:
    """The dead letters of all peers, by the uuids that their senders gave them."""

    def __init__(self) -> None:
        self._kept: set[tuple[str, bytes]] = set()
        self._processed: set[tuple[str, bytes]] = set()

    def stored(self, receiver: str, uuid: bytes) -> None:
        """The storage of a receiver has it."""
        self._kept.add((receiver, uuid))

    def processed(self, receiver: str, uuid: bytes) -> None:
        """It was requeued, and the application has processed it."""
        self._processed.add((receiver, uuid))

    def has(self, receiver: str, uuid: bytes) -> bool:
        return (receiver, uuid) in self._kept

    def missing(self, peer: Peer) -> set[bytes]:
        """Return those that are neither in the storage nor processed."""
        there = set(origins(peer.process.storage))
        return {
            uuid
            for ident, uuid in self._kept - self._processed
            if ident == peer.ident and uuid not in there
        }


def origins(storage: WatchedStorage) -> list[bytes]:
    """The uuids that senders gave to what is in a storage, dead or requeued. For the end, when
    nothing fails."""
    letters = list(DeadLetters(storage).list(10**6))
    after = None
    while page := requeued(storage, after):
        after = page[-1][0]
        letters += [letter for _, letter in page]
    return [letter.origin_uuid or letter.message.uuid for letter in letters]


def origin_of(message: Message) -> bytes | None:
    """The uuid that its sender gave a requeued message; ``None`` for any other message."""
    origin = message.headers.get("origin-uuid")
    return bytes.fromhex(origin) if origin is not None else None


def are_kept_by(peer: Peer) -> bool:
    # Not from the random numbers of the world: seeds that are known to others must mean the same.
    return Random(f"dead letters {peer.world.seed} {peer.ident}").random() < 0.5
