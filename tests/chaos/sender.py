"""Sends numbered messages, as many as it is told, and ends when all are delivered.

    sender.py FOLDER PROXY_PORT COUNT LIFE

It goes on where the journal of its previous life ends.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from snakemq.exceptions import QueueFull
from snakemq.link import Link
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging, QueueLimits, WhenFull
from snakemq.packeter import Packeter
from snakemq.storage.sqlite import SqliteQueuesStorage
from tests.chaos.journal import Journal, read
from tests.chaos.messages import data_of

RECEIVER = "receiver"


class Sender:
    def __init__(self, folder: Path, port: int, count: int) -> None:
        self.link = Link()
        self.storage = SqliteQueuesStorage(folder / "outgoing.db")
        self.messaging = Messaging(
            "sender",
            "",
            Packeter(self.link),
            self.storage,
            queue_limits=QueueLimits(peer_messages=2000, when_full=WhenFull.BLOCK, timeout=60.0),
        )
        self.messaging.keepalive_interval = 1.0
        self.messaging.on_error.add(self._on_error)
        self.link.on_loop_pass.add(self._on_loop_pass)
        self.link.add_connector(("127.0.0.1", port), 0.2)
        journal = folder / "sent"
        self._first = max((int(line[1]) for line in read(journal)), default=0) + 1
        self._count = count
        self._journal = Journal(journal)
        self._errors = Journal(folder / "errors")
        self._all_sent = False

    def run(self) -> None:
        thread = threading.Thread(target=self._send_all, daemon=True)
        thread.start()
        self.link.loop()
        self.messaging.close()
        self.link.cleanup()
        self.storage.close()

    def _send_all(self) -> None:
        for number in range(self._first, self._count + 1):
            message = Message(data_of(number), ttl=None, flags=FLAG_PERSISTENT)
            self._journal.write("attempted", number)
            try:
                self.messaging.send_message(RECEIVER, message)
            except QueueFull as exc:  # nothing has left the queue for a minute
                self._errors.write("sender", repr(exc))
                return
            self._journal.write("accepted", number)
        self._all_sent = True
        self.link.wakeup_poll()

    def _on_loop_pass(self) -> None:
        if self._all_sent:
            stats = self.messaging.stats()
            peer = stats.peers.get(RECEIVER)
            if not stats.unread_outbox and (peer is None or not peer.queued + peer.in_flight):
                self.link.stop()

    def _on_error(self, conn_id: str | None, exc: Exception) -> None:
        self._errors.write("sender", repr(exc))


if __name__ == "__main__":
    sender = Sender(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    print("ready", flush=True)
    sender.run()
