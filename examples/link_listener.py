"""A server that answers lines of text, with only a link and a framing of its own.

    python link_listener.py [PORT]
    python link_connector.py [PORT] [LINE ...]     in another terminal

A link moves bytes. They may arrive in other pieces than they were sent in, so a program that needs
units brings a framing of its own. Here a line ends with a newline, and any program that sends
lines over TCP can be the other side. Needs snakemq-link only. Ends on Ctrl-C.
"""

import sys

from snakemq.link import Link

LONGEST_LINE = 64 * 1024  # bytes; a line that never ends must not fill the memory


class LineServer:
    def __init__(self, link: Link) -> None:
        self.link = link
        self.incoming: dict[str, bytes] = {}  # the line that is still incomplete
        self.outgoing: dict[str, bytes] = {}  # bytes that the system has not taken over yet
        link.on_connect.add(self.on_connect)
        link.on_disconnect.add(self.on_disconnect)
        link.on_recv.add(self.on_recv)
        link.on_ready_to_send.add(self.on_ready_to_send)

    def on_connect(self, conn_id: str) -> None:
        self.incoming[conn_id] = self.outgoing[conn_id] = b""

    def on_disconnect(self, conn_id: str) -> None:
        del self.incoming[conn_id], self.outgoing[conn_id]

    def on_recv(self, conn_id: str, data: bytes) -> None:
        *lines, self.incoming[conn_id] = (self.incoming[conn_id] + data).split(b"\n")
        for line in lines:
            print("received", line.decode(errors="replace"))
            self.send(conn_id, line.upper() + b"\n")
        if len(self.incoming[conn_id]) > LONGEST_LINE:
            self.link.close(conn_id)

    def send(self, conn_id: str, data: bytes) -> None:
        # One send at a time: the next one begins when on_ready_to_send has reported the last.
        idle = not self.outgoing[conn_id]
        self.outgoing[conn_id] += data
        if idle:
            self.link.send(conn_id, self.outgoing[conn_id])

    def on_ready_to_send(self, conn_id: str, sent: int) -> None:
        self.outgoing[conn_id] = self.outgoing[conn_id][sent:]
        if self.outgoing[conn_id]:
            self.link.send(conn_id, self.outgoing[conn_id])


def main(port: int = 4000) -> None:
    link = Link()
    LineServer(link)
    print("listening on", link.add_listener(("127.0.0.1", port)))
    try:
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
