"""The peer for asyncio: :class:`Peer` listens, connects, sends, receives and makes calls.

    async with Peer("alice") as peer:
        peer.connect("tcp://bob.example:4000")
        await peer.send("bob", b"hello")

        async for message in peer.messages():
            await message.reply(b"hello to you")

It has the names of :mod:`snakemq.peer`, and adds nothing to the wire: the other side may use either
of them, or the layers below, or be a 1.6 peer.
"""

from snakemq._public_home import report_public_home
from snakemq.link import keep_printable

from ._messages import Messages
from ._peer import Peer
from ._receipts import Receipt
from ._received import ReceivedMessage

__all__ = ["Messages", "Peer", "Receipt", "ReceivedMessage"]

keep_printable("snakemq.aio")
report_public_home(__name__)
