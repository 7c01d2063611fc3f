"""Messages in MongoDB, with a client of the program's own.

    python storage_mongodb.py URI [TEXT ...]

URI: mongodb://user:password@host/?replicaSet=rs0. Queues the texts for the peer "warehouse", who is
away, and looks at what waits. Run it again: it is still there. Needs snakemq[mongo].
"""

import sys

from pymongo import MongoClient

from snakemq.exceptions import StorageError
from snakemq.link import Link
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.storage.mongodb import MongoDbQueuesStorage


def main(uri: str, *texts: str) -> None:
    # With a URI instead of a client the storage makes its own, whose time limits are short: while a
    # call waits for the server, so does the loop. It closes only what it has opened.
    client: MongoClient[dict[str, object]] = MongoClient(
        uri, serverSelectionTimeoutMS=1000, connectTimeoutMS=5000, socketTimeoutMS=10_000
    )
    try:
        storage = MongoDbQueuesStorage(client, database="shop", collection="outbox")
    except StorageError as error:
        sys.exit(f"{error}{'; try again later' if error.temporary else ''}")

    link = Link()
    messaging = Messaging("shop", "", Packeter(link), storage)
    for text in texts:
        # In the journals of the majority of the members when this returns.
        messaging.send_message("warehouse", Message(text.encode(), None, FLAG_PERSISTENT))
    # In a program that stays: link.add_connector(...), link.loop().
    count = [{"$group": {"_id": "$queue_name", "number": {"$sum": 1}}}]
    for queue in client["shop"]["outbox.messages"].aggregate(count):
        print(f"{queue['number']} messages wait for {queue['_id']}")

    link.cleanup()
    messaging.close()
    storage.close()
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
