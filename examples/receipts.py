"""Shows receipts: what has come of each message, without waiting while it is sent.

    python receipts.py [PORT]

Sends to "listener", which is messaging_listener.py. Ends by itself.
"""

import sys
import threading

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Dropped, Messaging, Receipt, ReceiptState
from snakemq.packeter import Packeter


def main(port: int = 4000) -> None:
    link = Link()
    messaging = Messaging("sender", "", Packeter(link))
    link.add_connector(("127.0.0.1", port))
    loop = threading.Thread(target=link.loop, name="loop")
    loop.start()
    try:
        # A thread can wait for as much as it needs to know.
        receipt = messaging.post("listener", Message(b"hello", ttl=60))
        receipt.wait(timeout=30, until=ReceiptState.SENT)
        receipt.wait(timeout=30)
        print(f"the first message is {receipt.state.value}")

        # Or many are posted, and looked at when all have come to an end.
        receipts = [messaging.post("listener", Message(b"%d" % i, ttl=60)) for i in range(100)]
        for receipt in receipts:
            receipt.wait(timeout=30)
        print(f"{len(receipts)} messages are delivered")

        # One that does not arrive says why.
        try:
            messaging.post("nobody", Message(b"hello", ttl=0.1)).wait(timeout=30)
        except Dropped as exc:
            print(exc)

        # A callback is called in the loop, and keeps the receipt until then.
        done = threading.Event()

        def on_done(receipt: Receipt) -> None:
            print(f"the last message is {receipt.state.value}")
            done.set()

        messaging.post("listener", Message(b"bye", ttl=60)).add_done_callback(on_done)
        done.wait(timeout=30)
    finally:
        link.stop()
        loop.join()
        link.cleanup()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
