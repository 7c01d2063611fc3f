"""Connects, sends three packets and waits for the answers.

    python packeter_connector.py [PORT]

See packeter_listener.py. Ends when all packets are answered, or on Ctrl-C.
"""

import sys

from snakemq.link import Link
from snakemq.packeter import Packeter

PACKETS = [b"hello", b"", b"x" * 1_000_000]


def main(port: int = 4000) -> None:
    link = Link()
    packeter = Packeter(link)
    answers: list[bytes] = []

    def on_connect(conn_id: str) -> None:
        print("connected")
        answers.clear()
        for packet in PACKETS:
            packet_id = packeter.send_packet(conn_id, packet)
            print(f"packet {packet_id} has {len(packet)} bytes")

    def on_packet_recv(conn_id: str, packet: bytes) -> None:
        print(f"received {len(packet)} bytes: {packet[:20]!r}")
        answers.append(packet)
        if len(answers) == len(PACKETS):
            link.stop()

    packeter.on_connect.add(on_connect)
    packeter.on_packet_recv.add(on_packet_recv)
    # "sent" means that the system took the packet over, not that it has arrived
    packeter.on_packet_sent.add(lambda conn_id, packet_id: print(f"packet {packet_id} is sent"))

    link.add_connector(("127.0.0.1", port))
    try:
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
