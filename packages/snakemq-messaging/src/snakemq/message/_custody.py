"""What the stack notes on a message while it holds it, and which module writes each note.

=============  ======================================  =============================================
slot           written by                              read by
=============  ======================================  =============================================
unclaimed      _message _stack
sent_to        _message _stack                         _stack _outbox
fixed_headers  _message _stack                         _message _stack _express _packing _chunks
queued_size    _stack _queues _backlog                 _backlog _express _outbox _peer_queue _posts
                                                       _queue _queues _row _taking _large _turns
queued_at      _outbox _posts _express _queues _queue  _express _packing _expiry _peer_queue
                                                       _picture _taking _deadlines _chunks
position       _outbox _posts _pushing _express        _backlog _queue _deletions _expiry
               _queues _backlog                        _purging _queues _taking _deadlines _large
stage          _queue _row _deliveries _taking _large  _queue _row _peer_queue _taking _deadlines
                                                       _chunks _large
failures       _offers                                 _message
=============  ======================================  =============================================

A thread that sends a message claims it, which measures it too, notes the time and the message's
position in the storage, and appends it to a queue. From then on the message belongs to the loop.
``_deliveries`` and ``_offers`` write on received messages only.
"""

from __future__ import annotations

from ._headers import Headers


class Custody:
    """The slots of a message that belong to the stack, not to users.

    A queue keeps here what it knows about each of its messages. A separate object would cost 0.4 of
    the 2.5 µs that sending a message takes; so would a method for each slot.
    """

    __slots__ = (
        "failures",
        "fixed_headers",
        "position",
        "queued_at",
        "queued_size",
        "sent_to",
        "stage",
        "unclaimed",
    )

    unclaimed: bool
    """Present until ``claim`` deletes it."""
    sent_to: str | set[str] | None
    """Peers that the message was sent to, if we made its uuid; ``None`` if the user gave it."""
    fixed_headers: Headers
    """What ``headers`` returns. Users cannot assign it: the size of a queued message is counted."""
    queued_size: int
    """Bytes by which it counts for windows and limits, while it is in a queue; see ``size_of``."""
    queued_at: float
    """When it was sent, by the link's clock."""
    position: int | None
    """Its position in the storage; ``None`` if it is not stored."""
    stage: int
    """How far it has come: a stage of the outgoing queue, or ``FORGOTTEN`` for a received message
    that was given up."""
    failures: int
    """How many offers of a received message have failed; absent until it is offered again."""
