"""Sends messages that survive the death of this process, in the storage of your choice.

    python any_storage.py [PORT] [URL] [TEXT ...]

URL: sqlite:///queue.db, postgresql+psycopg://user:password@host/database,
mysql+pymysql://user:password@host/database or mongodb://host/database.

Sends the texts to the peer "listener", which is messaging_listener.py. Start this first, kill it in
any way you like (even with kill -9), and start it again without texts when the listener runs: the
queued messages are delivered. Ends when the queue is empty, or on Ctrl-C. Needs the extra of
snakemq that brings the storage: sqlite, postgresql, mysql or mongo.
"""

import sys

from snakemq.link import Link
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.queues import open_storage


def main(port: str = "4000", url: str = "sqlite:///queue.db", *texts: str) -> None:
    storage = open_storage(url)
    found = [message.uuid for message in storage.get_items("listener")]
    print(f"{len(found)} messages are waiting")

    link = Link()
    messaging = Messaging("sender", "", Packeter(link), storage)
    waiting = set(found)

    def on_message_delivered(conn_id: str, ident: str, uuid: bytes) -> None:
        waiting.discard(uuid)
        if not waiting:
            print("all delivered")
            link.stop()

    messaging.on_message_delivered.add(on_message_delivered)
    try:
        for text in texts:
            message = Message(text.encode(), ttl=None, flags=FLAG_PERSISTENT)
            # When this returns, the message is on the disk.
            waiting.add(messaging.send_message("listener", message))
            print(f"queued {text}")
        if waiting:
            link.add_connector(("127.0.0.1", int(port)))
            link.loop()
    except KeyboardInterrupt:
        print(f"bye; {len(waiting)} messages stay")
    finally:
        link.cleanup()
        messaging.close()
        storage.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
