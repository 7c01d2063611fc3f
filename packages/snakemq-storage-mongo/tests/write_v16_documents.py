"""Writes documents with the genuine snakeMQ 1.6, whose Python must run this script.

    python write_v16_documents.py PORT COLLECTION

1.6 calls what pymongo had up to version 2.9. That version cannot be built for Python 3.11, and a
present server does not understand it. So these four calls are put on top of pymongo 4; everything
else is 1.6's own, above all the documents.

Prints as JSON what is stored: per queue, in order, [uuid, data] in hex, ttl, flags.
"""

from __future__ import annotations

import json
import sys

import pymongo
from pymongo.collection import Collection

pymongo.Connection = pymongo.MongoClient
pymongo.MongoClient.disconnect = pymongo.MongoClient.close
Collection.insert = Collection.insert_one
Collection.remove = Collection.delete_many

from snakemq.message import FLAG_PERSISTENT, Message  # noqa: E402
from snakemq.storage.mongodb import MongoDbQueuesStorage  # noqa: E402


def main(port: int, collection: str) -> None:
    storage = MongoDbQueuesStorage("127.0.0.1", port, "tests", collection)
    queues: dict[str, list[list[object]]] = {}
    contents = [b"", b"\x00\xff", b"text", bytes(range(256)) * 5000]
    ttls = [None, 0.5, 60, 3600.25, 86400 * 365]
    for n in range(60):
        queue_name = ["peer", "other", "Jos\u00e9 \U0001f40d"][n % 3]
        # Descending uuids: only the natural order is the order of the queue.
        message = Message(
            data=contents[n % 4] + b"%d" % n,
            ttl=ttls[n % 5],
            flags=FLAG_PERSISTENT | (0x80000000 if n % 7 == 0 else 0),
            uuid=(0xFFFF - n).to_bytes(16, "big"),
        )
        storage.push(queue_name, message)
        if n % 10 == 9:
            storage.delete_items([message])
            continue
        queues.setdefault(queue_name, []).append(
            [message.uuid.hex(), message.data.hex(), message.ttl, message.flags]
        )
    storage.close()
    print(json.dumps(queues))  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
