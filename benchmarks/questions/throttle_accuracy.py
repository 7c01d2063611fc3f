"""How near to its speed does a throttle keep the whole stack, over real sockets?

A messaging peer for each speed sends all it can to one that only counts; all at the same time, each
in a thread of its own.
"""

from __future__ import annotations

import argparse
import threading
import time

from snakemq.link import Link
from snakemq.message import Message
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.throttle import Throttle

SPEEDS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)


class Line:
    """A throttled sender, and a receiver that counts the bytes on the wire."""

    def __init__(self, speed: int, seconds: float) -> None:
        self.speed = speed
        self.seconds = seconds
        self.first = 0.0
        self.arrived = 0
        self.links = Link(), Link()
        sender = Messaging("sender", "", Packeter(Throttle(self.links[0], speed)))
        Messaging("receiver", "", Packeter(self.links[1]))
        size = min(100_000, max(20, speed // 50))
        for _ in range(int(speed * (seconds + 1) / size)):
            sender.send_message("receiver", Message(bytes(size), ttl=None))
        self.links[1].on_recv.add(self.on_recv)
        self.links[0].add_connector(self.links[1].add_listener(("127.0.0.1", 0)))
        self.threads = [threading.Thread(target=link.loop) for link in self.links]

    def on_recv(self, conn_id: str, data: bytes) -> None:
        now = time.perf_counter()
        if not self.first:
            self.first = now
        if now - self.first <= self.seconds:
            self.arrived += len(data)
        else:
            for link in self.links:
                link.stop()

    def deviation(self) -> float:
        return self.arrived / (self.speed * self.seconds) - 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--short", action="store_true", help="2 seconds")
    options = parser.parse_args()
    seconds = 2.0 if options.short else options.seconds

    lines = [Line(speed, seconds) for speed in SPEEDS]
    threads = [thread for line in lines for thread in line.threads]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds * 5)
    print(f"bytes on the wire over {seconds:g} s\n")
    print(f"{'speed (B/s)':>12} {'measured':>12} {'deviation':>10}")
    for line in lines:
        measured = line.arrived / seconds
        print(f"{line.speed:>12,} {measured:>12,.0f} {line.deviation():>+10.1%}")
        for link in line.links:
            link.cleanup()


if __name__ == "__main__":
    main()
