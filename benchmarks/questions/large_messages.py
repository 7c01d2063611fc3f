"""How long does a call wait beside a large message, and how fast are large messages?

A client and a server in processes of their own, over loopback. The client measures calls alone and
beside a message of the given size to the server, in turns, so that the ratio means something on a
busy machine. ``--whole`` sends large messages in one piece, as to a 2.0 peer.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from snakemq.link import Address, Link
from snakemq.message import Message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.rpc import RpcClient, RpcServer
from snakemq.throttle import Throttle

MIB = 1024 * 1024


class Echo:
    def echo(self, data: bytes) -> bytes:
        return data


def serve(pipe: Connection, whole: bool) -> None:
    link = Link()
    messaging = make(link, "server", whole)
    hook = ReceiveHook(messaging)
    RpcServer(hook).register_object(Echo(), "echo")
    pipe.send(link.add_listener(("127.0.0.1", 0)))
    link.loop()


def make(link: Link, ident: str, whole: bool, speed: float | None = None) -> Messaging:
    packeter = Packeter(Throttle(link, speed) if speed else link)
    messaging = Messaging(ident, "", packeter)
    if whole:
        messaging._wings.outgoing.chunks.cut_from = 1 << 32
    return messaging


class Client:
    def __init__(self, address: Address, whole: bool, speed: float | None = None) -> None:
        self.link = Link()
        self.messaging = make(self.link, "client", whole, speed)
        self.delivered = threading.Semaphore(0)
        self.connected = threading.Event()
        self.large: set[bytes] = set()
        self.messaging.on_message_delivered.add(self.on_delivered)
        self.messaging.on_admitted.add(lambda *_: self.connected.set())
        self.echo = RpcClient(ReceiveHook(self.messaging)).get_proxy("server", "echo")
        self.link.add_connector(address)
        self.thread = threading.Thread(target=self.link.loop, daemon=True)
        self.thread.start()
        self.connected.wait()

    def send(self, size: int) -> None:
        message = Message(bytes(size), ttl=3600)
        self.large.add(message.uuid)
        self.messaging.send_message("server", message)

    def on_delivered(self, conn_id: str, ident: str, uuid: bytes) -> None:
        if uuid in self.large:
            self.delivered.release()

    def transfer(self, size: int, count: int) -> float:
        """Return bytes a second."""
        begin = time.perf_counter()
        for _ in range(count):
            self.send(size)
        for _ in range(count):
            self.delivered.acquire()
        return size * count / (time.perf_counter() - begin)

    def calls(self, goes_on: Callable[[], bool]) -> list[float]:
        took = []
        while goes_on():
            begin = time.perf_counter()
            self.echo.echo(b"x" * 100)
            took.append(time.perf_counter() - begin)
        return took

    def calls_beside(self, size: int) -> list[float]:
        self.send(size)
        took = self.calls(lambda: not self.delivered.acquire(blocking=False))
        return took[:-1] or took  # the last one may be beside nothing

    def calls_alone(self, seconds: float) -> list[float]:
        end = time.perf_counter() + seconds
        return self.calls(lambda: time.perf_counter() < end)

    def close(self) -> None:
        self.link.stop()
        self.thread.join()
        self.link.cleanup()


def percentiles(times: list[float]) -> str:
    times = sorted(times)
    at = [times[min(len(times) - 1, int(len(times) * part))] * 1e6 for part in (0.5, 0.9, 0.99)]
    return "".join(f"{value:>11,.0f}" for value in at) + f"{times[-1] * 1e6:>11,.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=1000, help="MiB of the message beside calls")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--whole", action="store_true", help="do not cut messages")
    parser.add_argument("--speed", type=float, help="bytes a second, of a throttle")
    parser.add_argument("--short", action="store_true", help="64 MiB, and one round")
    options = parser.parse_args()
    if options.short:
        options.size, options.rounds = 64, 1

    context = multiprocessing.get_context("spawn")
    pipe, remote = context.Pipe()
    server = context.Process(target=serve, args=(remote, options.whole), daemon=True)
    server.start()
    address = pipe.recv()

    client = Client(address, options.whole, options.speed)
    size = options.size * MIB
    alone: list[float] = []
    beside: list[float] = []
    for _ in range(options.rounds):
        alone += client.calls_alone(1.0)
        beside += client.calls_beside(size)
    print(f"calls, in µs {'calls':>9}{'median':>11}{'p90':>11}{'p99':>11}{'longest':>11}")
    print(f"alone        {len(alone):>9}{percentiles(alone)}")
    print(f"beside {options.size:>4} MB{len(beside):>9}{percentiles(beside)}")
    print(f"median, ratio: {statistics.median(beside) / statistics.median(alone):.2f}\n")
    if options.speed is None:
        print("throughput")
        for mib, count in ((1, 64), (16, 8), (256, 1)):
            rates = [client.transfer(mib * MIB, count) for _ in range(options.rounds + 2)]
            print(f"{mib:>5} MiB {statistics.median(rates) / MIB:>8,.0f} MiB/s")
    client.close()
    server.terminate()


if __name__ == "__main__":
    main()
