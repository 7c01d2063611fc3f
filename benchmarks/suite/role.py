"""One side of a measurement, in a process of its own.

    python -m benchmarks.suite.role pyzmq packets_sender '{"count": 1000, "size": 5}'

calls ``packets_sender`` of the module ``benchmarks.suite.peers.pyzmq`` with a :class:`Role`. The
stage, which has started it, is at the other end of standard input and output: lines of JSON. This
module runs in the environments of all peers, so it imports nothing but the standard library.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

WARM_UP = 100
"""Calls before the clock is started."""


class Role:
    """What the function of a side is given: its settings as attributes, and a way to the stage."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        # What libraries print must not come between the lines for the stage.
        self._stage = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(2, 1)
        self._go = threading.Event()
        self._memory = memory()["VmRSS"]
        self._began = self._cpu = 0.0
        self._switches = self._memory_then = 0
        threading.Thread(target=self._obey, daemon=True).start()

    def __getattr__(self, name: str) -> Any:
        try:
            return self.settings[name]
        except KeyError:
            raise AttributeError(f"the workload has no setting {name!r}") from None

    @property
    def payload(self) -> bytes:
        """``size`` bytes, each of them written: zeros would take neither memory nor a cache."""
        return b"x" * int(self.size)

    def ready(self, address: Any = None) -> None:
        """This side listens; the others get ``address`` as a setting."""
        self._began = time.perf_counter()
        self.tell("ready", address)

    def meet(self) -> None:
        """Wait until the others are here as well. The time counts from now on."""
        self.tell("here", None)
        self._go.wait()
        # The stage lets both sides go at once; what either does before it is awake is not counted.
        self._began = time.perf_counter()

    def finish(self, **figures: float) -> None:
        """The measurement is over. ``figures``: what this side has measured itself."""
        self.tell("finished", {**figures, "began": self._began, "ended": time.perf_counter()})

    def stay(self) -> NoReturn:
        """Nothing is left to do; the stage ends this process."""
        threading.Event().wait()
        raise AssertionError("nobody sets it")

    def tell(self, event: str, value: Any) -> None:
        """For a workload that expects it."""
        # One write: the lines of two threads do not mix.
        self._stage.write(json.dumps({"event": event, "value": value}) + "\n")

    def _obey(self) -> None:
        for command in sys.stdin:
            if command == "go\n":
                self._memory_then = memory()["VmRSS"]
                self._cpu = time.process_time()
                self._switches = switches()
                self._go.set()
            elif command == "tell\n":
                self.tell("totals", self._totals())
        os._exit(0)  # whatever the loop of the peer does: the stage is gone

    def _totals(self) -> dict[str, float]:
        cpu, waited = time.process_time(), switches()  # before anything that takes its time
        now = memory()
        return {
            "cpu": cpu - self._cpu,
            "switches": waited - self._switches,
            "memory": self._memory_then - self._memory,  # when it was let go
            "peak": now["VmHWM"] - self._memory,
        }


def memory() -> dict[str, int]:
    """Bytes that are resident now (VmRSS) and were at most (VmHWM); 0 where nobody tells.

    Not ``ru_maxrss``: that of a new process begins with the size of the one that has started it.
    """
    figures = {"VmRSS": 0, "VmHWM": 0}
    try:
        with open("/proc/self/status") as status:
            for line in status:
                name, _, value = line.partition(":")
                if name in figures:
                    figures[name] = int(value.split()[0]) * 1024
    except OSError:
        pass
    return figures


def switches() -> int:
    """How often the other threads of this process have waited: they were woken up as often."""
    try:
        import resource
    except ImportError:
        return 0
    mine = (
        resource.getrusage(resource.RUSAGE_THREAD) if hasattr(resource, "RUSAGE_THREAD") else None
    )
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - (mine.ru_nvcsw if mine else 0)


def raise_limit_of_descriptors() -> None:
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def time_calls(role: Role, call: Callable[[int, int], int]) -> None:
    """One call after another; how long each took, in seconds."""
    for _ in range(WARM_UP):
        assert call(1, 2) == 3
    took = []
    clock = time.perf_counter
    role.meet()
    for _ in range(role.count):
        began = clock()
        call(1, 2)
        took.append(clock() - began)
    finish_calls(role, took)


def time_callers(role: Role, new_call: Callable[[], Callable[[int, int], int]]) -> None:
    """``callers`` threads at once, each with what ``new_call`` gives it, called in that thread."""
    if role.callers == 1:
        time_calls(role, new_call())
        return
    took: list[float] = []
    warm, go = threading.Barrier(role.callers + 1), threading.Event()

    def run() -> None:
        call = new_call()
        mine = []
        clock = time.perf_counter
        for _ in range(max(1, WARM_UP // role.callers)):
            assert call(1, 2) == 3
        warm.wait()
        go.wait()
        for _ in range(role.count // role.callers):
            began = clock()
            call(1, 2)
            mine.append(clock() - began)
        took.extend(mine)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(role.callers)]
    for thread in threads:
        thread.start()
    warm.wait()
    role.meet()
    go.set()
    for thread in threads:
        thread.join()
    finish_calls(role, took)


def finish_calls(role: Role, took: list[float]) -> None:
    took.sort()
    count = len(took)
    role.finish(calls=count, p50=took[count // 2], p99=took[count * 99 // 100])


def main() -> None:
    peer, part, settings = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
    cpu = settings.pop("cpu", None)
    if cpu is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {cpu})
    raise_limit_of_descriptors()
    play = getattr(importlib.import_module(f"benchmarks.suite.peers.{peer}"), part)
    role = Role(settings)
    play(role)
    role.stay()


if __name__ == "__main__":
    main()
