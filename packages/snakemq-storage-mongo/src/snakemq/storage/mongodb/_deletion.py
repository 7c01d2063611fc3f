"""Deleting messages, in portions that a server finishes within the time limit."""

from __future__ import annotations

from pymongo.collection import Collection

from ._documents import Document

UUIDS_PER_DELETION = 1000

NUMBERS_PER_DELETION = 20_000


def delete(messages: Collection[Document], queue: Document, uuids: list[bytes]) -> None:
    """Delete messages by their uuid, among those that match the filter ``queue``."""
    for start in range(0, len(uuids), UUIDS_PER_DELETION):
        chunk = uuids[start : start + UUIDS_PER_DELETION]
        messages.delete_many(queue | {"uuid": {"$in": chunk}})


def delete_all(messages: Collection[Document]) -> None:
    """Delete all messages, in portions of consecutive numbers.

    Measured: 200,000 in one call can take longer than the ten seconds that a call may take.
    """
    first = messages.find_one({"_id": {"$type": "number"}}, {"_id": True}, sort=[("_id", 1)])
    last = messages.find_one({"_id": {"$type": "number"}}, {"_id": True}, sort=[("_id", -1)])
    if first is not None and last is not None:
        for start in range(int(first["_id"]), int(last["_id"]) + 1, NUMBERS_PER_DELETION):
            messages.delete_many({"_id": {"$gte": start, "$lt": start + NUMBERS_PER_DELETION}})
    messages.delete_many({})
