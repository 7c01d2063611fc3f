"""Collects the readings of all devices, each exactly once, however often it is killed.

    python collector.py [URL] [FILE]

Listens at URL (tcp://127.0.0.1:4000 by default; port 0 is any free one), and writes the readings
into the table readings of FILE (readings.db). A device keeps a reading until it is committed here.
If this process is killed after the commit, and before the device knows of it, the reading comes
again, with the same uuid, which the table has already. Ends on SIGTERM or Ctrl-C. Needs
snakemq[sqlite] at the devices only.
"""

import sqlite3
import sys

from snakemq import Peer
from snakemq.peer import ReceivedMessage


def main(url: str = "tcp://127.0.0.1:4000", filename: str = "readings.db") -> None:
    # The handler has a thread of its own, the only one that uses the connection from now on.
    database = sqlite3.connect(filename, check_same_thread=False)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(
        "CREATE TABLE IF NOT EXISTS readings"
        " (uuid BLOB PRIMARY KEY, device TEXT NOT NULL, at INTEGER NOT NULL, celsius REAL NOT NULL)"
    )
    (before,) = database.execute("SELECT count(*) FROM readings").fetchone()
    peer = Peer("collector")

    @peer.on_message
    def store(message: ReceivedMessage) -> None:
        reading = message.content
        with database:  # commits
            database.execute(
                "INSERT OR IGNORE INTO readings VALUES (?, ?, ?, ?)",
                (message.uuid, message.sender.ident, reading["at"], reading["celsius"]),
            )
        print("stored", message.sender.ident, reading["at"], flush=True)

    print("listening on", peer.listen(url), "with", before, "readings", flush=True)
    peer.run()
    database.close()
    print("bye")


if __name__ == "__main__":
    main(*sys.argv[1:])
