"""Reading queues, and setting aside what is not a message."""

from __future__ import annotations

import logging
from typing import Any

from pymongo.collection import Collection
from pymongo.errors import DocumentTooLarge

from snakemq.queues import StoredMessage

from ._documents import Document, UnreadableDocument, read_message

log = logging.getLogger("snakemq.storage.mongodb")

Wanted = tuple[str, int, int, int | None]
"""Name of the queue, after which position, how many messages (0: all), how many bytes at most."""


def read_queue_names(parent: Collection[Document], messages: Collection[Document]) -> list[str]:
    """What cannot be the name of a queue is set aside with all that is in it."""
    names: list[str] = []
    # Nothing else but this names those that have no name at all.
    strange: list[Any] = [None]
    for value in messages.distinct("queue_name"):
        if isinstance(value, str):
            names.append(value)
        elif value is not None:
            strange.append(value)
    for document in list(messages.find({"queue_name": {"$in": strange}})):
        _move_aside(parent, messages, document, "queue_name is not a string")
    return names


def read_page(
    parent: Collection[Document], messages: Collection[Document], now: float, wanted: Wanted
) -> list[StoredMessage]:
    """Empty only if there is nothing behind the position."""
    name, after, limit, max_bytes = wanted
    page: list[StoredMessage] = []
    unreadable: list[tuple[Document, str]] = []
    size = 0
    # The server sends batches of 16 MB at most, so no more is read than what fits into the page.
    found = messages.find({"queue_name": name, "_id": {"$gt": after}}).sort("_id", 1)
    with found.batch_size(limit or 10_000) as cursor:
        for document in cursor:
            try:
                message = read_message(document, now)
            except UnreadableDocument as error:
                unreadable.append((document, str(error)))
                continue
            page.append(StoredMessage(int(document["_id"]), message))
            size += len(message.data)
            if len(page) == limit or (max_bytes is not None and size >= max_bytes):
                break
    for document, reason in unreadable:
        _move_aside(parent, messages, document, reason)
    return page


def set_aside(parent: Collection[Document], document: Document, reason: str) -> None:
    """Keep a document that is not a message, and say so in the log. May be repeated."""
    place = parent["set_aside"]
    try:
        place.replace_one(
            {"_id": document["_id"]}, {"reason": reason, "document": document}, upsert=True
        )
    except DocumentTooLarge:  # it takes no wrapping
        place.replace_one({"_id": document["_id"]}, document, upsert=True)
    log.error(
        "document %s of queue %r is not a message (%s); it was moved to %s",
        document["_id"],
        document.get("queue_name"),
        reason,
        place.full_name,
    )


def _move_aside(
    parent: Collection[Document], messages: Collection[Document], document: Document, reason: str
) -> None:
    set_aside(parent, document, reason)
    messages.delete_one({"_id": document["_id"]})
