"""Reading queues, and moving aside what is not a message."""

from __future__ import annotations

from functools import partial
from typing import Any

from snakemq.queues import StoredMessage
from snakemq.queues.parts import fill_page

from ._aside import set_aside
from ._collections import Collections
from ._documents import Document, read_message

Wanted = tuple[str, int, int | None, int | None]
"""The queue, the position to start behind, the most messages, the most bytes of their data."""


def read_queue_names(collections: Collections) -> list[str]:
    """Return the names of the queues. One that is not text is set aside with its messages."""
    names: list[str] = []
    # None also finds the documents that have no name at all.
    strange: list[Any] = [None]
    for value in collections.messages.distinct("queue_name"):
        if isinstance(value, str):
            names.append(value)
        elif value is not None:
            strange.append(value)
    for document in list(collections.messages.find({"queue_name": {"$in": strange}})):
        _move_aside(collections, document, "queue_name is not a string")
    return names


def read_page(collections: Collections, now: float, wanted: Wanted) -> list[StoredMessage]:
    """Return a page of a queue; empty only if there is nothing behind the position."""
    name, after, limit, max_bytes = wanted

    # The server sends batches of at most 16 MB, so little more is read than fits into the page.
    found = collections.messages.find({"queue_name": name, "_id": {"$gt": after}}).sort("_id", 1)
    with found.batch_size(limit or 10_000) as cursor:
        page, unreadable = fill_page(cursor, partial(read_message, now), limit, max_bytes)
    for document, reason in unreadable:
        _move_aside(collections, document, reason)
    return page


def _move_aside(collections: Collections, document: Document, reason: str) -> None:
    set_aside(collections.set_aside, document, reason)
    collections.messages.delete_one({"_id": document["_id"]})
