"""Serves remote procedure calls, without a Peer. With one, see authorization.py.

    python rpc_server.py [PORT]
    python rpc_client.py [PORT]      in another terminal
    python rpc_signals.py [PORT]     in another terminal, too

A peer named "server" with an object "desk". Methods run in worker threads. Ends on Ctrl-C. Needs
snakemq[rpc].
"""

import sys
import threading

from snakemq.link import Link
from snakemq.messaging import Messaging, ReceiveHook
from snakemq.packeter import Packeter
from snakemq.rpc import RpcServer, as_signal, inline


class Desk:
    def __init__(self) -> None:
        self._lock = threading.Lock()  # several threads may call at once
        self._notes: list[str] = []

    def divide(self, a: float, b: float) -> float:
        return a / b

    @inline  # returns at once, so it may run in the loop
    def notes(self) -> list[str]:
        with self._lock:
            return list(self._notes)

    @as_signal
    def note(self, text: str) -> None:
        with self._lock:
            print("noted", text)
            self._notes.append(text)

    def _secret(self) -> str:
        return "names that begin with _ cannot be called from outside"


def main(port: int = 4000) -> None:
    link = Link()
    server = RpcServer(ReceiveHook(Messaging("server", "", Packeter(link))))
    server.register_object(Desk(), "desk")
    print("listening on", link.add_listener(("127.0.0.1", port)))
    try:
        link.loop()
    except KeyboardInterrupt:
        print("bye")
    finally:
        link.cleanup()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
