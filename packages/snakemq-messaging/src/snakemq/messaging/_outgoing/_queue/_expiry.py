"""The one rule for when a message in a queue expires.

A ttl counts from :attr:`queued_at` on, and a message has expired at its deadline. A ttl of 0 means
"with the connection", except in a storage: what comes out of it with a ttl of 0 has expired there.
"""

from __future__ import annotations

from snakemq.message import Message


def deadline_of(message: Message) -> float | None:
    """Return when a message expires. ``None``: never, or with the connection."""
    ttl = message.ttl
    if ttl is None or (ttl == 0 and message.position is None):
        return None
    return message.queued_at + ttl


def is_expired(message: Message, now: float) -> bool:
    """Has its time come, while there is a connection?"""
    deadline = deadline_of(message)
    return deadline is not None and deadline <= now


def is_over(message: Message, now: float) -> bool:
    """Has its time come, now that there is no connection?"""
    return message.ttl == 0 or is_expired(message, now)


def has_expired_in_storage(message: Message) -> bool:
    """Has its time come? For a message as a storage that counts ttl has returned it."""
    return message.ttl == 0


def ttl_left(message: Message, now: float) -> float | None:
    """Return how many seconds are left of its ttl, never less than 0."""
    deadline = deadline_of(message)
    return None if deadline is None else max(0.0, deadline - now)
