"""Packets: cuts the stream of bytes of a link into packets of known length.

A packet is ``[4 bytes size, network order | payload]``.
"""

from snakemq._public_home import report_public_home
from snakemq.link import keep_printable

from ._memory import keep_freed_memory
from ._packeter import MAX_PACKET_SIZE, Packeter
from ._split import Packet, SplitPacket
from ._unfinished import MAX_UNFINISHED_BYTES, UNFINISHED_TIMEOUT

__all__ = [
    "MAX_PACKET_SIZE",
    "MAX_UNFINISHED_BYTES",
    "UNFINISHED_TIMEOUT",
    "Packet",
    "Packeter",
    "SplitPacket",
    "keep_freed_memory",
]

keep_printable("snakemq.packeter")
report_public_home(__name__)
