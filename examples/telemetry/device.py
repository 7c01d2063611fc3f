"""Measures all the time, and loses no reading while the collector is away.

    python device.py [NAME] [URL] [SECONDS]

Takes a reading every SECONDS (1 by default) and sends it to the collector at URL
(tcp://127.0.0.1:4000 by default). A reading waits in the outbox, NAME.db, until the collector has
it in its database: however long the collector is away, and also if this process is killed. On
SIGTERM or Ctrl-C, it delivers what it can. Needs snakemq[sqlite].
"""

import random
import signal
import sys
import time

from snakemq import Peer

SECONDS_TO_DRAIN = 20.0
"""Less than what the system grants: TimeoutStopSec of systemd, 10 seconds of ``docker stop``."""


def main(
    name: str = "device-1", url: str = "tcp://127.0.0.1:4000", seconds: float | str = 1.0
) -> None:
    signals: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: signals.append(number))
    with Peer(name, storage=f"sqlite:///{name}.db", close_timeout=SECONDS_TO_DRAIN) as peer:
        peer.connect(url)
        while not signals:
            reading = {"at": time.time_ns(), "celsius": round(random.gauss(21, 2), 1)}
            peer.send("collector", reading, codec="json")  # it is on the disk when this returns
            print("measured", reading["at"], flush=True)
            time.sleep(float(seconds))
        peer.close()
        print("left", sum(it.queued + it.in_flight for it in peer.stats().peers.values()))


if __name__ == "__main__":
    main(*sys.argv[1:])
