"""An RPC server whose signals take their time; it notes down those that it has run.

signals.py FOLDER PORT WITH_STORAGE
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from snakemq.link import Link
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.rpc import RpcServer, as_signal
from snakemq.storage.sqlite import SqliteQueuesStorage
from tests.chaos.journal import Journal

WORK = 0.1
"""Seconds."""


class Worker:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @as_signal
    def work(self, number: int) -> None:
        time.sleep(WORK)  # nobody waits for this: it is the work
        self._journal.write(number)


def main(folder: Path, port: int, with_storage: bool) -> None:
    link = Link()
    inbox = SqliteQueuesStorage(folder / "inbox.db") if with_storage else None
    messaging = Messaging("server", "", Packeter(link), inbox=inbox)
    server = RpcServer(ReceiveHook(messaging))
    server.register_object(Worker(Journal(folder / "ran")), "worker")
    print("ready", link.add_listener(("127.0.0.1", port))[1], flush=True)
    link.loop()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), bool(int(sys.argv[3])))
