"""A client that sends lines of text, with only a link and a framing of its own.

    python link_connector.py [PORT] [LINE ...]

Start link_listener.py as well, before or after this. Ends when all lines are answered, or on
Ctrl-C.
"""

import sys

from snakemq.link import Link


class LineClient:
    def __init__(self, link: Link, lines: list[str]) -> None:
        self.link = link
        self.lines = lines
        link.on_connect.add(self.on_connect)
        link.on_disconnect.add(self.on_disconnect)
        link.on_recv.add(self.on_recv)
        link.on_ready_to_send.add(self.on_ready_to_send)

    def on_connect(self, conn_id: str) -> None:
        # Each connection starts afresh: half a line from an earlier one is gone.
        print("connected")
        self.incoming = b""
        self.answers = 0
        self.outgoing = "".join(f"{line}\n" for line in self.lines).encode()
        self.link.send(conn_id, self.outgoing)

    def on_disconnect(self, conn_id: str) -> None:
        print("disconnected")  # the link dials again, unless it was stopped

    def on_ready_to_send(self, conn_id: str, sent: int) -> None:
        self.outgoing = self.outgoing[sent:]
        if self.outgoing:
            self.link.send(conn_id, self.outgoing)

    def on_recv(self, conn_id: str, data: bytes) -> None:
        *lines, self.incoming = (self.incoming + data).split(b"\n")
        for line in lines:
            print("answer", line.decode())
        self.answers += len(lines)
        if self.answers == len(self.lines):
            self.link.stop()


def main(port: str = "4000", *lines: str) -> None:
    link = Link()
    LineClient(link, list(lines) or ["hello", "how are you?"])
    link.add_connector(("127.0.0.1", int(port)))
    try:
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()


if __name__ == "__main__":
    main(*sys.argv[1:])
