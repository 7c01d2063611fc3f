"""Stores messages in MySQL or MariaDB, and tries one that is too large for the server.

    python storage_mysql.py URL [TEXT ...]

URL: mysql+pymysql://user:password@host/database. Queues the texts for the peer "warehouse", which
is away, tries a message that is larger than the server takes, and says how many wait. Run it
again: they are still there. Needs snakemq[mysql].
"""

import sys

from snakemq.exceptions import SnakeMQMessageTooLarge, StorageError
from snakemq.link import Link
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.storage.sqla import SqlAlchemyQueuesStorage


def main(url: str, *texts: str) -> None:
    try:
        storage = SqlAlchemyQueuesStorage(url)
    except StorageError as error:
        sys.exit(f"{error}{'; try again later' if error.temporary else ''}")

    link = Link()
    messaging = Messaging("shop", "", Packeter(link), storage)
    # One commit for all of them.
    messages = [Message(text.encode(), None, FLAG_PERSISTENT) for text in texts]
    messaging.send_messages("warehouse", messages)
    try:
        # The limit is half of max_allowed_packet: in a statement, data take up to twice their size.
        film = Message(bytes(1 << 29), None, FLAG_PERSISTENT)
        messaging.send_message("warehouse", film)
    except SnakeMQMessageTooLarge:
        print("too large for this server, and not queued")
    # In a program that stays: link.add_connector(...), link.loop().
    print(f"{storage.count('warehouse')} messages wait for warehouse")

    link.cleanup()
    messaging.close()
    storage.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
