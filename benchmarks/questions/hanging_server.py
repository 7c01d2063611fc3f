"""A database server that stops answering: what does it cost peers that do not need it?

    python -m benchmarks.questions.hanging_server [--seconds 15] [--only NAME]

Needs snakemq[all] and the servers of tests/servers; one that is not installed is left out. Each
process has one part:

- *hub*: its queues and its inbox are on the server. A thread sends persistent messages to
  *consumer*, all the time.
- *consumer*: receives them, and sends as many back, which the hub records in its inbox.
- *caller*: calls a method of the hub that runs in its loop, over and over, with a keep-alive of a
  second.

The server runs for that many seconds, is stopped by SIGSTOP for as long, and runs again. Printed
are: the longest pass of the hub's loop; the 99th percentile of a call, with the server running and
with the server stopped; how many calls there were; connections that broke; messages lost and
doubled, in both directions.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections import Counter
from typing import Any

from snakemq.exceptions import StorageError
from snakemq.link import Link
from snakemq.message import FLAG_PERSISTENT, Message
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.queues import open_storage
from snakemq.rpc import RpcClient, RpcServer, inline
from tests.servers import MariaDb, MongoDb, PostgreSql, Server, ServerNotFound

SERVERS: tuple[type[Server], ...] = (PostgreSql, MariaDb, MongoDb)
CALM_DOWN = 20.0
"""Seconds that everything has to arrive when the server runs again."""


class Adder:
    @inline
    def add(self, a: int, b: int) -> int:
        return a + b


class Hub:
    """The stack that needs the server."""

    def __init__(self, url: str) -> None:
        self.storage = open_storage(url)
        self.link = Link()
        self.messaging = Messaging(
            "hub",
            "",
            Packeter(self.link),
            self.storage,
            inbox=self.storage,  # type: ignore[arg-type]
            keepalive_interval=1.0,
        )
        self.passes: list[tuple[float, float]] = []
        self.received: Counter[bytes] = Counter()
        self.sent: list[bytes] = []
        self.broken = 0
        self.is_over = False
        hook = ReceiveHook(self.messaging)
        RpcServer(hook).register_object(Adder(), "adder")
        hook.register(b"back", self._on_back)
        self.messaging.on_disconnect.add(self._on_disconnect)
        self._time_passes()
        self.address = self.link.add_listener(("127.0.0.1", 0))
        self._threads = [
            threading.Thread(target=self.link.loop),
            threading.Thread(target=self._send),
        ]
        for thread in self._threads:
            thread.start()

    def _time_passes(self) -> None:
        loop: Any = self.link._loop
        one_pass = loop._one_pass

        def timed(events: object) -> None:
            began = time.monotonic()
            one_pass(events)
            took = time.monotonic() - began
            if took > 0.005:
                self.passes.append((began, took))

        loop._one_pass = timed

    def _on_back(self, conn_id: str, ident: str, message: Message) -> None:
        self.received[message.data[4:]] += 1

    def _on_disconnect(self, conn_id: str, ident: str) -> None:
        self.broken += not self.is_over

    def _send(self) -> None:
        number = 0
        while not self.is_over:
            data = b"%d" % number
            number += 1
            message = Message(data, None, FLAG_PERSISTENT)
            while not self.is_over:
                try:
                    self.messaging.send_message("consumer", message)
                except StorageError:
                    time.sleep(0.1)
                else:
                    self.sent.append(data)
                    break
            time.sleep(0.001)

    def close(self) -> None:
        self.link.cleanup()
        for thread in self._threads:
            thread.join()
        self.storage.close()


def consume(host: str, port: int) -> None:
    """The process of the consumer: it reports what came when its input ends."""
    link = Link()
    messaging = Messaging("consumer", "", Packeter(link), keepalive_interval=1.0)
    received: Counter[str] = Counter()

    def on_message(conn_id: str, ident: str, message: Message) -> None:
        received[message.data.decode()] += 1
        messaging.send_message("hub", Message(b"back" + message.data, None))

    messaging.on_message_recv.add(on_message)
    link.add_connector((host, port))
    thread = threading.Thread(target=link.loop)
    thread.start()
    sys.stdin.read()
    link.cleanup()
    thread.join()
    print(json.dumps(received))


def call(host: str, port: int) -> None:
    """The process of the caller: it reports when each call began and how long it took."""
    link = Link()
    messaging = Messaging("caller", "", Packeter(link), keepalive_interval=1.0)
    add = RpcClient(ReceiveHook(messaging)).get_proxy("hub", "adder").add
    link.add_connector((host, port))
    thread = threading.Thread(target=link.loop)
    thread.start()
    is_over = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        is_over.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    calls = []
    while not is_over.is_set():
        began = time.monotonic()
        add(1, 2)
        calls.append((began, time.monotonic() - began))
        time.sleep(0.001)
    link.cleanup()
    thread.join()
    print(json.dumps(calls))


def part(name: str, address: object) -> subprocess.Popen[str]:
    assert isinstance(address, tuple)
    return subprocess.Popen(
        [sys.executable, "-m", __spec__.name, f"--part={name}", *map(str, address[:2])],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def percentile(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)] if values else float("nan")


def measure(kind: type[Server], seconds: float) -> None:
    with kind() as server:
        hub = Hub(server.url)
        consumer, caller = part("consumer", hub.address), part("caller", hub.address)
        time.sleep(3)
        begin = time.monotonic()
        time.sleep(seconds)
        server.suspend()
        middle = time.monotonic()
        time.sleep(seconds)
        server.resume()
        end = time.monotonic()
        hub.is_over = True
        deadline = end + CALM_DOWN
        while len(hub.received) < len(hub.sent) and time.monotonic() < deadline:
            time.sleep(0.1)
        broken = hub.broken
        calls = json.loads(caller.communicate("")[0])
        arrived = json.loads(consumer.communicate("")[0])
        hub.close()
    undisturbed = [took for began, took in calls if begin <= began < middle]
    disturbed = [took for began, took in calls if middle <= began < end]
    longest = max((took for began, took in hub.passes if middle <= began < end), default=0.005)
    longest_before = max(
        (took for began, took in hub.passes if begin <= began < middle), default=0.005
    )
    sent = {data.decode() for data in hub.sent}
    print(
        f"{kind.name:12} longest pass {longest * 1e3:.1f} ms (before {longest_before * 1e3:.1f});"
        f" p99 of a call {percentile(disturbed) * 1e3:.2f} ms"
        f" (before {percentile(undisturbed) * 1e3:.2f}), {len(disturbed)} calls"
        f" (before {len(undisturbed)}); {broken} connections broke; of {len(sent)} messages"
        f" {len(sent - arrived.keys())} lost, {sum(n > 1 for n in arrived.values())} doubled;"
        f" back: {len(arrived.keys() - {d.decode() for d in hub.received})} lost,"
        f" {sum(n > 1 for n in hub.received.values())} doubled",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--only", choices=[kind.name for kind in SERVERS])
    parser.add_argument("--part", choices=["consumer", "caller"], help=argparse.SUPPRESS)
    parser.add_argument("address", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        host, port = options.address
        (consume if options.part == "consumer" else call)(host, int(port))
        return
    for kind in SERVERS:
        if options.only in (None, kind.name):
            try:
                measure(kind, options.seconds)
            except ServerNotFound as reason:
                print(f"{kind.name:12} left out: {reason}")


if __name__ == "__main__":
    main()
