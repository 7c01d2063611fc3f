"""The storage thread of a peer, as an actor that the seed schedules."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

from snakemq.link.testing import MemoryLink

if TYPE_CHECKING:
    from .peer import Peer


class Killed(BaseException):
    """The process ends at this very instruction. No ``Exception``: nothing can catch it."""


class SimulatedThread:
    """Runs the calls of a storage in their order, sooner or later, and none after a crash."""

    def __init__(self, peer: Peer, link: MemoryLink) -> None:
        self.hangs_until = 0.0
        """The server does not answer until then."""
        self._world = peer.world
        self._link = link
        self._jobs: deque[Callable[[], object]] = deque()
        self._is_planned = False
        # Of its own: seeds that are known to other tests must go on meaning the same.
        self._random = Random(f"storage thread {peer.world.seed} {peer.ident} {peer.life}")
        self._delays = self._random.choice(
            ((0.0,), (0.0,), (0.0, 0.001, 0.02), (0.0, 0.02, 0.3), (0.1, 2.0))
        )

    @property
    def is_busy(self) -> bool:
        return bool(self._jobs)

    def calm_down(self) -> None:
        self._delays = (0.0,)
        self.hangs_until = min(self.hangs_until, self._world.now)

    # -- see Runner

    def run(self, job: Callable[[], object]) -> None:
        self._jobs.append(job)
        self._plan()

    def wait(self, timeout: float) -> bool:
        if self._world.now + timeout < self.hangs_until:
            return False
        while self._jobs:
            self._jobs.popleft()()
        return True

    def end(self) -> None: ...

    # -- inside

    def _plan(self) -> None:
        if self._jobs and not self._is_planned:
            self._is_planned = True
            when = max(self._world.now + self._random.choice(self._delays), self.hangs_until)
            self._world.network._world.timers.add(when, self._take_turn)

    def _take_turn(self) -> None:
        self._is_planned = False
        if self._link.gone:
            self._jobs.clear()  # lost in a crash
        elif self._world.now >= self.hangs_until and self._jobs:
            with suppress(Killed):
                self._jobs.popleft()()
        self._plan()
