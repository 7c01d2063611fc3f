"""The uuids of processed messages, peer by peer: see :class:`snakemq.queues.InboxStorage`.

Each batch is a document. Its ``end`` is the number of the peer's uuids up to the end of the batch.
"""

from __future__ import annotations

from contextlib import suppress

from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from ._documents import Document


class Inbox:
    """The batches of all peers. Not thread-safe."""

    def __init__(self, inbox: Collection[Document]) -> None:
        self._inbox = inbox
        self._lazy_inbox = inbox.with_options(write_concern=WriteConcern(w=1))
        self._ends: dict[str, int] = {}
        """The last ``end`` of each peer, once it was read."""

    def remember(self, ident: str, uuids: list[bytes], keep: int) -> None:
        """Append a batch to those of a peer, and forget those before its last ``keep`` uuids."""
        if ident not in self._ends:
            newest = self._inbox.find_one({"ident": ident}, {"end": True}, sort=[("end", -1)])
            self._ends[ident] = newest["end"] if newest else 0
        end = self._ends[ident] + len(uuids)
        if uuids:
            # There is one owner, so a duplicate means that the answer to the first try was lost.
            with suppress(DuplicateKeyError):
                self._inbox.insert_one({"ident": ident, "end": end, "uuids": uuids})
            self._ends[ident] = end
        self._lazy_inbox.delete_many({"ident": ident, "end": {"$lte": end - keep}})

    def recall(self, ident: str, count: int) -> list[bytes]:
        """Return the last ``count`` uuids of a peer, oldest first, without what is not a uuid."""
        batches: list[list[bytes]] = []
        missing = count
        with self._inbox.find({"ident": ident}).sort("end", -1) as found:
            for document in found:
                if missing <= 0:
                    break
                uuids = document.get("uuids")
                if isinstance(uuids, list):
                    batches.append([uuid for uuid in uuids if type(uuid) is bytes])
                    missing -= len(batches[-1])
        return [uuid for batch in reversed(batches) for uuid in batch][-count:]

    def remembered(self) -> dict[str, int]:
        """Return how many uuids each peer has, including those that are about to be forgotten."""
        counts: dict[str, int] = {}
        with self._inbox.find({}, {"ident": True, "uuids": True}) as found:
            for document in found:
                ident, uuids = document.get("ident"), document.get("uuids")
                if isinstance(ident, str) and isinstance(uuids, list):
                    counts[ident] = counts.get(ident, 0) + len(uuids)
        return counts

    def forget(self, idents: list[str]) -> None:
        """Delete all batches of these peers."""
        self._inbox.delete_many({"ident": {"$in": idents}})
        for ident in idents:
            self._ends.pop(ident, None)
