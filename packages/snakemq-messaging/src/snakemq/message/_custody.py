"""What the stack notes on a message while it has it, and which module does so.

=========  =================================  ======================================================
slot       written by                         read by
=========  =================================  ======================================================
unclaimed  _message _stack
sent_to    _message _stack                    _stack _outbox
queued_at  _outbox _express _queues _queue    _express _packing _expiry _picture _taking
position   _outbox _express _queues _backlog  _queues _backlog _queue _expiry _taking
stage      _queue _row _deliveries _taking    _queue _row _taking _deadlines
=========  =================================  ======================================================

A thread that sends a message claims it, notes when, where the storage has it, and appends it to a
queue. From then on it belongs to the loop. ``_deliveries`` writes on received messages only.
"""

from __future__ import annotations


class Custody:
    """The slots of a message that are for the stack, not for users.

    The queue that a message is in keeps what it knows of it here. An object of its own for that
    would cost 0.4 of the 2.5 µs that sending a message takes; so would a method for each slot.
    """

    __slots__ = ("position", "queued_at", "sent_to", "stage", "unclaimed")

    unclaimed: bool
    """There until ``claim`` takes it away."""
    sent_to: str | set[str] | None
    """Peers that a message with a uuid of ours was sent to; ``None`` if the uuid is the user's."""
    queued_at: float
    """When it was sent, on the clock of the link."""
    position: int | None
    """Where the storage has it; ``None``: it is not there."""
    stage: int
    """How far it has come: a number of the outgoing queue's, or ``FORGOTTEN`` if it was received
    and given up."""
