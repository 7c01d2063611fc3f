"""Sends signals: calls without a result, for which the caller does not wait.

    python rpc_signals.py [PORT] [TEXT ...]

See rpc_server.py. A signal has a time to live: these wait for the server for up to 60 seconds. Ends
when the server has noted all texts, or on Ctrl-C.
"""

import sys
import threading

from snakemq import Peer


def main(port: str = "4000", *texts: str) -> None:
    texts = texts or ("milk", "bread")
    delivered = threading.Semaphore(0)
    with Peer("client") as peer:
        peer.messaging.on_message_delivered.add(lambda conn_id, ident, uuid: delivered.release())
        peer.connect(f"tcp://127.0.0.1:{port}")
        desk = peer.remote("server", "desk")
        desk.note.as_signal(60)  # the method is marked on both sides
        for text in texts:
            desk.note(text)
        print(f"{len(texts)} signals are on their way")
        for _ in texts:
            delivered.acquire()
        print("delivered")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        print("bye")
