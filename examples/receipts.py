"""Shows receipts: what has come of each message, without waiting while it is sent.

    python receipts.py [PORT]

Sends to "listener", which is messaging_listener.py. Ends by itself.
"""

import sys
import threading

from snakemq import Peer
from snakemq.messaging import Dropped, Receipt, ReceiptState


def main(port: str = "4000") -> None:
    with Peer("sender") as peer:
        peer.connect(f"tcp://127.0.0.1:{port}")

        # A thread can wait for as much as it needs to know.
        receipt = peer.send("listener", b"hello")
        receipt.wait(timeout=30, until=ReceiptState.SENT)
        receipt.wait(timeout=30)
        print(f"the first message is {receipt.state.value}")

        # Or many are sent, and looked at when all have come to an end.
        receipts = [peer.send("listener", b"%d" % number) for number in range(100)]
        for receipt in receipts:
            receipt.wait(timeout=30)
        print(f"{len(receipts)} messages are delivered")

        # One that does not arrive says why.
        try:
            peer.send("nobody", b"hello", ttl=0.1).wait(timeout=30)
        except Dropped as exc:
            print(exc)

        # A callback is called in the loop, so it must be quick.
        done = threading.Event()

        def on_done(receipt: Receipt) -> None:
            print(f"the last message is {receipt.state.value}")
            done.set()

        peer.send("listener", b"bye").add_done_callback(on_done)
        done.wait(timeout=30)


if __name__ == "__main__":
    main(*sys.argv[1:])
