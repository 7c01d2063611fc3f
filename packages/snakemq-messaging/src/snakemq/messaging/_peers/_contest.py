"""Two connections that claim one ident: which of them is the peer?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemq.exceptions import SnakeMQDuplicateIdent
from snakemq.packeter import Packet

from ._connection import Connection
from ._probe import NO_PROBE, Probe

if TYPE_CHECKING:
    from snakemq.link import TimerHandle

CONTEST_WAIT = 10.0
"""Default of :attr:`Messaging.contest_wait`, in seconds."""

CONTEST_PAUSE = 1.0
"""Seconds after a contest in which the owner counts as alive and is not asked again: challengers
that keep coming must not cost it more than one ping in this time."""

MAX_HELD_BYTES = 1024 * 1024
"""How many bytes a challenger may send before the contest is decided."""


class Contest:
    """A connection, the challenger, claims an ident that another one, the owner, has.

    The owner may be half-open: its peer was switched off or cut off without a word and has come
    back over a new connection. So it is pinged. If anything arrives from it, it is alive and the
    challenger is refused. If nothing does, it is replaced: soon if its system does not acknowledge
    the ping either, later if it does, because then its application may only be busy. What the
    challenger sends meanwhile is held back, up to a limit.
    """

    def __init__(self, ident: str, owner: Connection, challenger: Connection) -> None:
        self.ident = ident
        self.owner = owner
        self.challenger = challenger
        assert owner.queue is not None
        self.queue = owner.queue
        """The messages that wait for the peer."""
        self.is_decided_here = False
        """Was the owner pinged?"""
        self.probe: Probe = NO_PROBE
        """The ping."""
        self.waited = 0.0
        """Seconds that the owner has had to answer. They count from the sending of the ping, which
        can be behind a large message, and start again as long as that message moves."""
        self.timer: TimerHandle | None = None
        self.held: list[Packet] = []
        self._held_bytes = 0

    @property
    def is_same_process(self) -> bool:
        """Does the challenger come from the owner's own stack? False for 1.6 peers, as unknown."""
        owner = self.owner.conversation.features
        challenger = self.challenger.conversation.features
        return owner is not None and challenger is not None and owner.epoch == challenger.epoch

    @property
    def epoch(self) -> int:
        """The epoch of the challenger; 0 if it is a 1.6 peer."""
        features = self.challenger.conversation.features
        return 0 if features is None else features.epoch

    def hold(self, packet: Packet) -> None:
        """Keep a packet of the challenger until the contest is decided.

        Raises :exc:`~snakemq.exceptions.SnakeMQDuplicateIdent` above the limit.
        """
        self.held.append(packet)
        self._held_bytes += len(packet) if isinstance(packet, bytes) else len(packet.body)
        if self._held_bytes > MAX_HELD_BYTES:
            raise SnakeMQDuplicateIdent(
                f"{self.ident!r} is connected already, and this one sends too much to wait"
            )


def patience(waited: float, unanswered: float | None, wait: float, contest_wait: float) -> float:
    """Return for how many more seconds an owner may be silent; 0.0: it is dead.

    ``waited``: seconds since it was asked; ``unanswered``: see
    :meth:`~snakemq.link.ProgressLink.unanswered_for`; ``wait``: seconds that a system has to
    acknowledge; ``contest_wait``: seconds that an application has to answer.
    """
    limit = max(wait, contest_wait)
    if unanswered is not None and unanswered >= wait:
        limit = wait
    left = limit - waited
    # Look again when the system should have said something.
    return 0.0 if left <= 0 else min(left, wait) if wait else left
