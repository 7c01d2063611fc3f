"""Listens, prints the packets that arrive, and sends them back in reverse.

    python packeter_listener.py [PORT]
    python packeter_connector.py [PORT]     in another terminal

A packet arrives whole or not at all. There are no idents and no queues here. Needs snakemq-link
only. Ends on Ctrl-C.
"""

import sys

from snakemq.link import Link
from snakemq.packeter import Packeter


def main(port: int = 4000) -> None:
    link = Link()
    packeter = Packeter(link)

    def on_packet_recv(conn_id: str, packet: bytes) -> None:
        print(f"received {len(packet)} bytes: {packet[:20]!r}")
        packeter.send_packet(conn_id, packet[::-1])

    packeter.on_connect.add(lambda conn_id: print("connected"))
    packeter.on_disconnect.add(lambda conn_id: print("disconnected"))
    packeter.on_packet_recv.add(on_packet_recv)
    packeter.on_error.add(lambda conn_id, exc: print("error", exc))

    print("listening on", link.add_listener(("127.0.0.1", port)))
    try:
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
