"""Tells the story of two processes that talk, are killed, come back and lose nothing.

    python demo.py

Starts two processes, alice and bob, that talk over loopback, and kills them now and then. It ends
by itself after 5 to 20 seconds, with an error if anything in the story does not happen. Needs
snakemq[rpc,sqlite].
"""

from __future__ import annotations

import json
import logging
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from snakemq import Peer
from snakemq.messaging import Receipt
from snakemq.peer import ReceivedMessage
from snakemq.storage.sqlite import SqliteQueuesStorage

DEADLINE = 30.0
"""Seconds to wait for each event of the story."""


# -- the processes of alice and bob: peers, remote-controlled through their standard streams


def report(event: str, **details: Any) -> None:
    # In one piece: several threads report.
    print(json.dumps({"event": event, **details}) + "\n", end="", flush=True)


def report_connections(peer: Peer) -> None:
    peer.messaging.on_connect.add(lambda conn_id, ident: report("connected"))
    peer.messaging.on_disconnect.add(lambda conn_id, ident: report("disconnected"))


class Calculator:
    def add(self, a: int, b: int) -> int:
        return a + b

    def divide(self, a: int, b: int) -> float:
        return a / b

    def process(self) -> int:
        return os.getpid()


def bob(port: str) -> None:
    """Be the peer that reports what it receives, and answers calls."""
    peer = Peer("bob")
    report_connections(peer)
    peer.serve("calculator", Calculator())

    @peer.on_message
    def on_message(message: ReceivedMessage) -> None:
        report("received", text=message.content)

    def listen() -> None:
        report("listening", url=peer.listen(f"tcp://127.0.0.1:{port}"))

    peer.link.call_from_thread(listen)  # in the loop, so nobody is reported as connected before
    peer.run()


def alice(url: str, filename: str) -> None:
    """Be the peer that sends and calls on order, and stores persistent messages in a file."""
    logging.getLogger("snakemq").setLevel(logging.ERROR)  # no warnings that bob is away
    # Not a URL: dev.py runs this where nothing is installed, and so nothing knows the scheme.
    peer = Peer("alice", storage=SqliteQueuesStorage(filename))
    report_connections(peer)
    calculator = peer.remote("bob", "calculator")

    def send(text: str, ttl: float | None, persistent: bool) -> None:
        receipt = peer.send("bob", text, codec="text", ttl=ttl, persistent=persistent)
        report("sent", text=text)  # if it is persistent, it is on the disk now

        def on_done(receipt: Receipt) -> None:
            report(receipt.state.value, text=text)  # delivered or dropped

        receipt.add_done_callback(on_done)

    def call(method: str, *arguments: int) -> None:
        try:
            value = getattr(calculator, method)(*arguments)  # blocks
        except Exception as exc:
            traceback = vars(exc).get("__remote_traceback__", "")
            report("raised", error=f"{type(exc).__name__}: {exc}", traceback=traceback)
        else:
            report("returned", value=value)

    def rest() -> None:
        link = peer.link
        link.call_from_thread(lambda: link.call_later(0.2, lambda: report("rested")))

    def obey() -> None:
        for line in sys.stdin:
            order, *details = json.loads(line)
            if order == "call":
                threading.Thread(target=call, args=details, daemon=True).start()
            elif order == "rest":
                rest()
            else:
                send(*details)

    threading.Thread(target=obey, daemon=True).start()
    peer.connect(url)
    peer.run()


# -- the process that tells the story


class Broken(Exception):
    """Part of the story did not happen."""


