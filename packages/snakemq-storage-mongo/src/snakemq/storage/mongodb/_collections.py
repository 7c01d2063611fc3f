"""The collections of a storage, and how durable what is written to each of them is."""

from __future__ import annotations

from pymongo import ASCENDING, MongoClient
from pymongo.collection import Collection
from pymongo.write_concern import WriteConcern

from snakemq.queues.parts import too_new

from ._client import durable
from ._documents import Document

SCHEMA_VERSION = 2
"""Since version 2, a message may have headers. All else is as in version 1, so only the number is
changed: 2.0, which would lose headers, must not open this any more."""


class Collections:
    """The collections whose names begin with the name of ``parent``."""

    def __init__(
        self, client: MongoClient[Document], database: str | None, collection: str
    ) -> None:
        if database is None:
            database = client.get_default_database("snakemq").name
        self.parent = client[database][collection]
        concern = durable(client.write_concern)
        self.messages = self.parent["messages"].with_options(write_concern=concern)
        self.lazy_messages = self.messages.with_options(write_concern=WriteConcern(w=1))
        """For writes that a crash of the server may undo."""
        self.inbox = self.parent["inbox"].with_options(write_concern=concern)
        self.state = self.parent["state"].with_options(write_concern=concern)
        self.set_aside: Collection[Document] = self.parent["set_aside"]

    def create(self) -> None:
        """Create what is missing.

        Raises ``StorageError``, and changes nothing, if a newer version made the collections.
        """
        schema = self.state.find_one({"_id": "schema"})
        version = schema["version"] if schema else None
        if version not in (None, 1, SCHEMA_VERSION):
            name = f"MongoDB storage {self.parent.full_name!r}"
            raise too_new(name, version, SCHEMA_VERSION, "snakemq-storage-mongo")
        self.messages.create_index([("queue_name", ASCENDING), ("_id", ASCENDING)])
        by_uuid = [("uuid", ASCENDING), ("queue_name", ASCENDING)]
        self.messages.create_index(by_uuid, unique=True)
        self.inbox.create_index([("ident", ASCENDING), ("end", ASCENDING)], unique=True)
        self.state.replace_one({"_id": "schema"}, {"version": SCHEMA_VERSION}, upsert=True)
