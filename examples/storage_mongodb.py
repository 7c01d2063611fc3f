"""Stores messages in MongoDB, with the program's own client.

    python storage_mongodb.py URI [TEXT ...]

URI: mongodb://user:password@host/?replicaSet=rs0. Queues the texts for the peer "warehouse", which
is away, and counts the waiting messages. Run it again: they are still there. Needs snakemq[mongo].
"""

import sys

from pymongo import MongoClient

from snakemq import Peer
from snakemq.exceptions import StorageError
from snakemq.storage.mongodb import MongoDbQueuesStorage


def main(uri: str, *texts: str) -> None:
    # If you pass a URI instead of a client, the storage makes its own client, with short time
    # limits: while a call waits for the server, so does the loop. It does not close your client.
    client: MongoClient[dict[str, object]] = MongoClient(
        uri, serverSelectionTimeoutMS=1000, connectTimeoutMS=5000, socketTimeoutMS=10_000
    )
    try:
        storage = MongoDbQueuesStorage(client, database="shop", collection="outbox")
    except StorageError as error:
        sys.exit(f"{error}{'; try again later' if error.temporary else ''}")

    # In a program that stays, the peer would connect to the others.
    with Peer("shop", storage=storage) as peer:
        for text in texts:
            # When this returns, the message is in the journals of the majority of the members.
            peer.send("warehouse", text, codec="text")
        count = [{"$group": {"_id": "$queue_name", "number": {"$sum": 1}}}]
        for queue in client["shop"]["outbox.messages"].aggregate(count):
            print(f"{queue['number']} messages wait for {queue['_id']}")
    storage.close()
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
