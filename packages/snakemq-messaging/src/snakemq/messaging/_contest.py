"""Two connections that claim one ident: which of them is the peer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemq.exceptions import SnakeMQDuplicateIdent
from snakemq.packeter import Packet

from ._session import Session

if TYPE_CHECKING:
    from snakemq.link import TimerHandle

MAX_HELD_BYTES = 1024 * 1024
"""What a challenger may send before it is decided that it is the peer, in bytes."""


class Contest:
    """A connection, the challenger, claims an ident that another one, the owner, has.

    The owner may be half-open: its peer was switched off or cut off without a word and has come
    back over a new connection. So it is pinged. If anything arrives from it, it is alive and the
    challenger is refused; if nothing does for the time of a keep-alive wait, it is replaced.
    What the challenger sends meanwhile is held back, up to a limit.
    """

    def __init__(self, ident: str, owner: Session, challenger: Session) -> None:
        self.ident = ident
        self.owner = owner
        self.challenger = challenger
        self.is_decided_here = False
        """Was the owner pinged?"""
        self.ping_packet_id = 0
        """The owner's time begins when it is sent, which can be behind a large message."""
        self.timer: TimerHandle | None = None
        self.held: list[Packet] = []
        self._held_bytes = 0

    @property
    def is_same_process(self) -> bool:
        """Is the challenger a second connection of the owner's own stack? 1.6 does not tell."""
        owner, challenger = self.owner.features, self.challenger.features
        return owner is not None and challenger is not None and owner.epoch == challenger.epoch

    @property
    def epoch(self) -> int:
        """The epoch of the challenger; 0 if it is a 1.6 peer."""
        features = self.challenger.features
        return 0 if features is None else features.epoch

    def hold(self, packets: list[Packet]) -> None:
        """Raises :exc:`~snakemq.exceptions.SnakeMQDuplicateIdent` above the limit."""
        self.held += packets
        self._held_bytes += sum(
            len(packet) if isinstance(packet, bytes) else len(packet.body) for packet in packets
        )
        if self._held_bytes > MAX_HELD_BYTES:
            raise SnakeMQDuplicateIdent(
                f"{self.ident!r} is connected already, and this one sends too much to wait"
            )

    def end(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
