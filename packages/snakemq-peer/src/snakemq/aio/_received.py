"""Received messages, as asyncio has them."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from snakemq.peer._received import Received
from snakemq.peer._sending import Terms

from ._receipts import Receipt

if TYPE_CHECKING:
    from ._sending import Outgoing


class ReceivedMessage(Received):
    """A message that has arrived. Its sender keeps it until it is *settled*.

    A loop over :meth:`Peer.messages` settles its messages by itself, and so does
    :meth:`Peer.process`: what is processed is acknowledged, and what raises is retried. What is
    cancelled is given back. To decide otherwise, call one of :meth:`ack`, :meth:`retry`,
    :meth:`release` and :meth:`reject`, once. They wait for nothing.

    To give a message to another task or to keep it for later, use it as a context manager there::

        async with message:       # acknowledged when the block ends, retried if it raises
            await work(message)

    Enter it before the body of the loop has ended: that settles a message that nobody has taken
    over, and entering it afterwards raises.
    """

    __slots__ = ()

    async def reply(
        self,
        data: Any,
        *,
        ttl: float | None = None,
        persistent: bool | None = None,
        codec: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Receipt:
        """Send a message to the sender of this one, as :meth:`Peer.send` does. To settle this one
        is another matter."""
        outgoing = cast("Outgoing", self._desk.outgoing)
        terms = Terms(ttl, persistent, codec, headers)
        return await outgoing.deliver(self.sender.ident, data, terms)

    async def __aenter__(self) -> Self:
        """Take it over. Raises ``ValueError`` if it is settled, or taken over, already."""
        self.take_over()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.block_ends(error)
