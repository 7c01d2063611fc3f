"""Stores messages in MySQL or MariaDB, and tries one that is too large for the server.

    python storage_mysql.py URL [TEXT ...]

URL: mysql+pymysql://user:password@host/database. Queues the texts for the peer "warehouse", which
is away, tries a message that is larger than the server takes, and says how many wait. Run it
again: they are still there. Needs snakemq[mysql].
"""

import sys

from snakemq import Peer
from snakemq.exceptions import SnakeMQMessageTooLarge, StorageError
from snakemq.messaging import ReceiptState
from snakemq.storage.sqla import SqlAlchemyQueuesStorage


def main(url: str, *texts: str) -> None:
    try:
        storage = SqlAlchemyQueuesStorage(url)
    except StorageError as error:
        sys.exit(f"{error}{'; try again later' if error.temporary else ''}")

    # In a program that stays, the peer would connect to the others.
    with Peer("shop", storage=storage) as peer:
        # Without waiting for each of them, many share one commit.
        receipts = [peer.send("warehouse", text, codec="text", wait=False) for text in texts]
        for receipt in receipts:
            receipt.wait(until=ReceiptState.QUEUED)
        try:
            # The limit is half of max_allowed_packet: in a statement, data take up to twice their
            # size.
            peer.send("warehouse", bytes(1 << 29))
        except SnakeMQMessageTooLarge:
            print("too large for this server, and not queued")
        print(f"{storage.count('warehouse')} messages wait for warehouse")
    storage.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
