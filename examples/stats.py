"""Prints the statistics of a peer.

    python stats.py [PORT]

Sends 100 messages to the peer "listener", which is messaging_listener.py, and prints the figures
when all are acknowledged. Ends by itself.
"""

import sys

from snakemq import Peer

MESSAGES = 100


def report(peer: Peer) -> None:
    """stats() is thread-safe and cheap: it does not stop the loop."""
    stats = peer.stats()
    print(f"connections: {stats.connections}, reconnected: {stats.reconnected}")
    for ident, figures in stats.peers.items():
        print(f"{ident}: {figures.queued} queued, {figures.in_flight} in flight")
        print(f"{ident}: {figures.sent} sent, {figures.resent} of them again")
        print(f"{ident}: {figures.delivered} delivered")
        for reason, count in figures.dropped.items():
            print(f"{ident}: {count} dropped, {reason.value}")
        if figures.round_trip is not None:
            print(f"{ident}: a round trip takes {figures.round_trip * 1000:.1f} ms")


def main(port: str = "4000") -> None:
    with Peer("counting") as peer:
        peer.connect(f"tcp://127.0.0.1:{port}")
        peer.send("nobody", b"only if you are there", ttl=0)
        receipts = [peer.send("listener", b"%d" % number) for number in range(MESSAGES)]
        for receipt in receipts:
            receipt.wait(timeout=60)
        report(peer)


if __name__ == "__main__":
    main(*sys.argv[1:])
