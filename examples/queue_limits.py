"""Shows what to do when a queue is full: refuse messages, wait, or drop the oldest.

    python queue_limits.py [PORT]

Sends to "listener", which is messaging_listener.py, but connects to it only later. Ends by itself.
"""

import sys
import threading

from snakemq.exceptions import QueueFull
from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging, QueueLimits, WhenFull
from snakemq.packeter import Packeter


def main(port: int = 4000) -> None:
    link = Link()
    limits = QueueLimits(peer_messages=3, total_bytes=10_000_000)  # when_full=WhenFull.RAISE
    messaging = Messaging("limited", "", Packeter(link), queue_limits=limits)
    answers = threading.Semaphore(0)
    messaging.on_message_recv.add(lambda conn_id, ident, message: answers.release())
    messaging.on_message_drop.add(lambda ident, uuid: print(f"dropped a message to {ident}"))

    refused = 0
    for number in range(5):
        try:
            messaging.send_message("nobody", Message(b"%d" % number, ttl=None))
        except QueueFull:
            refused += 1
    print(f"refused {refused} of 5")

    # A peer can have its own limits. These drop outdated messages, which suits a display.
    newest = QueueLimits(peer_messages=1, when_full=WhenFull.DROP_OLDEST)
    messaging.set_queue_limits("display", newest)
    for number in range(2):
        messaging.send_message("display", Message(b"%d" % number, ttl=None))

    # These make a thread wait if it produces messages faster than its peer processes them.
    patient = QueueLimits(peer_messages=3, when_full=WhenFull.BLOCK, timeout=30)
    messaging.set_queue_limits("listener", patient)
    link.add_connector(("127.0.0.1", port))
    loop = threading.Thread(target=link.loop, name="loop")
    loop.start()
    try:
        for number in range(100):
            messaging.send_message("listener", Message(b"%d" % number, ttl=None))
        answered = sum(answers.acquire(timeout=30) for _ in range(100))
        print(f"{answered} answers, with 3 messages on their way at most")
    finally:
        link.stop()
        loop.join()
        link.cleanup()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
