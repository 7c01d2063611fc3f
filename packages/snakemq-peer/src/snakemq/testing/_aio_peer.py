"""A peer for asyncio on a network in memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection
from functools import partial
from typing import Any

from snakemq.aio import Peer
from snakemq.aio._stack import Stack

from ._event_loop import NetworkEventLoop
from ._ground import Ground
from ._layers import MemoryLayers, count_methods


class MemoryAioPeer(Peer):
    """See :meth:`PeerNetwork.aio_peer`."""

    def __init__(self, ground: Ground, ident: str, settings: dict[str, Any]) -> None:
        self._ground = ground
        self._make_layers = partial(MemoryLayers, ground)
        super().__init__(ident, **settings)

    async def __aenter__(self) -> Peer:
        if not isinstance(asyncio.get_running_loop(), NetworkEventLoop):
            raise RuntimeError(
                "run this with network.run(), which goes by the clock of the network"
            )
        await super().__aenter__()
        link = self._ground.find(self.ident)
        link.wait_until_open()
        self._ground.watch(link, partial(_count_working, self._entered()))
        return self


def _count_working(stack: Stack, blocked: Collection[threading.Thread]) -> int:
    # Tasks are the business of the thread that runs the event loop.
    return count_methods(stack.calls, blocked)
