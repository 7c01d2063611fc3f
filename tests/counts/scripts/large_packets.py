"""``large_packets.py keep|leave SIZE``: what the packets of busy peers cost in page faults.

Prints how many each packet of SIZE bytes causes, with and without ``keep_freed_memory()``. Eight
packets at a time are there at once, before all of them are freed.
"""

from __future__ import annotations

import resource
import sys

from snakemq.packeter import keep_freed_memory
from snakemq.packeter._framing import PacketReader

BLOCK = 128 * 1024
"""The most that a link reads at once, in bytes."""

AT_ONCE = 8
ROUNDS = 50


def main(keep: bool, size: int) -> None:
    if keep:
        keep_freed_memory()
    readers = [PacketReader(size) for _ in range(AT_ONCE)]

    def receive() -> None:
        packets = []
        for reader in readers:
            packets += reader.receive(size.to_bytes(4, "big"))
            for position in range(0, size, BLOCK):
                packets += reader.receive(b"x" * min(BLOCK, size - position))
        assert len(packets) == AT_ONCE

    receive()  # what is only done once
    before = faults()
    for _ in range(ROUNDS):
        receive()
    print((faults() - before) / ROUNDS / AT_ONCE)


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


main(sys.argv[1] == "keep", int(sys.argv[2]))