class Actor:
    """A process that can be given orders, asked what happened, and killed."""

    def __init__(self, name: str, *arguments: object) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, __file__, name, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._events.put(json.loads(line))
        self._events.put({"event": "ended"})

    def order(self, *words: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()

    def send(self, text: object, ttl: float | None = 60, *, persistent: bool = False) -> None:
        self.order("send", str(text), ttl, persistent)
        self.expect("sent", text=str(text))

    def next_event(self) -> dict[str, Any]:
        try:
            return self._events.get(timeout=DEADLINE)
        except queue.Empty:
            raise Broken(f"{self.name}: nothing happens") from None

    def expect(self, event: str, **details: object) -> dict[str, Any]:
        """Wait for the next event, which must be this one."""
        happened = self.next_event()
        if happened["event"] != event or not details.items() <= happened.items():
            raise Broken(f"{self.name}: {happened} instead of {event} {details}")
        return happened

    def nothing_happened(self) -> None:
        if not self._events.empty():
            raise Broken(f"{self.name}: {self._events.get()} instead of nothing")

    def kill(self) -> None:
        """Kill the process with ``kill -9``."""
        self.process.kill()
        self.process.wait(DEADLINE)


class Story:
    def __init__(self, folder: Path) -> None:
        self.file = folder / "alice.db"
        self.begin = time.monotonic()
        self.actors: list[Actor] = []

    def tell(self, text: str) -> None:
        print(f"{time.monotonic() - self.begin:5.2f} s  {text}", flush=True)

    def start(self, name: str, *arguments: object) -> Actor:
        actor = Actor(name, *arguments)
        self.actors.append(actor)
        return actor

    def run(self) -> None:
        self.tell("Start two processes that talk without a server in the middle:")
        bob = self.start("bob", 0)
        url = bob.expect("listening")["url"]
        port = url.rpartition(":")[2]
        self.tell(f"  bob, process {bob.pid}, listens at {url}")
        alice = self.start("alice", url, self.file)
        self.meet(alice, bob)
        self.tell(f"  alice, process {alice.pid}, connects to bob")

        alice.send("good morning", ttl=0)
        self.arrive(alice, bob, "good morning")
        self.tell('alice sends "good morning", now or never (ttl 0): bob has it')
        for number in (1, 2, 3):
            alice.send(number, persistent=True)
            self.arrive(alice, bob, str(number))
        self.tell("alice sends 1, 2, 3, all persistent: bob has processed and acknowledged them")

        alice.order("call", "add", 2, 3)
        alice.expect("returned", value=5)
        self.tell("alice calls add(2, 3) of an object in bob's process: it returns 5")
        alice.order("call", "divide", 1, 0)
        raised = alice.expect("raised", error="ZeroDivisionError: division by zero")
        place = [line for line in raised["traceback"].splitlines() if "File" in line][-1].strip()
        if "in divide" not in place:
            raise Broken(f"no remote traceback: {raised}")
        self.tell("alice calls divide(1, 0): it raises ZeroDivisionError, which bob raised in")
        self.tell(f"  {place}")

        bob.kill()
        alice.expect("disconnected")
        self.tell("kill -9 bob. alice notices, and goes on:")
        alice.send("are you there?", ttl=0)
        alice.expect("dropped", text="are you there?")
        self.tell('  she sends "are you there?", now or never: its receipt says that it is dropped')
        for number in (4, 5, 6):
            alice.send(number, persistent=True)
        alice.send(7)
        self.tell("  she sends 4, 5, 6, persistent, and 7, transient, ttl 60 s: they are queued")
        alice.order("call", "process")
        alice.nothing_happened()
        self.tell("  she calls process(): the call blocks")
        bob = self.start("bob", port)
        bob.expect("listening")
        self.tell(f"Start bob again, as process {bob.pid}:")
        self.meet(alice, bob)
        for number in (4, 5, 6, 7):
            bob.expect("received", text=str(number))
        self.tell("  he gets 4, 5, 6, 7, in this order")
        happened = [alice.next_event() for _ in range(5)]
        if {"event": "returned", "value": bob.pid} not in happened:
            raise Broken(f"alice: {happened} without the result of process()")
        self.tell(f"  and alice's call returns {bob.pid}")
        alice.order("rest")  # she deletes from her file what is acknowledged, 0.02 s later
        alice.expect("rested")

        bob.kill()
        alice.expect("disconnected")
        for number in (8, 9):
            alice.send(number, persistent=True)
        alice.send(10)
        alice.kill()
        self.tell(
            "kill -9 bob again. alice sends 8, 9, persistent, and 10, transient. kill -9 alice."
        )
        storage = SqliteQueuesStorage(self.file)
        waiting = [message.data.decode() for message in storage.get_items("bob")]
        storage.close()
        if waiting != ["8", "9"]:
            raise Broken(f"{waiting} in the file instead of 8 and 9")
        self.tell("Nobody is left. alice's SQLite file has 8 and 9; 10 has died with her process.")
        alice = self.start("alice", url, self.file)
        bob = self.start("bob", port)
        bob.expect("listening")
        self.meet(alice, bob)
        self.tell(f"Start both again, as processes {alice.pid} and {bob.pid}:")
        for number in (8, 9):
            bob.expect("received", text=str(number))
        self.tell("  bob gets 8 and 9")
        alice.send("good night", ttl=0)
        self.arrive(alice, bob, "good night")
        bob.nothing_happened()
        self.tell('  and then "good night". Every persistent message came once, and in order.')

    @staticmethod
    def meet(alice: Actor, bob: Actor) -> None:
        alice.expect("connected")
        bob.expect("connected")

    @staticmethod
    def arrive(alice: Actor, bob: Actor, text: str) -> None:
        bob.expect("received", text=text)
        alice.expect("delivered", text=text)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        story = Story(Path(folder))
        try:
            story.run()
        except Broken as exc:
            sys.exit(f"The story is broken: {exc}")
        finally:
            for actor in story.actors:
                actor.kill()


ROLES: dict[str, Callable[..., None]] = {"alice": alice, "bob": bob}

if __name__ == "__main__":
    if len(sys.argv) > 1:
        ROLES[sys.argv[1]](*sys.argv[2:])
    else:
        main()
