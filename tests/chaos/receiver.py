"""Receives until it is killed, and notes down each message in its callback.

receiver.py FOLDER LIFE WITH_INBOX SETTLES

With SETTLES, it retries, releases and rejects some messages, see ``settling.py``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging, Reject, Retry
from snakemq.messaging._wire._cutting import decode_head
from snakemq.messaging._wire._frames import FRAME_TYPE_HEAD
from snakemq.packeter import Packet, Packeter
from snakemq.storage.sqlite import SqliteQueuesStorage
from tests.chaos.journal import Journal
from tests.chaos.messages import data_of, number_of
from tests.chaos.settling import DEAD_LETTERS, Fate, fate_of


class Receiver:
    def __init__(self, folder: Path, life: int, with_inbox: int, settles: int) -> None:
        self.link = Link()
        inbox = SqliteQueuesStorage(folder / "inbox.db") if with_inbox else None
        dead_letters = SqliteQueuesStorage(folder / DEAD_LETTERS) if settles else None
        packeter = Packeter(self.link)
        self._messaging = messaging = Messaging(
            "receiver", "", packeter, inbox=inbox, dead_letters=dead_letters
        )
        packeter.on_packets_recv.add(self._on_packets_recv)
        self._settles = settles
        self._released: set[int] = set()
        messaging.keepalive_interval = 1.0
        messaging.on_error.add(self._on_error)
        messaging.on_message_recv.add(self._on_message_recv)
        self._life = life
        self._journal = Journal(folder / "received")
        self._errors = Journal(folder / "errors")
        self._continued = Journal(folder / "continued")
        port = self.link.add_listener(("127.0.0.1", 0))[1]
        # For the proxy, which reads it at each connection: the whole number, or the old one.
        (folder / "port.new").write_text(str(port))
        os.replace(folder / "port.new", folder / "port")

    def _on_message_recv(self, conn_id: str, ident: str, message: Message) -> None:
        """The effect of a message is this line: it is what must not be lost, nor done twice."""
        number = number_of(message.data)
        if message.data != data_of(number):
            self._errors.write("receiver", f"message {number} came with other data")
        if self._settles and self._is_put_off(number, message):
            return
        self._journal.write(self._life, number, message.uuid.hex())

    def _is_put_off(self, number: int, message: Message) -> bool:
        fate = fate_of(number)
        if fate is Fate.REJECTED:
            raise Reject(f"{number} is not wanted")
        if fate is Fate.RETRIED and message.attempts < 3:
            raise Retry(0.02)
        if fate is Fate.RELEASED and number not in self._released:
            self._released.add(number)
            self._messaging.defer_ack(message)
            self._messaging.release(message)
            return True
        return False

    def _on_packets_recv(self, conn_id: str, packets: list[Packet]) -> None:
        """Note which large messages go on where they were cut off."""
        for packet in packets:
            if packet[0] == FRAME_TYPE_HEAD:
                assert isinstance(packet, bytes)
                head = decode_head(packet)
                if 0 < head.offset < head.size:
                    self._continued.write(head.uuid.hex(), head.offset, head.size)

    def _on_error(self, conn_id: str | None, exc: Exception) -> None:
        self._errors.write("receiver", repr(exc))


if __name__ == "__main__":
    receiver = Receiver(Path(sys.argv[1]), *(int(argument) for argument in sys.argv[2:]))
    print("ready", flush=True)
    receiver.link.loop()
