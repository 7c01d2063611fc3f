"""Connects, sends texts to the peer "listener" and waits for its answers.

    python messaging_connector.py [PORT] [TEXT ...]

See messaging_listener.py. You may start that later, or stop it for a while: the messages wait in
the memory of this process for up to a minute. Ends when all are answered or dropped, or on Ctrl-C.
"""

import sys

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import DropReason, Messaging
from snakemq.packeter import Packeter


def main(port: str = "4000", *texts: str) -> None:
    texts = texts or ("hello", "how are you?")
    link = Link()
    messaging = Messaging("connector", "", Packeter(link))
    answers: list[str] = []

    def answered(answer: str) -> None:
        print(answer)
        answers.append(answer)
        if len(answers) == len(texts):
            link.stop()

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        answered(f"{ident}: {message.data.decode()}")

    def on_message_dropped(ident: str, message: Message, reason: DropReason, detail: str) -> None:
        # Expired, if nobody was there for a minute; or rejected, and then the listener says why.
        answered(f"{message.data.decode()} was dropped: {detail or reason.value}")

    messaging.on_message_recv.add(on_message_recv)
    messaging.on_message_dropped.add(on_message_dropped)
    for text in texts:
        messaging.send_message("listener", Message(text.encode(), ttl=60))

    link.add_connector(("127.0.0.1", int(port)))
    try:
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()


if __name__ == "__main__":
    main(*sys.argv[1:])
