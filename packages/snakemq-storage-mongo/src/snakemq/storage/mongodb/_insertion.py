"""Appending messages: their numbers, duplicates, and what may or may not have arrived."""

from __future__ import annotations

from collections.abc import Sequence

from pymongo.collection import Collection
from pymongo.errors import BulkWriteError, DuplicateKeyError

from snakemq.message import Message
from snakemq.queues.parts import Leftovers, Positions

from ._documents import Document, document_of
from ._lease import Lost

_DUPLICATE = 11000


class Insertion:
    """Appends messages to their queues. Not thread-safe."""

    def __init__(self, messages: Collection[Document], positions: Positions) -> None:
        self._messages = messages
        self._positions = positions
        self._leftovers = Leftovers[Document]()

    def insert(
        self, rows: Sequence[tuple[str, Message]], now: float, first: int | None = None
    ) -> int:
        """Append messages, and return the number of the first one.

        A message whose uuid is already in its queue is left out.

        ``first``: the number that was reserved for the first message; ``None``: the next number.

        Raises what pymongo raises. Then :meth:`undo` deletes what was inserted before. Raises
        :exc:`Lost` if another owner has used these numbers.
        """
        if first is None:
            first = self._positions.reserve(len(rows))
        documents = [
            document_of(seq, queue_name, item, now)
            for seq, (queue_name, item) in enumerate(rows, first)
        ]
        try:
            if len(documents) == 1:
                self._insert_one(documents[0])
            else:
                self._insert_many(documents)
        except BaseException:
            self._leftovers.add([{"_id": d["_id"], "uuid": d["uuid"]} for d in documents])
            raise
        return first

    def undo(self) -> None:
        """Delete what insertions that failed may have left behind."""
        self._leftovers.remove(self._delete)

    def _delete(self, leftovers: list[Document]) -> None:
        for start in range(0, len(leftovers), 1000):
            self._messages.delete_many({"$or": leftovers[start : start + 1000]})

    def _insert_one(self, document: Document) -> None:
        try:
            self._messages.insert_one(document)
        except DuplicateKeyError as error:
            _check_duplicate(error.details)

    def _insert_many(self, documents: list[Document]) -> None:
        while documents:
            try:
                self._messages.insert_many(documents, ordered=True)
                return
            except BulkWriteError as error:
                problems = error.details["writeErrors"]
                if not problems or problems[0]["code"] != _DUPLICATE:
                    raise
                _check_duplicate(problems[0])
                # One duplicate may mean many: ask about all the others at once.
                documents = self._unknown(documents[problems[0]["index"] + 1 :])

    def _unknown(self, documents: list[Document]) -> list[Document]:
        known: set[tuple[str, bytes]] = set()
        for name in {document["queue_name"] for document in documents}:
            uuids = [d["uuid"] for d in documents if d["queue_name"] == name]
            wanted = {"queue_name": name, "uuid": {"$in": uuids}}
            found = self._messages.find(wanted, {"_id": False, "uuid": True})
            known.update((name, document["uuid"]) for document in found)
        unknown = []
        for document in documents:
            key = (document["queue_name"], document["uuid"])
            if key not in known:
                known.add(key)
                unknown.append(document)
        return unknown


def _check_duplicate(details: object) -> None:
    """Raise :exc:`Lost` if it is a number that is a duplicate: then another owner counts, too.

    A duplicate uuid is not an error.
    """
    pattern = details.get("keyPattern") if isinstance(details, dict) else None
    if pattern is None or "_id" in pattern:
        raise Lost
