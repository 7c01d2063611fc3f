"""What does a blocked event loop do to keep-alive?

A peer for asyncio calls ``time.sleep`` in a task, while another process pings it and sends it
messages. Once the link of that peer is a guest of the event loop, and once it has a thread of its
own. Printed are: whether the connection broke, how long after the beginning of the block, how long
after its end it was made again, and how many messages were lost and doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import Any

from snakemq import aio
from snakemq.peer import Peer

TIMES = (0.5, 2.0)
"""How long the blocks last, in times of what the pinging peer allows."""
MESSAGES = 20
"""Sent during each block."""
PATIENCE = 30.0
"""Seconds for what takes no time, and for everything to arrive after a block."""


# -- the peer whose event loop is blocked


def run(pipe: Connection, url: str, own_thread: bool) -> None:
    asyncio.run(receive(pipe, url, own_thread))


async def receive(pipe: Connection, url: str, own_thread: bool) -> None:
    """A number of seconds asks for a block; what follows it up to ``end`` is told in the pipe."""
    received: list[str] = []
    async with aio.Peer("blocked", own_thread=own_thread, keepalive_interval=None) as peer:
        peer.connect(url)
        async for message in peer.messages():
            match message.data.decode().split():
                case ["block", seconds]:
                    pipe.send(time.monotonic())
                    time.sleep(float(seconds))  # that is the question
                    pipe.send(time.monotonic())
                case ["end"]:
                    pipe.send(received)
                    received = []
                case [number]:
                    received.append(number)


# -- the peer that pings it


@dataclass
class Watcher:
    """When connections of the other peer began and ended, by the clock that all processes share."""

    peer: Peer
    begun: SimpleQueue[float] = field(default_factory=SimpleQueue)
    ended: SimpleQueue[float] = field(default_factory=SimpleQueue)

    def __post_init__(self) -> None:
        self.peer.messaging.on_connect.add(lambda *_: self.begun.put(time.monotonic()))
        self.peer.messaging.on_disconnect.add(lambda *_: self.ended.put(time.monotonic()))


@dataclass(frozen=True)
class Outcome:
    broke_after: float | None
    """Seconds from the beginning of the block; ``None``: the connection was kept."""
    back_after: float | None
    """Seconds from the end of the block."""
    lost: int
    doubled: int


@contextmanager
def blockable(url: str, own_thread: bool) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    pipe, remote = context.Pipe()
    process = context.Process(target=run, args=(remote, url, own_thread), daemon=True)
    process.start()
    try:
        yield pipe
    finally:
        process.kill()
        process.join()
        pipe.close()


def block(watcher: Watcher, pipe: Connection, seconds: float) -> Outcome:
    peer = watcher.peer
    peer.send("blocked", f"block {seconds}".encode())
    began: float = heard(pipe, PATIENCE)
    for number in range(MESSAGES):
        peer.send("blocked", str(number).encode())
    ended: float = heard(pipe, seconds + PATIENCE)
    broke_after = back_after = None
    if not watcher.ended.empty():
        broke_after = watcher.ended.get() - began
        back_after = watcher.begun.get(timeout=PATIENCE) - ended
    # After everything that is sent again because the connection broke.
    receipt = peer.send("blocked", b"end")
    received = Counter[str](heard(pipe, PATIENCE))
    receipt.wait(timeout=PATIENCE)
    return Outcome(
        broke_after, back_after, MESSAGES - len(received), received.total() - len(received)
    )


def heard(pipe: Connection, patience: float) -> Any:
    if not pipe.poll(patience):
        raise TimeoutError(f"the blocked peer said nothing for {patience:g} s")
    return pipe.recv()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--interval", type=float, default=2.0, help="seconds until a ping")
    parser.add_argument("--wait", type=float, default=1.0, help="seconds until its answer")
    parser.add_argument("--short", action="store_true", help="a third of these times")
    options = parser.parse_args()
    part = 1 / 3 if options.short else 1.0
    interval, wait = options.interval * part, options.wait * part

    print(f"pinged after {interval:.2f} s of silence, which may last {wait:.2f} s more\n")
    print(
        f"{'':<10} {'blocked for':>11} {'connection':>10} {'broke after':>11} {'back after':>10}"
        f" {'lost':>5} {'doubled':>7}"
    )
    for title, own_thread in (("guest", False), ("own thread", True)):
        with Peer("watcher", keepalive_interval=interval, keepalive_wait=wait) as peer:
            watcher = Watcher(peer)
            with blockable(peer.listen("tcp://127.0.0.1:0"), own_thread) as pipe:
                watcher.begun.get(timeout=PATIENCE)
                for times in TIMES:
                    seconds = times * (interval + wait)
                    print_row(title, seconds, block(watcher, pipe, seconds))


def print_row(title: str, seconds: float, outcome: Outcome) -> None:
    connection = "kept" if outcome.broke_after is None else "lost"
    print(
        f"{title:<10} {seconds:>9.2f} s {connection:>10} {in_seconds(outcome.broke_after):>11}"
        f" {in_seconds(outcome.back_after):>10} {outcome.lost:>5} {outcome.doubled:>7}"
    )


def in_seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} s"


if __name__ == "__main__":
    main()
