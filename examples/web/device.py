"""A lamp that service.py switches, and that tells what it does.

    python device.py [NAME] [URL] [SECONDS]

Connects to service.py at URL (tcp://127.0.0.1:4000 by default) as NAME (device-1). It takes SECONDS
(0 by default) to switch. Ends on SIGTERM or Ctrl-C. Needs snakemq[rpc].
"""

import sys
import time

from snakemq import Peer


class Lamp:
    """What the service may call."""

    def __init__(self, peer: Peer, seconds: float) -> None:
        self._peer = peer
        self._seconds = seconds

    def switch(self, state: str) -> str:
        if state not in ("on", "off"):
            raise ValueError(f"a lamp is on or off, not {state!r}")
        time.sleep(self._seconds)
        self._peer.send("web", f"switched {state}", codec="text", ttl=60)
        return state


def main(
    name: str = "device-1", url: str = "tcp://127.0.0.1:4000", seconds: float | str = 0
) -> None:
    peer = Peer(name)
    peer.serve("lamp", Lamp(peer, float(seconds)))
    peer.connect(url)
    peer.run()
    print("bye")


if __name__ == "__main__":
    main(*sys.argv[1:])
