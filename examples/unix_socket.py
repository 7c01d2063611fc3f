"""Connects two peers on one machine over a Unix socket: their address is the path of a file.

    python unix_socket.py listen [PATH]
    python unix_socket.py connect [PATH]     in another terminal

The permissions of the directory of PATH decide who may connect. The connecting side ends when it
has its answer, the other one on Ctrl-C.
"""

import sys

from snakemq import Peer
from snakemq.peer import ReceivedMessage


def listen(url: str) -> None:
    peer = Peer("listener")

    @peer.on_message
    def on_message(message: ReceivedMessage) -> None:
        print(f"{message.sender.ident}: {message.content}")
        message.reply("hello to you", codec="text", ttl=60)

    print("listening on", peer.listen(url))
    peer.run()  # removes the socket's file at the end
    print("bye")


def connect(url: str) -> None:
    with Peer("connector") as peer:
        peer.connect(url)
        peer.send("listener", "hello", codec="text")
        with peer.messages() as messages:
            message = next(messages)
            print(f"{message.sender.ident}: {message.content}")


def main(side: str, path: str = "snakemq.sock") -> None:
    {"listen": listen, "connect": connect}[side](f"unix:{path}")


if __name__ == "__main__":
    if sys.argv[1:2] not in (["listen"], ["connect"]):
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        print("bye")
