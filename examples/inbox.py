"""A receiver that still knows after a restart what it has processed.

    python inbox.py [PORT] [FILE]

Listens on 127.0.0.1:PORT (4000 by default; 0 picks a free one) as "listener", and records each
message in FILE after processing it and before acknowledging it. Send to it with
persistent_queue.py, and kill either side as often as you like: a recorded message is not printed
again. Ends on Ctrl-C. Needs snakemq[sqlite].
"""

import sys

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.storage.sqlite import SqliteQueuesStorage


def main(port: str = "4000", filename: str = "inbox.db") -> None:
    storage = SqliteQueuesStorage(filename)
    link = Link()
    # One file for both: waiting messages, and the uuids of messages that were processed.
    messaging = Messaging("listener", "", Packeter(link), storage, inbox=storage)

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        print(f"{ident}: {message.data.decode()}")

    messaging.on_message_recv.add(on_message_recv)
    try:
        print("listening on", link.add_listener(("127.0.0.1", int(port))))
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()
        messaging.close()
        storage.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
