"""A receiver that counts each message exactly once, however often it is killed.

    python exactly_once.py [PORT] [FILE]

Listens on 127.0.0.1:PORT (4000 by default; 0 picks a free one) as "listener", and keeps in FILE how
many messages each sender has sent. The counts and the record of what is counted are in the same
transaction. Send to it with persistent_queue.py, and kill either side as often as you like: the
counts, which it prints when it starts, are right. Ends on Ctrl-C. Needs snakemq[sqlite].
"""

import sqlite3
import sys

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.storage.sqlite import SqliteInbox


def main(port: str = "4000", filename: str = "counts.db") -> None:
    connection = sqlite3.connect(filename)
    connection.execute("PRAGMA journal_mode = WAL")  # commits are faster with a log
    connection.execute("CREATE TABLE IF NOT EXISTS counts (sender TEXT PRIMARY KEY, messages)")
    for sender, messages in connection.execute("SELECT sender, messages FROM counts"):
        print(f"{sender}: {messages}")
    link = Link()
    messaging = Messaging("listener", "", Packeter(link), inbox=SqliteInbox(connection))

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        # No commit: the inbox does that, together with its record of the message.
        connection.execute(
            "INSERT INTO counts VALUES (?, 1)"
            " ON CONFLICT (sender) DO UPDATE SET messages = messages + 1",
            (ident,),
        )

    messaging.on_message_recv.add(on_message_recv)
    try:
        print("listening on", link.add_listener(("127.0.0.1", int(port))))
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()
        connection.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
