"""Messages that come before it is known whether they are repetitions."""

from __future__ import annotations

from snakemq.packeter import Packet

from .._wire import _frames as frames
from ._backpressure import MESSAGE_OVERHEAD, Backpressure
from ._inbox import Inbox
from ._lane import Early, IncomingLane
from ._settings import ReceiverSettings, beyond_the_window


class EarlyMessages:
    """Keeps messages until the inbox of their peer is recalled. For the loop only.

    The window of the peer bounds them, and like open messages they count for the backpressure. Its
    other frames, such as pings, are handled meanwhile.
    """

    def __init__(self, backpressure: Backpressure, settings: ReceiverSettings) -> None:
        self._backpressure = backpressure
        self._settings = settings

    def hold(self, inbox: Inbox, lane: IncomingLane, packets: list[Packet], begin: int) -> int:
        """Keep the messages from packet number ``begin`` on. See :meth:`Batches.receive`."""
        settings = self._settings
        early = lane.early
        if early is None:
            early = lane.early = Early()
        number = begin
        while number < len(packets):
            packet = packets[number]
            if isinstance(packet, bytes):
                frame, size = packet, max(0, len(packet) - frames.MESSAGE_HEADER_SIZE)
            else:
                frame, data = packet
                size = len(data)
            if frame[:1] not in frames.MESSAGE_BYTES:
                break
            if (
                len(early.packets) >= settings.window_messages
                or early.bytes >= settings.window_bytes
            ):
                raise beyond_the_window(settings)
            early.packets.append(packet)
            early.bytes += size
            self._backpressure.bytes += size + MESSAGE_OVERHEAD
            number += 1
        self._backpressure.check(inbox)
        return number

    def release(self, lane: IncomingLane) -> list[Packet]:
        """Return the messages that were kept, to be received anew."""
        early, lane.early = lane.early, None
        if early is None:
            return []
        self._backpressure.bytes -= early.bytes + MESSAGE_OVERHEAD * len(early.packets)
        return early.packets
