"""Limits the speed at which a stack sends.

    python throttle.py [PORT] [SPEED] [SIZE]

Sends SIZE bytes (20,000) to the peer "listener", which is messaging_listener.py, at SPEED bytes
per second (40,000) for each connection, and says how long it took until the last answer came. The
listener's answers are not throttled: a throttle limits only what its own side sends.
Ends by itself, or on Ctrl-C.
"""

import sys
import time

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.throttle import Throttle

MESSAGE_SIZE = 1000


def main(port: int = 4000, speed: int = 40_000, size: int = 20_000) -> None:
    link = Link()
    # To the layers above, the throttle is the link.
    messaging = Messaging("throttled", "", Packeter(Throttle(link, speed)))
    count = max(1, size // MESSAGE_SIZE)
    answers: list[bytes] = []
    begin = 0.0

    def on_connect(conn_id: str, ident: str) -> None:
        nonlocal begin
        begin = time.monotonic()
        for _ in range(count):
            messaging.send_message(ident, Message(b"x" * MESSAGE_SIZE, ttl=60))

    def on_message_recv(conn_id: str, ident: str, message: Message) -> None:
        answers.append(message.data)
        if len(answers) == count:
            seconds = time.monotonic() - begin
            print(f"{count * MESSAGE_SIZE} bytes in {seconds:.2f} s")
            link.stop()

    messaging.on_connect.add(on_connect)
    messaging.on_message_recv.add(on_message_recv)
    link.add_connector(("127.0.0.1", port))
    try:
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
