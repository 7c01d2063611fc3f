"""A receiver that rejects odd numbers, as a process that can be killed.

``python -m tests.storages.picky URL OPTIONS``: the storage of its dead letters. It prints the port
on which it listens, and then each number that it has processed.
"""

from __future__ import annotations

import json
import sys
import time

from snakemq.exceptions import StorageError
from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging, Reject
from snakemq.packeter import Packeter
from snakemq.queues import QueuesStorageBase, open_storage

PATIENCE = 60.0
"""Seconds that the storage may belong to the process that was killed."""


def opened(url: str, options: dict[str, object]) -> QueuesStorageBase:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return open_storage(url, **options)
        except StorageError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def main(url: str, options: str) -> None:
    storage = opened(url, json.loads(options))
    link = Link()
    messaging = Messaging("picky", "", Packeter(link), dead_letters=storage)

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        if int(message.data) % 2 and not message.headers:
            raise Reject("odd")
        print(message.data.decode(), flush=True)

    messaging.on_message_recv.add(on_message_recv)
    _, port = link.add_listener(("127.0.0.1", 0))
    print(port, flush=True)
    link.loop()


if __name__ == "__main__":
    main(*sys.argv[1:])
