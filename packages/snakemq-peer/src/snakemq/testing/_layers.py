"""The layers of a peer on a network in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, cast

from snakemq.link import Link
from snakemq.messaging import Messaging
from snakemq.peer._layers import Layers
from snakemq.peer._options import Options

from ._ground import Ground

if TYPE_CHECKING:
    from snakemq.peer._rpc import Calls


class AtOnce:
    """Makes the calls of a storage in the loop, so that a test knows when they are done."""

    def run(self, job: Callable[[], object]) -> None:
        job()

    def wait(self, timeout: float) -> bool:
        return True

    def end(self) -> None: ...


class MemoryMessaging(Messaging):
    """A messaging without a thread for each storage."""

    _runner_of = staticmethod(lambda storage: AtOnce())


class MemoryLayers(Layers):
    """The layers of a peer, with a link in memory, and nothing that happens unseen."""

    MessagingType = MemoryMessaging

    def __init__(self, ground: Ground, options: Options) -> None:
        self.memory_link = ground.link(options.ident)
        super().__init__(options)

    def make_link(self) -> Link:
        return cast("Link", self.memory_link)  # it has all that a peer needs of one


def count_methods(calls: Calls | None, blocked: Collection[threading.Thread]) -> int:
    """Return how many threads execute methods for peers and are not among the ``blocked``."""
    if calls is None or not calls.has_server:
        return 0
    server = calls.server
    waiting = server.busy_threads().intersection(thread.ident for thread in blocked)
    return server.unfinished - len(waiting)
