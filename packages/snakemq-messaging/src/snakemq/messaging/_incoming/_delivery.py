"""One message that has come and is not processed yet."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

from snakemq.message import Message
from snakemq.message._stack import size_of

from .._dead_letters import DeadLetter
from .._wire._rejections import Rejection
from ._verdicts import ACK, Verdict

if TYPE_CHECKING:
    from snakemq.link import TimerHandle

FORGOTTEN = -1
"""``stage`` of a received message that was forgotten before it was processed."""


class Standing(Enum):
    """How far a delivery has come. Written by the loop."""

    WAITING = "waits to be offered"
    OFFERED = "is with the application, which may settle it"
    FAILED = "a callback has raised: offered again later, unless it is settled before"
    REJECTED = "is given up, and that has to be stored"
    DONE = "is processed or rejected, or was forgotten"


WAITING, OFFERED, FAILED, REJECTED, DONE = Standing


class Delivery:
    """A message that was taken and is not processed yet."""

    __slots__ = (
        "attempts",
        "due",
        "ended",
        "ident",
        "letter",
        "message",
        "number",
        "rejection",
        "size",
        "standing",
        "verdict",
    )

    def __init__(self, ident: str, message: Message, number: int = 0) -> None:
        self.ident = ident
        self.message = message
        self.number = number
        """The position among all deliveries, in the order in which they came."""
        self.size = size_of(message)
        self.attempts = 0
        """How many offers have failed, or ended with a retry."""
        self.standing = WAITING
        self.verdict: Verdict = ACK
        """What the application says of it. Written by the thread that settles it."""
        self.rejection: Rejection | None = None
        """Set when it is done and was rejected: what its sender is told."""
        self.due: TimerHandle | None = None
        """Until it is offered again."""
        self.letter: DeadLetter | None = None
        """Set if it has not come on a connection: the dead letter that was requeued."""
        self.ended: Callable[[Delivery], object] | None = None
        """What to call when a requeued one is done."""

    @property
    def is_done(self) -> bool:
        return self.standing is DONE
