"""Measure the figures of docs/adr/0015-receipts.md.

    python -m benchmarks.decisions.posts FOLDER_ON_A_DISK [--short]

One thread sends or posts small messages to a peer in the same process. Rounds are interleaved; the
median of each is printed: until the last call has returned, and until the last message has arrived.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from snakemq.link import Link
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging, Receipt
from snakemq.packeter import Packeter

Send = Callable[[Messaging, Message], object]

PATIENCE = 600.0
"""Seconds after which the measurement is given up."""


def ways() -> dict[str, Send]:
    held: list[Receipt] = []
    return {
        "send": lambda messaging, message: messaging.send_message("bob", message),
        "post": lambda messaging, message: messaging.post("bob", message),
        "post, held": lambda messaging, message: held.append(messaging.post("bob", message)),
    }


def measure(send: Send, count: int, storage: str | None) -> tuple[float, float]:
    """Return the seconds for each message: of its call, and of its way."""
    links = [Link(), Link()]
    alice = Messaging("alice", "", Packeter(links[0]), storage)
    bob = Messaging("bob", "", Packeter(links[1]))
    is_connected, is_done = threading.Event(), threading.Event()
    arrived = 0

    def on_message_recv(*_: object) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == count:
            is_done.set()

    bob.on_message_recv.add(on_message_recv)
    alice.on_admitted.add(lambda *_: is_connected.set())
    links[0].add_connector(links[1].add_listener(("127.0.0.1", 0)))
    loops = [threading.Thread(target=link.loop) for link in links]
    for loop in loops:
        loop.start()
    try:
        if not is_connected.wait(PATIENCE):
            raise TimeoutError("the peers do not connect")
        flags = FLAG_PERSISTENT if storage is not None else 0
        messages = [Message(bytes(100), None, flags) for _ in range(count)]
        begin = time.perf_counter()
        for message in messages:
            send(alice, message)
        called = time.perf_counter()
        if not is_done.wait(PATIENCE):
            raise TimeoutError("the messages do not arrive")
        return (called - begin) / count, (time.perf_counter() - begin) / count
    finally:
        for link, loop in zip(links, loops, strict=True):
            link.stop()
            loop.join()
            link.cleanup()
        alice.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="on a disk, not in memory")
    parser.add_argument("--short", action="store_true", help="one round of a few messages")
    arguments = parser.parse_args()
    rounds, transient, stored = (1, 50, 5) if arguments.short else (5, 50_000, 2_000)

    figures: dict[str, list[tuple[float, float]]] = {}
    for number in range(rounds):
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            for place, (name, send) in enumerate(ways().items()):
                url = f"sqlite:///{folder}/{number}-{place}.db"
                for kind, count, storage in (
                    ("transient", transient, None),
                    ("in SQLite", stored, url),
                ):
                    figure = measure(send, count, storage)
                    figures.setdefault(f"{kind}, {name}", []).append(figure)
    for title, pairs in sorted(figures.items()):
        call, way = (statistics.median(values) * 1e6 for values in zip(*pairs, strict=True))
        print(f"{title:25} {call:8,.1f} µs for the call, {way:8,.1f} µs for the way")


if __name__ == "__main__":
    main()
