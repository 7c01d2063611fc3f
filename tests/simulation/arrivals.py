"""What has arrived of large messages: their senders must not send it again, nor let others overtake
a message that has arrived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snakemq.messaging import Messaging
from snakemq.messaging._incoming._chunks import KEPT_FOR
from snakemq.messaging._wire import _frames as frames
from snakemq.messaging._wire._cutting import (
    MAX_AT_ONCE,
    Head,
    decode_abort,
    decode_chunk,
    decode_head,
)
from snakemq.packeter import Packet, Packeter

from .ledger import Violation
from .liar import PREFIX

if TYPE_CHECKING:
    from .peer import Peer


class Arrivals:
    """What one life of a receiver gets of all senders.

    Make it before the ``Messaging`` of that life: it has to see what comes first.
    """

    def __init__(self, peer: Peer, packeter: Packeter) -> None:
        self._peer = peer
        self._heads: dict[str, dict[bytes, Head]] = {}
        """The latest heads of unfinished messages, by sender and uuid."""
        self._arrived: dict[bytes, int] = {}
        """How many bytes of these are known to have arrived."""
        self._left_at: dict[str, float] = {}
        """When the latest connection of a sender ended."""
        self._seen: set[bytes] = set()
        """Shorter messages that have arrived."""
        self._newest: dict[str, int] = {}
        """The highest number among those that came for the first time, by connection."""
        packeter.on_packets_recv.add(self._on_packets_recv)

    def join(self, messaging: Messaging) -> None:
        messaging.on_recv_progress.add(self._on_recv_progress)
        messaging.on_disconnect.add(self._on_disconnect)

    def _on_packets_recv(self, conn_id: str, packets: list[Packet]) -> None:
        sender = self._peer.world.network.other_side(conn_id)
        if sender.startswith(PREFIX):
            return
        for packet in packets:
            frame = packet if isinstance(packet, bytes) else packet.head
            if frame[:1] in frames.MESSAGE_BYTES:
                self._comes(conn_id, frame[1:17])
            elif frame[0] == frames.FRAME_TYPE_HEAD:
                head = decode_head(frame)
                if head.offset == head.size:
                    self._comes_again(conn_id, head)
                else:
                    self._begins(sender, head)
            elif frame[0] == frames.FRAME_TYPE_CHUNK:
                self._goes_on(sender, *decode_chunk(frame))
            elif frame[0] == frames.FRAME_TYPE_ABORT:
                self._peer.world.happened("rest of a message does not come", self._peer.ident)
                self._forget(sender, decode_abort(frame))

    def _comes(self, conn_id: str, uuid: bytes) -> None:
        entry = self._peer.world.ledger.entries.get(uuid)
        if entry is not None and uuid not in self._seen:
            self._seen.add(uuid)
            self._newest[conn_id] = max(entry.number, self._newest.get(conn_id, 0))

    def _comes_again(self, conn_id: str, head: Head) -> None:
        """All of a large message had arrived, and its acknowledgement was lost."""
        world = self._peer.world
        world.happened("nothing left to send", self._peer.ident)
        entry = world.ledger.entries.get(head.uuid)
        newest = self._newest.get(conn_id, 0)
        # What is sent later may have overtaken a post on its way to the queue.
        if entry is not None and not entry.is_posted and entry.number < newest:
            raise Violation(f"message {newest} has overtaken {entry!r}, which had arrived before")

    def _begins(self, sender: str, head: Head) -> None:
        world = self._peer.world
        if head.offset:
            world.happened("went on from a place", self._peer.ident)
        arrived = self._arrived.get(head.uuid, 0)
        is_kept = world.now - self._left_at.get(sender, world.now) < KEPT_FOR
        if head.offset < arrived and is_kept:
            raise Violation(
                f"{self._peer.ident} has {arrived} bytes, and {sender} begins at {head.offset} of"
                f" {world.ledger.entries.get(head.uuid)!r}"
            )
        self._heads.setdefault(sender, {})[head.uuid] = head
        self._arrived[head.uuid] = head.offset

    def _goes_on(self, sender: str, uuid: bytes, offset: int, chunk: memoryview) -> None:
        head = self._heads.get(sender, {}).get(uuid)
        if head is not None and offset + len(chunk) == head.size:
            # If it is too much for the receiver now, all of it comes again.
            self._forget(sender, uuid)

    def _on_recv_progress(
        self, conn_id: str, ident: str, uuid: bytes, arrived: int, size: int
    ) -> None:
        self._peer.world.happened("part of a message", self._peer.ident)
        if arrived < size:
            self._arrived[uuid] = arrived

    def _on_disconnect(self, conn_id: str, ident: str) -> None:
        self._left_at[ident] = self._peer.world.now
        heads = self._heads.get(ident, {})
        for head in list(heads.values()):
            if not head.may_come_again:
                self._forget(ident, head.uuid)
        sizes = [head.size for head in heads.values()]
        window = self._peer.settings.window_bytes
        if len(sizes) > MAX_AT_ONCE or sum(sizes) - max(sizes, default=0) > window:
            for uuid in list(heads):  # some of them may not be kept
                self._forget(ident, uuid)

    def _forget(self, sender: str, uuid: bytes) -> None:
        self._heads.get(sender, {}).pop(uuid, None)
        self._arrived.pop(uuid, None)
