"""A link that a switchboard connects."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from snakemq.callbacks import Callback, Event
from snakemq.exceptions import ConnectFailed
from snakemq.link.testing import MemoryLink, MemoryNetwork


class Subscriber(MemoryLink):
    """A link in memory that threads may give calls, and that says why it is not connected."""

    on_connect_failed: Event[[Any, ConnectFailed]] = Event()

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        super().__init__(network, name)
        self.on_connect_failed = Callback()
        self._from_threads: deque[Callable[[], object]] = deque()
        self.on_loop_pass.add_internal(self._make_calls)

    def call_from_thread(self, func: Callable[[], object]) -> None:
        """See :meth:`snakemq.link.Link.call_from_thread`. Thread-safe."""
        self._from_threads.append(func)
        self.wakeup_poll()

    def _make_calls(self) -> None:
        while self._from_threads:
            self.machine.call(self._from_threads.popleft())
