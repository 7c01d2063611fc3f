"""Shows what to do when a queue is full: refuse messages, drop the oldest, or wait.

    python queue_limits.py [PORT]

Sends to "listener", which is messaging_listener.py, but connects to it only later. Ends by itself.
"""

import sys
from itertools import islice

from snakemq import Peer
from snakemq.exceptions import QueueFull
from snakemq.message import Message
from snakemq.messaging import QueueLimits, ReceiptState, WhenFull


def main(port: str = "4000") -> None:
    limits = QueueLimits(peer_messages=3, total_bytes=10_000_000)  # when_full=WhenFull.RAISE
    with Peer("limited", queue_limits=limits) as peer:
        refused = 0
        for number in range(5):
            receipt = peer.send("nobody", b"%d" % number)
            try:
                receipt.wait(timeout=30, until=ReceiptState.QUEUED)
            except QueueFull:
                refused += 1
        print(f"refused {refused} of 5")

        # A peer can have its own limits. These drop outdated messages, which suits a display.
        newest = QueueLimits(peer_messages=1, when_full=WhenFull.DROP_OLDEST)
        peer.messaging.set_queue_limits("display", newest)
        first, second = (peer.send("display", b"%d" % number) for number in range(2))
        second.wait(timeout=30, until=ReceiptState.QUEUED)
        print(f"the first message to display is {first.state.value}")

        # These make a thread wait if it produces messages faster than its peer processes them. It
        # has to use send_message() of the layer below, because send() never waits for room.
        patient = QueueLimits(peer_messages=3, when_full=WhenFull.BLOCK, timeout=30)
        peer.messaging.set_queue_limits("listener", patient)
        peer.connect(f"tcp://127.0.0.1:{port}")
        for number in range(100):
            peer.messaging.send_message("listener", Message(b"%d" % number, ttl=None))
        with peer.messages(timeout=30) as messages:
            answered = sum(1 for _ in islice(messages, 100))
        print(f"{answered} answers, with 3 messages on their way at most")


if __name__ == "__main__":
    main(*sys.argv[1:])
