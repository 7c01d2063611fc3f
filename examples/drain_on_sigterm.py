"""Ends when the system asks it to, but first sends what it has.

    python drain_on_sigterm.py [PORT] [COUNT]

Connects to a messaging_listener.py at 127.0.0.1:PORT (4000 by default), and sends it COUNT messages
(2000 by default). systemd, Docker and kill send SIGTERM to a service that is to end; Ctrl-C does
the same here. Then all these messages have 20 seconds to be acknowledged. A second signal ends the
service at once. drain_on_sigterm.service is a unit of systemd for it.
"""

import signal
import sys
import threading

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter

SECONDS_TO_DRAIN = 20.0
"""Less than what the system grants: TimeoutStopSec of systemd, 10 seconds of ``docker stop``."""


def main(port: int = 4000, count: int = 2000) -> None:
    link = Link()
    messaging = Messaging("producer", "", Packeter(link))

    def produce(conn_id: str, ident: str) -> None:
        for number in range(count):
            messaging.send_message(ident, Message(b"%d" % number, ttl=60))
        print("sent", count, flush=True)

    def drain() -> None:
        left = messaging.drain(SECONDS_TO_DRAIN)
        print("left", left)
        link.stop()

    def on_signal(number: int, frame: object) -> None:
        if draining.ident is None:
            draining.start()  # the loop must go on meanwhile
        else:
            link.stop()

    draining = threading.Thread(target=drain, daemon=True)
    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    messaging.on_connect.add(produce)
    link.add_connector(("127.0.0.1", port))
    try:
        link.loop()
    finally:
        link.cleanup()
        messaging.close()
    print("bye")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
