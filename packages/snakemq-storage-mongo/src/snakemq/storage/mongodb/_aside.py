"""Keeping what is not a message: in the collection ``set_aside``, and in the log."""

from __future__ import annotations

import logging

from pymongo.collection import Collection
from pymongo.errors import DocumentTooLarge

from ._documents import Document

log = logging.getLogger("snakemq.storage.mongodb")


def set_aside(place: Collection[Document], document: Document, reason: str) -> None:
    """Keep a document that is not a message, and report it in the log. May be repeated."""
    try:
        place.replace_one(
            {"_id": document["_id"]}, {"reason": reason, "document": document}, upsert=True
        )
    except DocumentTooLarge:  # there is no room for the wrapping
        place.replace_one({"_id": document["_id"]}, document, upsert=True)
    log.error(
        "document %s of queue %r is not a message (%s); it was moved to %s",
        document["_id"],
        document.get("queue_name"),
        reason,
        place.full_name,
    )
