"""Storing messages that are sent."""

from __future__ import annotations

from collections.abc import Sequence

from snakemq.exceptions import StorageError
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.queues import QueuesStorageBase

UNKNOWN = -1
"""Stands for the position of a message in a storage that does not tell positions."""


def is_durable(message: Message) -> bool:
    """Does a message belong into the storage, if there is one?"""
    return bool(message.flags & FLAG_PERSISTENT) and message.ttl != 0


def check_headers(storage: QueuesStorageBase, messages: Sequence[Message]) -> None:
    """Raise :exc:`~snakemq.exceptions.StorageError` if the storage would lose headers."""
    if not storage.keeps_headers and any(message.headers for message in messages):
        raise StorageError(
            f"{type(storage).__name__} does not keep headers: send the message without headers,"
            " without FLAG_PERSISTENT, or use another storage"
        )


def push(storage: QueuesStorageBase, ident: str, messages: Sequence[Message]) -> None:
    """Store messages for a peer, all or none, and note their positions.

    Blocks as long as the storage does. Raises what the storage raises.
    """
    if len(messages) == 1:
        position = storage.push(ident, messages[0])
        messages[0].position = UNKNOWN if position is None else position
    elif messages:
        positions = storage.push_many(ident, messages)
        for message, number in zip(messages, positions or [UNKNOWN] * len(messages), strict=True):
            message.position = number


def push_each(
    storage: QueuesStorageBase, ident: str, messages: Sequence[Message]
) -> dict[Message, Exception]:
    """Store messages for a peer in one commit, and return why some of them were not stored.

    If the storage refuses them for good, it may do so because of one of them. Then they are stored
    one by one.
    """
    try:
        push(storage, ident, messages)
    except Exception as exc:
        if len(messages) == 1 or (isinstance(exc, StorageError) and exc.temporary):
            return dict.fromkeys(messages, exc)
    else:
        return {}
    errors: dict[Message, Exception] = {}
    for message in messages:
        try:
            push(storage, ident, [message])
        except Exception as exc:
            errors[message] = exc
    return errors
