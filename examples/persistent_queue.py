"""Sends messages that survive the death of this process, in the storage of your choice.

    python persistent_queue.py [PORT] [URL] [TEXT ...]

URL: sqlite:///queue.db, postgresql+psycopg://user:password@host/database,
mysql+pymysql://user:password@host/database or mongodb://host/database.

Sends the texts to the peer "listener", which is messaging_listener.py. Start this first, kill it in
any way you like (even with kill -9), and start it again without texts when the listener runs: the
queued messages are delivered. Ends when the queue is empty, or on Ctrl-C. Needs the extra of
snakemq that brings the storage: sqlite, postgresql, mysql or mongo.
"""

import sys
import threading

from snakemq import Peer


def main(port: str = "4000", url: str = "sqlite:///queue.db", *texts: str) -> None:
    delivered = threading.Semaphore(0)
    with Peer("persistent sender", storage=url) as peer:
        peer.messaging.on_message_delivered.add(lambda conn_id, ident, uuid: delivered.release())
        peers = peer.stats().peers
        left = peers["listener"].queued if "listener" in peers else 0
        print(f"{left} messages are waiting")
        try:
            for text in texts:
                peer.send("listener", text, codec="text")
                # It is in the storage now.
                left += 1
                print(f"queued {text}")
            if left:
                peer.connect(f"tcp://127.0.0.1:{port}")
                while left:
                    delivered.acquire()
                    left -= 1
                print("all delivered")
        except KeyboardInterrupt:
            print(f"bye; {left} messages stay")


if __name__ == "__main__":
    main(*sys.argv[1:])
