"""Listens as the peer "listener" and answers every message. It is built without a Peer.

    python messaging_listener.py [PORT]
    python messaging_connector.py [PORT] [TEXT ...]     in another terminal

Other examples send to "listener", too. Ends on Ctrl-C.
"""

import sys

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter


def main(port: int = 4000) -> None:
    link = Link()
    messaging = Messaging("listener", "", Packeter(link))

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        print(f"{ident}: {message.data.decode()}")
        # The peer has a minute to come back, so no answer waits forever.
        messaging.send_message(ident, Message(message.data.upper(), ttl=60))

    messaging.on_connect.add(lambda conn_id, ident: print(f"{ident} is here"))
    messaging.on_disconnect.add(lambda conn_id, ident: print(f"{ident} is away"))
    messaging.on_message_recv.add(on_message_recv)
    messaging.on_message_drop.add(lambda ident, uuid: print(f"an answer to {ident} was dropped"))

    print("listening on", link.add_listener(("127.0.0.1", port)))
    try:
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
