"""The genuine snakeMQ 1.6 in a process of its own, see ``peer16.py``."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from snakemq.link import Address
from tests.support.running_stack import PATIENCE, Diary

SCRIPT = Path(__file__).with_name("peer16.py")

Event = dict[str, Any]
T = TypeVar("T")


def random_bytes(seed: int, size: int) -> bytes:
    """Make the bytes that ``peer16.py`` makes, so that they need not go through the pipes."""
    return random.Random(seed).randbytes(size)


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Genuine(Diary):
    """A running 1.6 peer. With the ident ``""`` it has no messaging, only packets."""

    def __init__(self, python: str, ident: str, storage: Path | None = None) -> None:
        super().__init__()
        self.ident = ident
        self.events: list[Event] = []
        command = [python, "-W", "ignore", str(SCRIPT), "--ident-json", json.dumps(ident)]
        if storage is not None:
            command.append(f"--storage={storage}")
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            # An environment is found through its python; no other one may get in.
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
            if python != sys.executable
            else None,
        )
        self._commands = 0
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def until(self, predicate: Callable[[], T | None], timeout: float = PATIENCE) -> T:
        """Wait as every diary does, but fail at once if the peer has crashed."""

        def check() -> T | None:
            value = predicate()
            assert value or not (crashes := self.all("crashed")), crashes[0]["traceback"]
            return value

        return super().until(check, timeout)

    def do(self, command: str, **arguments: object) -> Any:
        """Carry out a command in the loop of that peer; returns its result."""
        self._commands += 1
        number = self._commands
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([number, command, arguments]) + "\n")
        self._process.stdin.flush()
        return self.event("done", number=number)["value"]

    def listen(self, port: object = 0, tls: object = None) -> tuple[str, int]:
        return "127.0.0.1", self.do("listen", port=port, tls=tls)

    def dial(self, address: Address, tls: object = None) -> None:
        self.do("dial", port=address[1], tls=tls)

    def all(self, kind: str, **details: object) -> list[Event]:
        """The events so far that have these details."""
        return [
            event
            for event in self.events
            if event["event"] == kind and details.items() <= event.items()
        ]

    def event(self, kind: str, count: int = 1, timeout: float = PATIENCE, **details: Any) -> Event:
        """Wait for the event with these details, the ``count``-th one."""
        return self.until(
            lambda: (
                events[count - 1] if len(events := self.all(kind, **details)) >= count else None
            ),
            timeout,
        )

    def outcomes(self) -> list[Event]:
        """How the RPC calls of this peer ended, in that order."""
        return [event for event in self.events if event["event"] in ("returned", "raised")]

    def call(self, ident: str, method: str, args: str = "()", **options: object) -> Event:
        """Call by RPC and wait for the outcome: an event ``returned`` or ``raised``."""
        before = len(self.outcomes())
        self.do("call", ident=ident, method=method, args=args, **options)
        return self.until(lambda: self.outcomes()[before:])[0]

    def kill(self) -> None:
        """Kill it, so that it cannot say goodbye."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def suspend(self) -> None:
        """Stop the process; its system keeps its connections."""
        self._process.send_signal(signal.SIGSTOP)

    def assert_undisturbed(self) -> None:
        """Check that it has nothing to complain about."""
        assert not self.all("crashed")
        assert not self.all("log")
        assert not self.all("error")

    def close(self) -> None:
        self._process.kill()
        self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.write(self.events, json.loads(line))

    def __repr__(self) -> str:
        return f"<Genuine {self.ident!r}, last events {self.events[-5:]}>"
