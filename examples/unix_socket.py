"""Connects two peers on one machine over a Unix socket: their address is the path of a file.

    python unix_socket.py listen [PATH]
    python unix_socket.py connect [PATH]     in another terminal

The permissions of the directory of PATH decide who may connect. The connecting side ends when it
has its answer, the other one on Ctrl-C.
"""

import sys

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter


def listen(link: Link, path: str) -> None:
    messaging = Messaging("listener", "", Packeter(link))

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        print(f"{ident}: {message.data.decode()}")
        messaging.send_message(ident, Message(b"hello to you", ttl=60))

    messaging.on_message_recv.add(on_message_recv)
    print("listening on", link.add_listener(path))


def connect(link: Link, path: str) -> None:
    messaging = Messaging("connector", "", Packeter(link))

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        print(f"{ident}: {message.data.decode()}")
        link.stop()

    messaging.on_message_recv.add(on_message_recv)
    messaging.send_message("listener", Message(b"hello", ttl=60))
    link.add_connector(path)


def main(side: str, path: str = "snakemq.sock") -> None:
    link = Link()
    {"listen": listen, "connect": connect}[side](link, path)
    try:
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()  # removes the socket's file as well


if __name__ == "__main__":
    if sys.argv[1:2] not in (["listen"], ["connect"]):
        sys.exit(__doc__)
    main(*sys.argv[1:])
