"""A storage whose calls wait until a test lets them go on, like those of a server that hangs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable


class Held:
    """Runs the calls of storages when a test says so. See ``Runner``."""

    def __init__(self) -> None:
        self.hangs = False
        self._jobs: deque[Callable[[], object]] = deque()

    def run(self, job: Callable[[], object]) -> None:
        self._jobs.append(job)
        if not self.hangs:
            self.go_on()

    def go_on(self, count: int | None = None) -> None:
        """Let some calls, or all that there are, be made."""
        for _ in range(len(self._jobs) if count is None else count):
            self._jobs.popleft()()

    def wait(self, timeout: float) -> bool:
        if self.hangs:
            return False
        self.go_on()
        return True

    def end(self) -> None: ...
