"""Stores messages in PostgreSQL, beside the other data of the program.

    python storage_postgresql.py URL [TEXT ...]

URL: postgresql+psycopg://user:password@host/database. Queues the texts for the peer "warehouse",
which is away, and counts the waiting messages with SQL. Run it again: they are still there. Needs
snakemq[postgresql].
"""

import sys

import sqlalchemy as sa

from snakemq import Peer
from snakemq.exceptions import StorageError
from snakemq.storage.sqla import SqlAlchemyQueuesStorage

# The tables are shop_messages and so on. Names of queues are bytes, because text has no NUL there.
WAITING = "SELECT convert_from(queue_name, 'UTF8'), count(*) FROM shop_messages GROUP BY queue_name"


def main(url: str, *texts: str) -> None:
    # The program's own engine, with its pool and its settings. The storage uses one of its
    # connections while it is open. If you pass a URL instead, the storage makes its own engine.
    engine = sa.create_engine(url, connect_args={"connect_timeout": 5})
    try:
        storage = SqlAlchemyQueuesStorage(engine, table_prefix="shop_")
    except StorageError as error:
        sys.exit(f"{error}{'; try again later' if error.temporary else ''}")

    # In a program that stays, the peer would connect to the others.
    with Peer("shop", storage=storage) as peer:
        for text in texts:
            # When this returns, the message is committed and synced.
            peer.send("warehouse", text, codec="text")
        with engine.connect() as connection:
            for name, number in connection.exec_driver_sql(WAITING):
                print(f"{number} messages wait for {name}")
    storage.close()
    engine.dispose()


if __name__ == "__main__":
    main(*sys.argv[1:])
