"""``packets.py burst|echo COUNT [PORT]``: without a port it listens; the one who dials sends first.

``burst``: COUNT packets one way, queued at once. ``echo``: COUNT packets there and back, one after
another. Each side prints how many passes its loop has made.
"""

from __future__ import annotations

import sys

from marks import mark

from snakemq.link import Link
from snakemq.packeter import Packeter

PACKET = b"x" * 100

passes = 0


def count_pass() -> None:
    global passes
    passes += 1


def main(work: str, count: int, port: int | None) -> None:
    link = Link()
    packeter = Packeter(link)
    received = 0

    def connected(conn_id: str) -> None:
        link.on_loop_pass.add(count_pass)
        if port is None:
            return
        mark()
        for _ in range(count if work == "burst" else 1):
            packeter.send_packet(conn_id, PACKET)

    def on_packet(conn_id: str, packet: bytes) -> None:
        nonlocal received
        received += 1
        if port is None and received == 1:
            mark()
        if received < count:
            if work == "echo":
                packeter.send_packet(conn_id, packet)
        elif port is not None or work == "burst":
            finish()
        else:
            packeter.send_packet(conn_id, packet)

    def on_packet_sent(conn_id: str, packet_id: int) -> None:
        if packet_id == count and (work == "burst" or port is None):
            finish()

    def finish() -> None:
        mark()
        print(passes)
        if port is not None:
            link.stop()

    packeter.on_connect.add(connected)
    packeter.on_packet_recv.add(on_packet)
    if port is not None or work == "echo":
        packeter.on_packet_sent.add(on_packet_sent)
    link.on_disconnect.add(lambda conn_id: link.stop())
    if port is None:
        print(link.add_listener(("127.0.0.1", 0))[1])
    else:
        link.add_connector(("127.0.0.1", port))
    link.loop()
    link.cleanup()


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else None)
