"""What was processed of each peer: see :class:`snakemq.queues.InboxStorage`.

One document for each batch. ``end`` counts the uuids of the peer up to the end of the batch.
"""

from __future__ import annotations

from contextlib import suppress

from pymongo.collection import Collection
from pymongo.errors import DuplicateKeyError
from pymongo.write_concern import WriteConcern

from ._documents import Document


def remember(
    inbox: Collection[Document], ends: dict[str, int], ident: str, uuids: list[bytes], keep: int
) -> None:
    """Append a batch to those of a peer, forget those before its last ``keep`` uuids.

    ``ends``: the ``end`` of each peer, as far as it was read.
    """
    if ident not in ends:
        newest = inbox.find_one({"ident": ident}, {"end": True}, sort=[("end", -1)])
        ends[ident] = newest["end"] if newest else 0
    end = ends[ident] + len(uuids)
    if uuids:
        # A duplicate: the answer to the first try was lost. There is one owner.
        with suppress(DuplicateKeyError):
            inbox.insert_one({"ident": ident, "end": end, "uuids": uuids})
        ends[ident] = end
    lazily = inbox.with_options(write_concern=WriteConcern(w=1))
    lazily.delete_many({"ident": ident, "end": {"$lte": end - keep}})


def recall(inbox: Collection[Document], ident: str, count: int) -> list[bytes]:
    """The last ``count`` uuids of a peer, the oldest first. What is no uuid is left out."""
    batches: list[list[bytes]] = []
    missing = count
    with inbox.find({"ident": ident}).sort("end", -1) as found:
        for document in found:
            if missing <= 0:
                break
            uuids = document.get("uuids")
            if isinstance(uuids, list):
                batches.append([uuid for uuid in uuids if type(uuid) is bytes])
                missing -= len(batches[-1])
    return [uuid for batch in reversed(batches) for uuid in batch][-count:]


def remembered(inbox: Collection[Document]) -> dict[str, int]:
    """How many uuids of each peer there are, those included that are about to be forgotten."""
    counts: dict[str, int] = {}
    with inbox.find({}, {"ident": True, "uuids": True}) as found:
        for document in found:
            ident, uuids = document.get("ident"), document.get("uuids")
            if isinstance(ident, str) and isinstance(uuids, list):
                counts[ident] = counts.get(ident, 0) + len(uuids)
    return counts


def forget(inbox: Collection[Document], ends: dict[str, int], idents: list[str]) -> None:
    """Delete all batches of some peers."""
    inbox.delete_many({"ident": {"$in": idents}})
    for ident in idents:
        ends.pop(ident, None)
