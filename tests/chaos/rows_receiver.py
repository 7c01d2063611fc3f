"""A receiver whose callback inserts a row for each message, until it is killed.

rows_receiver.py FOLDER PORT INBOX

INBOX: which inbox it has, a name of ``INBOXES``.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.queues import InboxStorage
from snakemq.storage.sqlite import SqliteInbox, SqliteQueuesStorage

Insert = Callable[[int], object]

DATABASE = "rows.db"

WINDOW = 32
"""So few messages come together that there are many commits to be hit by a kill."""


def connect(folder: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(folder / DATABASE)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS rows (number INTEGER)")
    return connection


def without(folder: Path) -> tuple[InboxStorage | None, Insert]:
    connection = connect(folder)

    def insert(number: int) -> None:
        with connection:
            connection.execute("INSERT INTO rows VALUES (?)", (number,))

    return None, insert


def of_its_own(folder: Path) -> tuple[InboxStorage | None, Insert]:
    _, insert = without(folder)
    return SqliteQueuesStorage(folder / "inbox.db"), insert


def with_the_rows(folder: Path) -> tuple[InboxStorage | None, Insert]:
    connection = connect(folder)
    return SqliteInbox(connection), lambda number: connection.execute(
        "INSERT INTO rows VALUES (?)", (number,)
    )


INBOXES = {"none": without, "SqliteQueuesStorage": of_its_own, "SqliteInbox": with_the_rows}


def main(folder: Path, port: int, name: str) -> None:
    inbox, insert = INBOXES[name](folder)
    link = Link()
    messaging = Messaging("receiver", "", Packeter(link), inbox=inbox, window_messages=WINDOW)

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        insert(int(message.data))

    messaging.on_message_recv.add(on_message_recv)
    print("ready", link.add_listener(("127.0.0.1", port))[1], flush=True)
    link.loop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
