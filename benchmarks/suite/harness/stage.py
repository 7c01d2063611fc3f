"""One measurement: starts its sides, lets them begin at once, hears what they found, ends them."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..peers import Peer

ROOT = Path(__file__).parents[3]
PATIENCE = 60.0
"""Seconds for a whole measurement. The longest take a few."""

COMPILED = {"PYTHONDONTWRITEBYTECODE": ""}
"""Variables: only the first import compiles, as it is everywhere but where somebody forbids it."""


class SideFailed(Exception):
    """A side of a measurement ended or said nothing more; the text has what it wrote last."""


class Side:
    """A running role. See :mod:`benchmarks.suite.harness.role` for what is at its other end."""

    def __init__(self, peer: Peer, part: str, settings: Mapping[str, Any], heard: Heard) -> None:
        self.name = f"{part} of {peer.name}"
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by kill())
        role = ["-m", "benchmarks.suite.harness.role", peer.module or peer.name, part]
        self._process = subprocess.Popen(
            [peer.python, *role, json.dumps(settings)],
            cwd=ROOT,
            env={**os.environ, **COMPILED, **peer.variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(heard,), daemon=True)
        self._reader.start()

    def _read(self, heard: Heard) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            heard.put((self, event["event"], event["value"]))
        heard.put((self, "gone", None))

    def say(self, command: str) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # its end is heard, with the reason
            self._process.stdin.write(command + "\n")
            self._process.stdin.flush()

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()[-3000:]

    def kill(self) -> None:
        """``kill -9``; nothing of it stays behind."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdout.close()
        self._errors.close()


Heard = queue.Queue[tuple[Side, str, Any]]


class Stage:
    """The sides of one measurement, which are gone at the end of the ``with`` block.

    ``cpus``: the sides are pinned to these by turns; to none if there are none.
    """

    def __init__(self, peer: Peer, cpus: Sequence[int] = (), patience: float = PATIENCE) -> None:
        self.peer = peer
        self._cpus = cpus
        self._deadline = time.monotonic() + patience
        self._sides: list[Side] = []
        self._heard: Heard = queue.Queue()
        self._unexpected: deque[tuple[Side, str, Any]] = deque()

    def start(self, part: str, settings: Mapping[str, Any], peer: Peer | None = None) -> Side:
        """Start a side of this peer, or of another one."""
        cpus = self._cpus
        pinned = {"cpu": cpus[len(self._sides) % len(cpus)]} if cpus else {}
        side = Side(peer or self.peer, part, {**settings, **pinned}, self._heard)
        self._sides.append(side)
        return side

    def expect(self, event: str, side: Side | None = None) -> Any:
        """Wait until that side, or any, tells of the event; returns what it says.

        Raises :exc:`SideFailed` when it does not, or when any side ends.
        """
        for known in self._unexpected:
            if known[1] == event and side in (None, known[0]):
                self._unexpected.remove(known)
                return known[2]
        while True:
            try:
                left = max(0.0, self._deadline - time.monotonic())
                who, what, value = self._heard.get(timeout=left)
            except queue.Empty:
                raise SideFailed(self._describe(f"no side said {event!r} in time")) from None
            if what == "gone":
                if who in self._sides:
                    raise SideFailed(self._describe(f"{who.name} ended before {event!r}"))
            elif what == event and side in (None, who):
                return value
            else:
                self._unexpected.append((who, what, value))

    def go(self, sides: Sequence[Side]) -> None:
        """When these sides are ready to begin, let all of them begin."""
        for side in sides:
            self.expect("here", side)
        self.mark()

    def mark(self) -> None:
        """From now on all sides count what they use. The first time lets them go."""
        for side in self._sides:
            side.say("go")

    def totals(self, side: Side) -> dict[str, float]:
        """What a side has used since :meth:`mark`. It stays: its end would be work for others."""
        side.say("tell")
        totals: dict[str, float] = self.expect("totals", side)
        return totals

    def crash(self, side: Side) -> None:
        """``kill -9`` as a part of the measurement."""
        side.signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
        self._sides.remove(side)
        side.kill()

    def _describe(self, problem: str) -> str:
        said = [f"{side.name}: {side.errors() or '(wrote no errors)'}" for side in self._sides]
        return "\n".join((problem, *said))

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        for side in self._sides:
            side.kill()
