"""Calls different callbacks for different messages, by what a message begins with.

    python receive_hook.py [PORT]
    python messaging_connector.py [PORT] "log:disk is full" "add:1 2 3" "what?"

A peer named "listener" with two services and a callback for everything. Ends on Ctrl-C.
"""

import sys

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter


def main(port: int = 4000) -> None:
    link = Link()
    messaging = Messaging("listener", "", Packeter(link))

    def answer(ident: str, text: str) -> None:
        messaging.send_message(ident, Message(text.encode(), ttl=60))

    def on_log(conn_id: str, ident: str, message: Message) -> None:
        print(f"log of {ident}:", message.data.removeprefix(b"log:").decode())
        answer(ident, "noted")

    def on_add(conn_id: str, ident: str, message: Message) -> None:
        numbers = message.data.removeprefix(b"add:").split()
        answer(ident, str(sum(map(int, numbers))))

    def on_any(conn_id: str, ident: str, message: Message) -> None:
        print(f"{len(message.data)} bytes from {ident}")
        if b":" not in message.data:
            answer(ident, "no such service")

    hook = ReceiveHook(messaging)
    hook.register(b"log:", on_log)
    hook.register(b"add:", on_add)
    messaging.on_message_recv.add(on_any)  # besides the hook, not instead of it

    print("listening on", link.add_listener(("127.0.0.1", port)))
    try:
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
