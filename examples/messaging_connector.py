"""Connects, sends texts to the peer "listener" and waits for its answers.

    python messaging_connector.py [PORT] [TEXT ...]

See messaging_listener.py. You may start that later, or stop it for a while: the messages wait in
the memory of this process for up to a minute. Ends when all are answered, or on Ctrl-C.
"""

import sys

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter


def main(port: str = "4000", *texts: str) -> None:
    texts = texts or ("hello", "how are you?")
    link = Link()
    messaging = Messaging("connector", "", Packeter(link))
    answers: list[bytes] = []

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        print(f"{ident}: {message.data.decode()}")
        answers.append(message.data)
        if len(answers) == len(texts):
            link.stop()

    messaging.on_message_recv.add(on_message_recv)
    messaging.on_message_drop.add(lambda ident, uuid: print("nobody was there for a minute"))
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
