"""One side of a measurement, in a process of its own.

    python -m benchmarks.suite.harness.role pyzmq packets_sender '{"count": 1000, "size": 5}'

calls ``packets_sender`` of the module ``benchmarks.suite.peers.pyzmq`` with a :class:`Role`. The
stage, which has started it, is at the other end of standard input and output: lines of JSON. This
module runs in the environments of all peers, so it imports nothing but the standard library.
"""

from __future__ import annotations

import cProfile
import importlib
import json
import os
import sys
import threading
import time
import traceback
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
        self._profiler: Profiler | None = None
        threading.Thread(target=self._obey, daemon=True).start()
        if settings.get("profile"):
            self._profiler = Profiler()

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
        try:
            for command in sys.stdin:
                if command == "go\n":
                    self._mark()
                    self._go.set()
                elif command == "tell\n":
                    self.tell("totals", self._totals())
        except BaseException:
            traceback.print_exc()
        os._exit(0)  # whatever the loop of the peer does: the stage is gone, or hears it now

    def _mark(self) -> None:
        if self._profiler:
            self._profiler.mark()
        self._memory_then = memory()["VmRSS"]
        self._cpu, self._switches = time.process_time(), switches()

    def _totals(self) -> dict[str, Any]:
        cpu, waited = time.process_time(), switches()  # before anything that takes its time
        now = memory()
        return {
            "began": self._began,
            "cpu": cpu - self._cpu,
            "switches": waited - self._switches,
            "memory": self._memory_then - self._memory,  # when it was let go
            "peak": now["VmHWM"] - self._memory,
            **({"profile": self._profiler.functions()} if self._profiler else {}),
        }


class Profiler:
    """cProfile of this thread and of all that are started from now on. It slows down calls."""

    def __init__(self) -> None:
        self._profiles: list[cProfile.Profile] = []
        self._before: dict[str, tuple[int, float]] = {}
        self._begin()
        threading.setprofile(lambda frame, event, argument: self._begin())

    def _begin(self) -> None:
        # Not the time in which a thread waits; what builtins take is that of who calls them.
        profile = cProfile.Profile(time.thread_time, subcalls=False, builtins=False)
        try:
            profile.enable()
        except ValueError:
            return  # from Python 3.12 on there can be one only
        self._profiles.append(profile)

    def mark(self) -> None:
        """What was done so far does not count."""
        self._before = self._counts()

    def functions(self) -> list[tuple[str, int, float]]:
        """Name, calls, and seconds in the function itself."""
        found = []
        for name, (calls, seconds) in self._counts().items():
            calls_before, seconds_before = self._before.get(name, (0, 0.0))
            found.append((name, calls - calls_before, seconds - seconds_before))
        return found

    def _counts(self) -> dict[str, tuple[int, float]]:
        counts: dict[str, tuple[int, float]] = {}
        for profile in self._profiles:
            for entry in profile.getstats():
                if isinstance(entry.code, str):
                    continue
                where = "/".join(entry.code.co_filename.split(os.sep)[-2:])
                name = f"{where} {entry.code.co_qualname}"
                calls, seconds = counts.get(name, (0, 0.0))
                counts[name] = calls + entry.callcount, seconds + entry.inlinetime
        return counts


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
