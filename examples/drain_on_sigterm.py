"""Ends when the system asks it to, but first sends what it has.

    python drain_on_sigterm.py [PORT] [COUNT]

Connects to a messaging_listener.py at 127.0.0.1:PORT (4000 by default), and sends it COUNT messages
(2000 by default). systemd, Docker and kill send SIGTERM to a service that is to end; Ctrl-C does
the same here. Then all these messages have 20 seconds to be acknowledged. A second signal ends the
service at once. drain_on_sigterm.service is a unit of systemd for it.
"""

import sys
import threading
from contextlib import suppress

from snakemq import Peer
from snakemq.peer import PeerClosed

SECONDS_TO_DRAIN = 20.0
"""Less than what the system grants: TimeoutStopSec of systemd, 10 seconds of ``docker stop``."""


def main(port: str = "4000", count: str = "2000") -> None:
    peer = Peer("producer", close_timeout=SECONDS_TO_DRAIN)
    peer.connect(f"tcp://127.0.0.1:{port}")

    def produce() -> None:
        with suppress(PeerClosed):  # the signal has come before
            peer.wait_for("listener")
            for number in range(int(count)):
                peer.send("listener", b"%d" % number)
            print("sent", count, flush=True)

    threading.Thread(target=produce, daemon=True).start()
    peer.run()  # waits for the signal in the main thread, and then closes the peer
    print("bye")


if __name__ == "__main__":
    main(*sys.argv[1:])
