"""Acknowledges only slow messages late. This is for messaging without a Peer: see peer_worker.py.

    python defer_ack.py [PORT]
    python messaging_connector.py [PORT] "quick one" "slow two" "quick three"

A peer named "listener". A text that begins with "slow" goes to a worker, and is acknowledged when
the worker is done. Kill this with kill -9 before that, start it again, and the text is sent again.
Every other text is answered in the callback. Ends on Ctrl-C.

An acknowledgement covers all messages up to one. So texts that were answered after a slow one are
sent again with it, and answered twice, unless an inbox has recorded them: see inbox.py.
"""

import queue
import sys
import threading
import time

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

SECONDS_OF_WORK = 0.5


def main(port: int = 4000) -> None:
    link = Link()
    messaging = Messaging("listener", "", Packeter(link))
    jobs: queue.Queue[tuple[str, Message]] = queue.Queue()

    def answer(ident: str, message: Message) -> None:
        messaging.send_message(ident, Message(message.data.upper(), ttl=60))

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        if message.data.startswith(b"slow"):
            messaging.defer_ack(message)  # before the worker can be done
            jobs.put((ident, message))
        else:
            answer(ident, message)

    def work() -> None:
        while True:
            ident, message = jobs.get()
            print(f"begin {message.data.decode()}")
            time.sleep(SECONDS_OF_WORK)
            answer(ident, message)
            messaging.ack(message)  # thread-safe
            print(f"done {message.data.decode()}")

    messaging.on_message_recv.add(on_message_recv)
    threading.Thread(target=work, daemon=True).start()
    try:
        print("listening on", link.add_listener(("127.0.0.1", port)))
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
