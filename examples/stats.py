"""Prints the statistics of a stack.

    python stats.py [PORT]

Sends 100 messages to the peer "listener", which is messaging_listener.py, and prints the figures
when all are acknowledged. Ends by itself.
"""

import sys

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

MESSAGES = 100


def report(messaging: Messaging) -> None:
    """stats() is thread-safe and cheap: it does not stop the loop."""
    stats = messaging.stats()
    print(f"connections: {stats.connections}, reconnected: {stats.reconnected}")
    for ident, peer in stats.peers.items():
        print(f"{ident}: {peer.queued} queued, {peer.in_flight} in flight, {peer.sent} sent")
        print(f"{ident}: {peer.delivered} delivered, {peer.resent} of them sent again")
        for reason, count in peer.dropped.items():
            print(f"{ident}: {count} dropped, {reason.value}")
        if peer.round_trip is not None:
            print(f"{ident}: a round trip takes {peer.round_trip * 1000:.1f} ms")


def main(port: int = 4000) -> None:
    link = Link()
    messaging = Messaging("counting", "", Packeter(link))
    waiting = set()

    def on_message_delivered(conn_id: str, ident: str, uuid: bytes) -> None:
        waiting.discard(uuid)
        if not waiting:
            link.stop()

    messaging.on_message_delivered.add(on_message_delivered)
    for number in range(MESSAGES):
        waiting.add(messaging.send_message("listener", Message(b"%d" % number, ttl=60)))
    messaging.send_message("nobody", Message(b"only if you are there", ttl=0))
    link.add_connector(("127.0.0.1", port))
    try:
        link.loop()
        report(messaging)
    finally:
        link.cleanup()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
