"""The parts of a peer on a memory network, where the test runs the loop."""

from __future__ import annotations

from snakemq.link.testing import MemoryNetwork
from snakemq.messaging import Messaging
from snakemq.packeter import Packeter
from snakemq.peer import Messages
from snakemq.peer._arrivals import Arrivals
from snakemq.peer._codecs import Codecs
from snakemq.peer._iteration import Row
from snakemq.peer._presence import Presence
from snakemq.peer._received import Desk
from snakemq.peer._sending import Outgoing


class InMemory:
    """What a peer is made of, without its thread."""

    def __init__(self, network: MemoryNetwork, ident: str) -> None:
        self.network = network
        self.link = network.link(ident)
        self.messaging = Messaging(ident, "", Packeter(self.link), manual_ack=True)
        codecs = Codecs()
        self.outgoing = Outgoing(self.messaging, codecs)
        self.presence = Presence(self.messaging)
        desk = Desk(self.messaging, self.outgoing, codecs)
        self.row = Row(desk)
        self.arrivals = Arrivals(self.messaging, self.presence, self.row.put)
        self.delivered: list[bytes] = []
        self.dropped: list[str] = []
        self.messaging.on_message_delivered.add(
            lambda conn_id, ident, uuid: self.delivered.append(uuid)
        )
        self.messaging.on_message_dropped.add(
            lambda ident, message, reason, detail: self.dropped.append(detail)
        )

    def messages(self) -> Messages:
        """What has arrived; the loop ends when there is no more."""
        return Messages(self.row, 0)
