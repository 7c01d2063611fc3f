"""Taking over a collection of snakeMQ 1.6, in the same database."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pymongo.collection import Collection

from snakemq.message import Message
from snakemq.queues.parts import UnreadableItem, free_name

from ._documents import Document, read_v16_message

log = logging.getLogger("snakemq.storage.mongodb")

_CHUNK = 200


def take_over_v16(
    parent: Collection[Document],
    push: Callable[[list[tuple[str, Message]]], object],
    set_aside: Callable[[Document, str], None],
) -> None:
    """Copy the messages of ``PARENT.snakemq_items``, if it exists, and rename it to a backup.

    The messages are copied in natural order, as 1.6 reads them. After an interruption it starts
    over: what was already copied has its uuid in the queue, and its place before the rest.
    """
    old = parent["snakemq_items"]
    names = parent.database.list_collection_names(filter={"name": {"$regex": "snakemq_items"}})
    if old.name not in names:
        return
    chunk: list[tuple[str, Message]] = []
    for document in old.find().sort("$natural", 1):
        try:
            chunk.append(read_v16_message(document))
        except UnreadableItem as error:
            set_aside(document, str(error))
        if len(chunk) >= _CHUNK:
            push(chunk)
            chunk = []
    if chunk:
        push(chunk)
    backup = free_name(f"{old.name}_v16_backup", names.__contains__, "_")
    log.info("%s of snakeMQ 1.6 was taken over and is renamed to %s", old.full_name, backup)
    old.rename(backup)
