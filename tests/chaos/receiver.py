"""Receives until it is killed, and notes down each message in its callback.

receiver.py FOLDER LIFE WITH_INBOX
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.storage.sqlite import SqliteQueuesStorage
from tests.chaos.journal import Journal


class Receiver:
    def __init__(self, folder: Path, life: int, with_inbox: bool) -> None:
        self.link = Link()
        inbox = SqliteQueuesStorage(folder / "inbox.db") if with_inbox else None
        messaging = Messaging("receiver", "", Packeter(self.link), inbox=inbox)
        messaging.keepalive_interval = 1.0
        messaging.on_error.add(self._on_error)
        messaging.on_message_recv.add(self._on_message_recv)
        self._life = life
        self._journal = Journal(folder / "received")
        self._errors = Journal(folder / "errors")
        port = self.link.add_listener(("127.0.0.1", 0))[1]
        # For the proxy, which reads it at each connection: the whole number, or the old one.
        (folder / "port.new").write_text(str(port))
        os.replace(folder / "port.new", folder / "port")

    def _on_message_recv(self, conn_id: str, ident: str, message: Message) -> None:
        """The effect of a message is this line: it is what must not be lost, nor done twice."""
        number = message.data.partition(b":")[0].decode()
        self._journal.write(self._life, number, message.uuid.hex())

    def _on_error(self, conn_id: str | None, exc: Exception) -> None:
        self._errors.write("receiver", repr(exc))


if __name__ == "__main__":
    receiver = Receiver(Path(sys.argv[1]), int(sys.argv[2]), bool(int(sys.argv[3])))
    print("ready", flush=True)
    receiver.link.loop()
